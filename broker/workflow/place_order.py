"""Place the orders of a message: load what it names, decide (domain.ordering), write what came of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Protocol
from uuid import uuid4

from broker.clock import Clock
from broker.domain.identity import Issuers
from broker.domain.in_time import CANCEL_REMEMBERED
from broker.domain.order import AliasKind, Forest, Patient
from broker.domain.orderbook import OrderBook, OrderDraft
from broker.domain.ordering import decide as decide_order
from broker.domain.patients import may_change
from broker.domain.request import OrderRequest, PlaceOrder
from broker.domain.rules import NumberFormats, Rules
from broker.mapping.rows import RowSet
from broker.store.database import Transaction
from broker.store.forest import load_forest
from broker.store.ids import Ids
from broker.store.issuers import all_issuers
from broker.store.lookup import Name, find_orders, find_patients
from broker.store.messages import first_answers, keep_cancels, keep_messages, recent_cancels
from broker.store.patients import load_patients
from broker.store.writer import Decision, Verb
from broker.workflow.save_orders import save_drafts


class Site(Protocol):
    """What we need of the site profile."""

    @property
    def rules(self) -> Rules: ...

    @property
    def rows(self) -> RowSet: ...


def place_order_verb(site: Site, ids: Ids, clock: Clock, gained: Callable[[], timedelta] = timedelta) -> Verb:
    """The verb that places orders; its answer is a MessageAnswer.

    gained  by how much the clock was set forward within the time that cancels are remembered
    """

    def load(tx: Transaction, requests: Sequence[PlaceOrder]) -> OrderBook:
        return load_book(tx, requests, site.rules, clock.now(), ids.next, remembered=CANCEL_REMEMBERED + gained())

    def decide(draft: OrderDraft, request: PlaceOrder) -> Decision:
        return Decision(draft, decide_order(draft, request))

    def apply(tx: Transaction, decisions: Sequence[Decision]) -> None:
        drafts: list[OrderDraft] = [decision.changes for decision in decisions]
        entries = [draft.journal for draft in drafts if draft.journal is not None]
        keep_messages(tx, entries)
        keep_cancels(tx, [cancel for draft in drafts for cancel in draft.cancels])
        save_drafts(tx, site.rows, ids, drafts, drafts[0].book.now)

    return Verb("place_order", keys_of, load, decide, apply)


def load_book(
    tx: Transaction,
    requests: Sequence[PlaceOrder],
    rules: Rules,
    now: datetime,
    new_id: Callable[[str], int],
    *,
    lock: bool = True,
    remembered: timedelta = CANCEL_REMEMBERED,
) -> OrderBook:
    """What a batch of requests names, and what was found needs.

    lock        False where nothing will be written
    remembered  how old, by the clock, a cancel that came before its order may be
    """
    names = {name for request in requests for name in names_of(request)}
    found = find_orders(tx, names)
    patients = find_patients(tx, {i.value for request in requests for i in request.patient.identifiers})
    order_ids = {order_id for ids in found.values() for order_id in ids}
    numbers = {value for kind, value in names if kind in _NUMBERS}
    forest = _load_trees(tx, requests, order_ids, patients, rules, lock=lock)
    return OrderBook(
        forest=forest,
        issuers=Issuers(frozenset(forest.issuers.values()), rules.authorities),
        rules=rules,
        now=now,
        new_id=new_id,
        new_uid=uid_maker(rules.numbers),
        first_answers=first_answers(tx, (request.message for request in requests)),
        remembered=remembered,
        cancels=recent_cancels(tx, numbers, now - remembered),
    )


def _load_trees(
    tx: Transaction,
    requests: Sequence[PlaceOrder],
    order_ids: set[int],
    patient_ids: set[int],
    rules: Rules,
    *,
    lock: bool,
) -> Forest:
    """The orders that are named, and all that are open of patients of whom something may change.

    A message that says nothing new of its patient touches no other order of his: somebody who stands for many, as
    "unknown" does, may have thousands.
    """
    if not patient_ids:
        return load_forest(tx, order_ids, lock=lock)
    patients, known = load_patients(tx, patient_ids), set(all_issuers(tx))
    changing: set[int] = set()
    while True:
        changing |= _changing(requests, patients, Issuers(frozenset(known), rules.authorities), rules)
        forest = load_forest(tx, order_ids, changing, patient_ids, lock=lock)
        patients, known = forest.patients, set(forest.issuers.values())
        # On a shared database somebody else may have changed a patient between the two looks.
        if _changing(requests, patients, Issuers(frozenset(known), rules.authorities), rules) <= changing:
            return forest


def _changing(
    requests: Sequence[PlaceOrder], patients: Mapping[int, Patient], issuers: Issuers, rules: Rules
) -> set[int]:
    """Patients whose open orders the decisions need: something of them may change, or an item of a file is sought."""
    by_number: dict[str, set[int]] = defaultdict(set)
    for patient in patients.values():
        for held in patient.identifiers:
            by_number[held.value].add(patient.id)
    changing: set[int] = set()
    for request in requests:
        sent = request.patient.identifiers
        named = {number for identifier in sent for number in by_number.get(identifier.value, ())} - changing
        # A new issuer may make another one ambiguous: what is the same as before is known only afterwards.
        is_open = request.imported or any(i.issuer and i.issuer not in issuers.known for i in sent)
        changing |= {n for n in named if is_open or may_change(patients[n], request, rules, issuers)}
    return changing


_NUMBERS = frozenset({AliasKind.PLACER, AliasKind.FILLER, AliasKind.ACCESSION})


def names_of(request: PlaceOrder) -> Iterable[Name]:
    """The names by which a message may mean a known order, and the accession numbers it may be given."""
    for order in request.orders:
        for kind, number in ((AliasKind.PLACER, order.placer), (AliasKind.FILLER, order.filler)):
            if number is not None:
                yield kind, number.value
                yield AliasKind.ACCESSION, number.value
        if order.accession is not None:
            yield AliasKind.ACCESSION, order.accession.value
        if order.study_uid is not None:
            yield AliasKind.STUDY_UID, order.study_uid
        elif request.imported and not (order.placer or order.filler or order.accession):
            yield from _last_resorts(order)


def _last_resorts(order: OrderRequest) -> Iterable[Name]:
    """By what a worklist file without numbers names its order; often not unique, so never asked for without need."""
    if order.requested_procedure_id is not None:
        yield AliasKind.PROCEDURE_ID, order.requested_procedure_id
    elif order.step_id is not None:
        yield AliasKind.STEP_ID, order.step_id


def keys_of(request: PlaceOrder) -> Sequence[str]:
    """What a message touches, as lock names; where requested procedures and steps are named their order is too."""
    names = [f"{kind.value}:{value}" for kind, value in names_of(request)]
    return [*names, *(f"patient:{identifier.value}" for identifier in request.patient.identifiers)]


def uid_maker(numbers: NumberFormats) -> Callable[[int], str]:
    """Fresh Study Instance UIDs: under the site's root by the procedure's number, else 2.25 and a UUID (PS3.5 B.2)."""

    def made(procedure_id: int) -> str:
        return f"{numbers.uid_root}.{procedure_id}" if numbers.uid_root else f"2.25.{uuid4().int}"

    return made
