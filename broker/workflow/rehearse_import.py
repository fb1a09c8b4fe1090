"""What an import would do: the same decisions on the same data, laid over each other in memory, nothing written."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import count

from broker.clock import Clock
from broker.domain.importing import ImportAnswer
from broker.domain.importing import decide as decide_import
from broker.domain.order import AliasKind, Forest, Order, RequestedProcedure, ScheduledStep
from broker.domain.orderbook import OrderDraft
from broker.domain.request import PlaceOrder
from broker.store.database import Database
from broker.store.lookup import Name
from broker.workflow.place_order import Site, load_book, names_of


class Rehearsal:
    """Decides batch after batch; what earlier ones would have written is laid over what the database holds."""

    def __init__(self, database: Database, site: Site, clock: Clock) -> None:
        self._database = database
        self._site = site
        self._clock = clock
        self._numbers = count(-1, -1)
        self._written = Forest()
        self._orders_named: dict[Name, set[int]] = defaultdict(set)
        self._patients_named: dict[str, set[int]] = defaultdict(set)
        self._orders_of: dict[int, set[int]] = defaultdict(set)
        self._below: dict[int, tuple[set[int], set[int]]] = defaultdict(lambda: (set(), set()))

    def decide(self, requests: Sequence[PlaceOrder]) -> list[ImportAnswer]:
        """How these files would end; raises DatabaseUnavailable."""
        with self._database.read() as tx:
            book = load_book(tx, requests, self._site.rules, self._clock.now(), self._new_id, lock=False)
        self._lay_over(book.forest, requests)
        answers = []
        for request in requests:
            draft = book.draft()
            answers.append(decide_import(draft, request))
            book.fold(draft)
            self._keep(draft)
        return answers

    def _new_id(self, name: str) -> int:
        """Numbers that no row has."""
        return next(self._numbers)

    def _lay_over(self, forest: Forest, requests: Iterable[PlaceOrder]) -> None:
        written = self._written
        patients = {n for r in requests for i in r.patient.identifiers for n in self._patients_named.get(i.value, ())}
        wanted = {n for r in requests for name in names_of(r) for n in self._orders_named.get(name, ())}
        wanted |= {n for patient in patients for n in self._orders_of.get(patient, ())}
        wanted |= forest.orders.keys() & written.orders.keys()
        for number in wanted:
            forest.orders[number] = written.orders[number]
            patients.add(written.orders[number].patient_id)
            procedures, steps = self._below[number]
            forest.procedures.update({n: written.procedures[n] for n in procedures})
            forest.steps.update({n: written.steps[n] for n in steps})
        patients |= forest.patients.keys() & written.patients.keys()
        forest.patients.update({n: written.patients[n] for n in patients if n in written.patients})
        forest.aliases.extend(alias for alias in written.aliases if alias.order_id in forest.orders)

    def _keep(self, draft: OrderDraft) -> None:
        """Remember the whole trees that a decision would write in, and by which names they are found."""
        self._written.patients.update(draft.patients.maps[0])
        for patient in draft.patients.maps[0].values():
            for held in patient.identifiers:
                self._patients_named[held.value].add(patient.id)
        numbers = set(draft.orders.maps[0])
        numbers |= {procedure.order_id for procedure in draft.procedures.maps[0].values()}
        numbers |= {step.order_id for step in draft.steps.maps[0].values()}
        for number in numbers:
            self._keep_order(draft, draft.orders[number])
        self._written.aliases.extend(draft.aliases)
        for alias in draft.aliases:
            self._orders_named[alias.kind, alias.value].add(alias.order_id)

    def _keep_order(self, draft: OrderDraft, order: Order) -> None:
        procedures, steps = draft.procedures_of(order.id), draft.steps_of_order(order.id)
        self._written.orders[order.id] = order
        self._written.procedures.update({procedure.id: procedure for procedure in procedures})
        self._written.steps.update({step.id: step for step in steps})
        self._orders_of[order.patient_id].add(order.id)
        self._below[order.id] = ({procedure.id for procedure in procedures}, {step.id for step in steps})
        for name in _names(order, procedures, steps):
            self._orders_named[name].add(order.id)


def _names(order: Order, procedures: Iterable[RequestedProcedure], steps: Iterable[ScheduledStep]) -> Iterator[Name]:
    for kind, number in ((AliasKind.PLACER, order.placer), (AliasKind.FILLER, order.filler)):
        if number is not None:
            yield kind, number.value
    for procedure in procedures:
        yield AliasKind.ACCESSION, procedure.accession.value
        yield AliasKind.STUDY_UID, procedure.study_uid
        yield AliasKind.PROCEDURE_ID, procedure.requested_procedure_id
    for step in steps:
        yield AliasKind.STEP_ID, step.step_id
