"""One order message on its way through the rules: what was found for it, and what has been done so far."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from broker.domain import in_time
from broker.domain.draft import Draft
from broker.domain.holding import hold_event
from broker.domain.identity import PatientKeys
from broker.domain.order import Event, Patient, RequestedProcedure, ScheduledStep, Stamps, StepState
from broker.domain.orderbook import OrderBook, OrderDraft
from broker.domain.request import OrderRequest, Outcome, PlaceOrder
from broker.domain.rules import Rules

MOST_REASONS = 100
"""Reasons of one message; the journal keeps 2,000 characters of them."""
IMPORT = "import"
"""Who causes what an imported file changes."""


@dataclass(slots=True)
class Case:
    """One message on its way through the rules. taken: id of the step that last took values."""

    draft: OrderDraft
    request: PlaceOrder
    keys: PatientKeys
    patient: Patient | None
    named_procedures: set[int] = field(default_factory=set)
    named_steps: set[int] = field(default_factory=set)
    took_values: bool = False
    taken: int | None = None
    outcomes: list[Outcome] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)

    @property
    def book(self) -> OrderBook:
        return self.draft.book

    @property
    def rules(self) -> Rules:
        return self.draft.book.rules

    @property
    def actor(self) -> str:
        return IMPORT if self.request.imported else f"hl7:{self.sender_name}"

    @property
    def sender_name(self) -> str:
        sender = self.request.message.sender
        return f"{sender.application}|{sender.facility}"

    def stamps(self, order: OrderRequest) -> Stamps:
        return in_time.stamps_of(self.request.message, order)

    def ended(self, outcome: Outcome, reason: str = "") -> None:
        self.outcomes.append(outcome)
        if reason:
            self.give_reason(reason)

    def give_reason(self, reason: str) -> None:
        """Keep a reason: each one once, and no more than the journal holds."""
        if len(self.reasons) < MOST_REASONS and reason not in self.reasons:
            self.reasons.append(reason)

    def event(self, kind: str, step: ScheduledStep, group: int, **facts: Any) -> None:
        self.draft.events.append(self._event(kind, step, group, **facts))

    def tell_hold(self, before: str | None, step: ScheduledStep, group: int) -> None:
        """Say in the timeline that a step became held, or is held no longer. before: why it was held."""
        self.draft.events += hold_event(self._event("", step, group), before, step)

    def _event(self, kind: str, step: ScheduledStep, group: int, **facts: Any) -> Event:
        return Event(self.book.now, step.order_id, kind, self.actor, step.procedure_id, step.id, group=group, **facts)

    def keep(self, procedure: RequestedProcedure, step: ScheduledStep) -> None:
        """Put a step whose values the message gave."""
        self.draft.put(step)
        self.named_procedures.add(procedure.id)
        self.named_steps.add(step.id)
        self.took_values = True
        self.taken = step.id

    def move(self, step: ScheduledStep, state: StepState, group: int) -> None:
        """Put the step with its new state, and say so in the timeline."""
        if step.state is not state:
            self.event("state", step, group, before=step.state.value, after=state.value)
        self.draft.put(replace(step, state=state))


def touch(draft: Draft, steps: list[ScheduledStep]) -> None:
    """Put steps as they are, so that they are encoded anew with what changed above them."""
    for step in steps:
        draft.put(step)
