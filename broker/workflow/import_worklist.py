"""Take in worklist files: load what they name, decide (domain.importing), write what is new. Nothing new: no row."""

from __future__ import annotations

from collections.abc import Sequence

from broker.clock import Clock
from broker.domain.importing import decide as decide_import
from broker.domain.orderbook import OrderBook, OrderDraft
from broker.domain.request import PlaceOrder
from broker.store.database import Transaction
from broker.store.ids import Ids
from broker.store.messages import keep_messages
from broker.store.writer import Decision, Verb
from broker.workflow.place_order import Site, keys_of, load_book
from broker.workflow.save_orders import save_drafts


def import_worklist_verb(site: Site, ids: Ids, clock: Clock) -> Verb:
    """The verb that takes in worklist files; its answer is an ImportAnswer."""

    def load(tx: Transaction, requests: Sequence[PlaceOrder]) -> OrderBook:
        return load_book(tx, requests, site.rules, clock.now(), ids.next)

    def apply(tx: Transaction, decisions: Sequence[Decision]) -> None:
        drafts: list[OrderDraft] = [decision.changes for decision in decisions]
        keep_messages(tx, [draft.journal for draft in drafts if draft.journal is not None])
        save_drafts(tx, site.rows, ids, drafts, drafts[0].book.now)

    return Verb("import_worklist", keys_of, load, decide, apply)


def decide(draft: OrderDraft, request: PlaceOrder) -> Decision:
    """Decide one file; also what a rehearsal runs."""
    return Decision(draft, decide_import(draft, request))
