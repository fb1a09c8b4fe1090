"""What a worklist file does: the decision, pure. The rules are those of orders.

What is refused or unchanged leaves no row behind: the file itself stays where it is, and is imported again and again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from broker.domain.orderbook import JournalEntry, OrderDraft
from broker.domain.ordering import place
from broker.domain.request import Outcome, PlaceOrder, Refusal


@dataclass(frozen=True, slots=True)
class ImportAnswer:
    """How a file ended: created, updated, cancelled, held, unchanged, superseded or rejected; reason and warnings."""

    outcome: Outcome
    reason: str = ""
    warnings: tuple[str, ...] = ()


def decide(draft: OrderDraft, request: PlaceOrder) -> ImportAnswer:
    """Decide a worklist file; the draft then holds all there is to write."""
    ended = place(draft, request)
    if isinstance(ended, Refusal):
        draft.withdraw()
        subject = f" ({ended.subject})" if ended.subject else ""
        return ImportAnswer(Outcome.REJECTED, ended.text + subject, request.warnings)
    outcome, reason = ended
    if not draft.differs():
        draft.withdraw()
        if outcome is Outcome.SUPERSEDED:
            return ImportAnswer(outcome, "the step was cancelled, and no file brings it back", request.warnings)
        return ImportAnswer(Outcome.UNCHANGED, warnings=request.warnings)
    if outcome is Outcome.UNCHANGED:
        outcome = Outcome.UPDATED  # of the patient only
    text = "; ".join(filter(None, (reason, *request.warnings)))
    entry = JournalEntry(draft.book.new_id("messages"), request.message, outcome, text, draft.book.now)
    draft.journal = entry
    draft.events = [replace(event, message_id=entry.id) for event in draft.events]
    return ImportAnswer(outcome, reason, request.warnings)
