"""Times of an order's timeline: they never run backwards, even if our clock does.

Timelines are shown in the order of these times, and after a change of the profile messages are read again in that
order. Row ids cannot give it, because each process takes them from blocks of its own. So if the clock is behind the
last event of an order, or behind the last news of its patient, the next event is stamped just after that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime, timedelta

from broker.domain.order import Event, Order, Patient

TICK = timedelta(microseconds=1)
"""The step from one time to the next while the clock is behind: the finest that is stored."""


def next_moment(at: datetime, *known: datetime | None) -> datetime:
    """`at`, or just after the latest known time if that is not earlier."""
    latest = max(filter(None, known), default=at)
    return at if at >= latest else latest + TICK


class Latest:
    """Time of the latest event by order, and by patient, within a batch of events."""

    def __init__(self) -> None:
        self._orders: dict[int, datetime] = {}
        self._patients: dict[int, datetime] = {}

    def take(self, at: datetime, order: Order, patient: Patient) -> datetime:
        """The time of the next event of this order. at: by the clock"""
        before = self._orders.get(order.id), self._patients.get(patient.id)
        moment = next_moment(at, order.last_event_at, patient.heard_at, *before)
        self._orders[order.id] = self._patients[patient.id] = moment
        return moment

    def of_order(self, order: Order, at: datetime) -> datetime:
        """When its latest event was. at: by the clock, for one that has none in this batch"""
        return self._orders.get(order.id) or next_moment(at, order.last_event_at)

    def of_patient(self, patient: Patient, at: datetime) -> datetime:
        return self._patients.get(patient.id) or next_moment(at, patient.heard_at)


def in_sequence(
    events: Iterable[Event], order_of: Callable[[int], Order], patient_of: Callable[[int], Patient]
) -> tuple[list[Event], Latest]:
    """The events of a batch with times that never run back. order_of, patient_of: records by id."""
    latest, told = Latest(), []
    for event in events:
        order = order_of(event.order_id)
        at = latest.take(event.at, order, patient_of(order.patient_id))
        told.append(event if at == event.at else replace(event, at=at))
    return told, latest
