"""Keep a message that places no order: refused by the door, or of a kind that is only kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from broker.clock import Clock
from broker.domain.orderbook import JournalEntry
from broker.domain.request import KeepMessage, MessageAnswer
from broker.store.database import Transaction
from broker.store.ids import Ids
from broker.store.messages import keep_messages
from broker.store.writer import Decision, Verb


@dataclass(slots=True)
class _Nothing:
    """Nothing is loaded: what is kept depends on nothing that is known."""

    folded: list[None] = field(default_factory=list)

    def draft(self) -> None:
        return None

    def fold(self, draft: None) -> None:
        """Nothing to take in."""


def keep_message_verb(ids: Ids, clock: Clock) -> Verb:
    """The verb that journals a message; its answer is a MessageAnswer."""

    def load(tx: Transaction, requests: Sequence[KeepMessage]) -> _Nothing:
        return _Nothing()

    def decide(draft: None, request: KeepMessage) -> Decision:
        refusal = request.refusal
        entry = JournalEntry(
            ids.next("messages"),
            request.message,
            request.outcome,
            request.reason or (refusal.text if refusal else ""),
            clock.now(),
            refusal.cause if refusal else None,
            request.location,
        )
        answer = MessageAnswer(entry.id, entry.answered_at, entry.outcome, refusal, request.location)
        return Decision(entry, answer)

    def apply(tx: Transaction, decisions: Sequence[Decision]) -> None:
        keep_messages(tx, [decision.changes for decision in decisions])

    return Verb("keep_message", lambda request: (), load, decide, apply)
