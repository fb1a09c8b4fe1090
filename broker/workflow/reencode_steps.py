"""After the profile's rows have changed: read the messages that made the open steps anew, and encode the steps again.

Runs at start, before the broker is ready. What the sender said is read again with the rows of today, in the order in
which it took effect; numbers, states and names that the house gave stay as they are.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from functools import cache
from typing import Protocol
from zoneinfo import ZoneInfo

import structlog

from broker.clock import Clock
from broker.domain.changes import detail_of
from broker.domain.draft import Draft
from broker.domain.holding import hold_alarms, hold_event
from broker.domain.in_time import Age, age, latest, stamps_of
from broker.domain.making import settle_step
from broker.domain.order import NOT_STARTED, OPEN, Event, ScheduledStep, Stamps
from broker.domain.request import KeepMessage, PlaceOrder, ReceivedMessage, Refusal, Sender, Values
from broker.domain.rules import Rules
from broker.domain.scheduling import continued, merge
from broker.errors import TooMany
from broker.hl7v2.reader import Message, read
from broker.hl7v2.times import message_interval
from broker.mapping.messages.readers import READERS
from broker.mapping.rows import RowSet
from broker.mapping.worklist_item import MESSAGE_TYPE, read_item
from broker.store.database import Database, Transaction
from broker.store.forest import load_forest
from broker.store.replay import JournalledMessage, ValueEvent, journalled, stale_patients, value_events
from broker.workflow.save_orders import save_drafts

log = structlog.get_logger()

PATIENTS_AT_ONCE = 50
"""Patients in one transaction, so that others get their turn at the lock."""


class Site(Protocol):
    """What we need of the site profile."""

    @property
    def rules(self) -> Rules: ...

    @property
    def rows(self) -> RowSet: ...

    def sender(self, application: str, facility: str) -> Sender: ...

    @property
    def zone(self) -> ZoneInfo: ...

    def charset_for(self, sender: Sender) -> str: ...


def reencode_open_steps(database: Database, site: Site, clock: Clock) -> int:
    """Encode again all open steps that other rows made; returns how many.

    raises  DatabaseUnavailable
    """
    count = 0
    while True:
        database.ids.top_up()
        with database.write() as tx:
            patients = stale_patients(tx, site.rows.hash, PATIENTS_AT_ONCE)
            if not patients:
                return count
            draft = _replayed(tx, site, clock, patients)
            save_drafts(tx, site.rows, database.ids, [draft], clock.now())
            count += len(draft.steps.maps[0])


def _replayed(tx: Transaction, site: Site, clock: Clock, patients: list[int]) -> Draft:
    """A draft in which the patients' open steps have the values that today's rows read."""
    draft = Draft(load_forest(tx, (), patients))
    reading = cache(lambda message_id: _read(tx, site, message_id))
    values = _Values(draft, site.rules)
    for event in value_events(tx, patients):
        values.take(event, reading(event.message_id))
    values.put()
    for step in [step for step in draft.steps.values() if step.state in OPEN]:
        _settle(draft, site, clock, step, values.senders.get(step.id, ""))
    return draft


def _read(tx: Transaction, site: Site, message_id: int) -> PlaceOrder | None:
    """A message, or an imported file, read with the rows of today; None when they refuse it: what is known stays."""
    kept = journalled(tx, message_id)
    received = ReceivedMessage(
        kept.raw,
        kept.peer,
        kept.received_at,
        site.sender(kept.application, kept.facility),
        version=kept.version,
        message_time=kept.message_time,
    )
    request: PlaceOrder | KeepMessage | None
    if kept.message_type == MESSAGE_TYPE:
        request = read_item(kept.raw, received, site).request
    else:
        request = _read_message(kept, received, site)
    if isinstance(request, PlaceOrder):
        return request
    log.warning("reencode.refused", message=message_id)
    return None


def _read_message(kept: JournalledMessage, received: ReceivedMessage, site: Site) -> PlaceOrder | KeepMessage | None:
    try:
        message = read(kept.raw, site.charset_for(received.sender))
    except TooMany:
        return None
    received = replace(received, message_time_latest=_latest(message, kept, site))
    return READERS[kept.message_type](message, received, site)


def _latest(message: Message, kept: JournalledMessage, site: Site) -> datetime | None:
    """The journal has only the earliest instant of MSH-7. Where another time zone was set then, its word holds."""
    earliest, latest_one = message_interval(message, site.zone) or (None, None)
    return latest_one if earliest == kept.message_time else None


class _Values:
    """What the messages said, gathered from nothing; where the rows of today refuse a message, what is known stays."""

    def __init__(self, draft: Draft, rules: Rules) -> None:
        self._draft = draft
        self._rows = rules.rows
        self.steps: dict[int, Values] = {}
        self.visits: dict[int, Values] = {}
        self.patients: dict[int, tuple[Values, Stamps]] = {}
        self.senders: dict[int, str] = {}
        self._last: dict[int, int] = {}
        self._kept: set[tuple[str, int]] = set()

    def take(self, event: ValueEvent, request: PlaceOrder | None) -> None:
        if request is None:
            self._kept |= {("patient", event.patient_id), ("order", event.order_id), ("step", event.step_id)}
            return
        order = next(o for o in request.orders if o.group == event.group)
        only = self._rows.descriptive if event.effect == "descriptive" else None
        type_1 = self._rows.type_1
        known = self.steps.get(event.step_id, {})
        again = self._last.get(event.step_id) == event.message_id
        self._last[event.step_id] = event.message_id
        changes = continued(known, order.step) if again else order.step
        self.steps[event.step_id] = merge(known, changes, type_1=type_1, only=only)
        self.visits[event.order_id] = merge(self.visits.get(event.order_id, {}), order.visit, type_1=type_1, only=only)
        sender = request.message.sender
        self.senders[event.step_id] = f"{sender.application}|{sender.facility}"
        self._take_patient(event.patient_id, request)

    def _take_patient(self, patient_id: int, request: PlaceOrder) -> None:
        known, stamps = self.patients.get(patient_id, ({}, {}))
        sent = stamps_of(request.message)
        if age(sent, stamps) is not Age.OLDER:
            changed = merge(known, request.patient.changes, type_1=self._rows.type_1)
            self.patients[patient_id] = (changed, latest(stamps, sent))

    def put(self) -> None:
        """Into the draft."""
        for patient_id, (values, _) in self.patients.items():
            if ("patient", patient_id) not in self._kept:
                self._draft.put(replace(self._draft.patients[patient_id], values=values))
        for order_id, visit in self.visits.items():
            if order_id in self._draft.orders and ("order", order_id) not in self._kept:
                self._draft.put(replace(self._draft.orders[order_id], visit=visit))
        for step_id, step_values in self.steps.items():
            if step_id in self._draft.steps and ("step", step_id) not in self._kept:
                self._draft.put(replace(self._draft.steps[step_id], values=step_values))


def _settle(draft: Draft, site: Site, clock: Clock, step: ScheduledStep, sender: str) -> None:
    """Let today's rules settle a step that has not begun; one that has is only encoded again."""
    draft.put(step)
    if step.state not in NOT_STARTED:
        return
    patient = draft.patients[draft.orders[step.order_id].patient_id]
    settled = settle_step(step, draft.procedures[step.procedure_id], patient.values, sender, site.rules)
    if isinstance(settled, Refusal):
        log.warning("reencode.kept", step=step.id)
        return
    draft.put(settled)
    if settled != step:
        event = Event(clock.now(), step.order_id, "remapped", "broker", step.procedure_id, step.id)
        told = [replace(event, detail=detail_of((step, settled))), *hold_event(event, step.held, settled)]
        draft.events += told
        draft.alarms += hold_alarms(told)
