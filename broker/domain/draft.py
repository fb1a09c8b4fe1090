"""A draft: one request's changes laid over the loaded trees, taken in only when the whole request succeeded."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Iterable, ValuesView
from datetime import datetime
from typing import TypeVar

from broker.domain.order import Alarm, Alias, Event, Forest, Order, Patient, RequestedProcedure, ScheduledStep
from broker.domain.timeline import next_moment

Record = TypeVar("Record")


class Layers(ChainMap[int, Record]):
    """Own records over loaded ones. A chain of any length looks each value up again, and a batch has many."""

    def __getitem__(self, number: int) -> Record:
        own, loaded = self.maps
        return own[number] if number in own else loaded[number]

    def values(self) -> ValuesView[Record]:
        own, loaded = self.maps
        return {**loaded, **own}.values()


class Draft:
    """Reads see the request's own changes first, then the forest; nothing below is touched.

    patients, orders, procedures, steps  by id; write with put()
    events, alarms, aliases              what is new
    """

    def __init__(self, forest: Forest) -> None:
        self.forest = forest
        self.patients: Layers[Patient] = Layers({}, forest.patients)
        self.orders: Layers[Order] = Layers({}, forest.orders)
        self.procedures: Layers[RequestedProcedure] = Layers({}, forest.procedures)
        self.steps: Layers[ScheduledStep] = Layers({}, forest.steps)
        self.events: list[Event] = []
        self.alarms: list[Alarm] = []
        self.aliases: list[Alias] = []

    def put(self, record: Patient | Order | RequestedProcedure | ScheduledStep) -> None:
        """Add a record or replace the one with its id."""
        if isinstance(record, ScheduledStep):
            self.steps[record.id] = record
        elif isinstance(record, RequestedProcedure):
            self.procedures[record.id] = record
        elif isinstance(record, Order):
            self.orders[record.id] = record
        else:
            self.patients[record.id] = record

    def procedures_of(self, order_id: int) -> list[RequestedProcedure]:
        return sorted((p for p in self.procedures.values() if p.order_id == order_id), key=lambda p: p.ordinal)

    def steps_of(self, procedure_id: int) -> list[ScheduledStep]:
        return sorted((s for s in self.steps.values() if s.procedure_id == procedure_id), key=lambda s: s.ordinal)

    def steps_of_order(self, order_id: int) -> list[ScheduledStep]:
        return [step for step in self.steps.values() if step.order_id == order_id]

    def moment(self, at: datetime, order_ids: Iterable[int]) -> datetime:
        """The time of what happens now to these orders: at, or later if the clock has gone back (`timeline`)."""
        orders = [self.orders[number] for number in order_ids]
        heard = (self.patients[order.patient_id].heard_at for order in orders)
        return next_moment(at, *(order.last_event_at for order in orders), *heard)

    def differs(self) -> bool:
        """True when a record is new or other than it was, or another name finds one."""
        layers = (self.patients, self.orders, self.procedures, self.steps)
        changed = (layer.maps[1].get(number) != record for layer in layers for number, record in layer.maps[0].items())
        return bool(self.aliases) or any(changed)

    def fold(self) -> None:
        """Take the draft into the forest, for the next request of the batch."""
        self.forest.patients.update(self.patients.maps[0])
        self.forest.orders.update(self.orders.maps[0])
        self.forest.procedures.update(self.procedures.maps[0])
        self.forest.steps.update(self.steps.maps[0])
        self.forest.aliases.extend(self.aliases)
