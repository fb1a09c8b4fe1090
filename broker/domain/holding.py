"""Steps that are held: when it began, why, and when it ended stand in the timeline; a person is told."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from broker.domain.order import Alarm, Event, ScheduledStep

HELD, RELEASED = "held", "released"


def hold_event(event: Event, before: str | None, step: ScheduledStep) -> list[Event]:
    """What the timeline is told when a step becomes held, is held for another reason, or is held no longer.

    event   when, to which step and by whom; its kind and detail are filled in
    before  why the step was held; None: it was not
    """
    if step.held == before:
        return []
    if step.held:
        return [replace(event, kind=HELD, detail={"reason": step.held})]
    return [replace(event, kind=RELEASED, detail={"reason": before})]


def hold_alarms(events: Iterable[Event]) -> list[Alarm]:
    """A held step is on nobody's list, so a person is told of each that becomes held."""
    return [
        Alarm("step-held", f"step {event.step_id}", event.order_id, str(event.detail["reason"]))
        for event in events
        if event.kind == HELD
    ]
