"""What a batch of order messages is decided on: trees, first answers, remembered cancels, and drafts of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from broker.domain.draft import Draft
from broker.domain.identity import Issuers
from broker.domain.in_time import CANCEL_REMEMBERED, latest
from broker.domain.order import Forest, Stamps
from broker.domain.request import Cause, Outcome, ReceivedMessage
from broker.domain.rules import Rules


@dataclass(frozen=True, slots=True)
class RememberedCancel:
    """A cancel that came before its order; a repeat of it takes its place.

    id          of its row
    message_id  None until the message has its row in the journal
    """

    id: int
    sender_group: str
    application: str
    placer: str | None
    filler: str | None
    accession: str | None
    stamps: Stamps
    at: datetime
    message_id: int | None = None

    def repeats(self, other: RememberedCancel) -> bool:
        """The same sender cancels by the same numbers."""
        return self._names() == other._names()

    def _names(self) -> tuple[str | None, ...]:
        return (self.sender_group, self.application, self.placer, self.filler, self.accession)


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """How a message ended. answers: the message whose answer a repeat was given again."""

    id: int
    message: ReceivedMessage
    outcome: Outcome
    reason: str
    answered_at: datetime
    cause: Cause | None = None
    location: str = ""
    answers: int | None = None


@dataclass(frozen=True, slots=True)
class FirstAnswer:
    """The answer that an accepted message was given; its exact repeat is given it again."""

    message_id: int
    answered_at: datetime


RepeatKey = tuple[str, str, str, str]
"""Sending application, facility, MSH-10, digest."""


def repeat_key(message: ReceivedMessage) -> RepeatKey:
    return (message.sender.application, message.sender.facility, message.control_id, message.digest)


@dataclass(slots=True)
class OrderBook:
    """What was loaded for a batch of order messages.

    new_id      name of a counter -> next number
    new_uid     id of the procedure -> a fresh Study Instance UID
    remembered  how long a cancel that came before its order stops that order
    """

    forest: Forest
    issuers: Issuers
    rules: Rules
    now: datetime
    new_id: Callable[[str], int]
    new_uid: Callable[[int], str]
    first_answers: dict[RepeatKey, FirstAnswer] = field(default_factory=dict)
    cancels: list[RememberedCancel] = field(default_factory=list)
    remembered: timedelta = CANCEL_REMEMBERED

    def draft(self) -> OrderDraft:
        return OrderDraft(self)

    def fold(self, draft: OrderDraft) -> None:
        draft.fold()


class OrderDraft(Draft):
    """A draft that also holds the journal entry and the cancels to remember."""

    def __init__(self, book: OrderBook) -> None:
        super().__init__(book.forest)
        self.book = book
        self.journal: JournalEntry | None = None
        self.cancels: list[RememberedCancel] = []

    def remember(self, cancel: RememberedCancel) -> None:
        """Keep a cancel whose order is not known: one row for all that say the same, however often it is repeated."""
        known = next((one for one in (*self.cancels, *self.book.cancels) if one.repeats(cancel)), None)
        if known is None:
            self.cancels.append(cancel)
            return
        self.cancels = [one for one in self.cancels if one.id != known.id]
        self.cancels.append(replace(cancel, id=known.id, stamps=latest(known.stamps, cancel.stamps)))

    def withdraw(self) -> None:
        """Take back what was changed; alarms and remembered cancels stay."""
        for layer in (self.patients, self.orders, self.procedures, self.steps):
            layer.withdraw()
        self.events.clear()
        self.aliases.clear()

    def fold(self) -> None:
        super().fold()
        book = self.book
        replaced = {cancel.id for cancel in self.cancels}
        book.cancels = [known for known in book.cancels if known.id not in replaced] + self.cancels
        seen = frozenset(held.issuer for p in self.patients.maps[0].values() for held in p.identifiers if held.issuer)
        if not seen <= book.issuers.known:
            book.issuers = replace(book.issuers, known=book.issuers.known | seen)
        entry = self.journal
        if entry is not None and entry.cause is None and entry.answers is None and entry.message.control_id:
            book.first_answers[repeat_key(entry.message)] = FirstAnswer(entry.id, entry.answered_at)
