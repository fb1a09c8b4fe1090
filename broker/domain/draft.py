"""A draft: one request's changes laid over the loaded trees, taken in only when the whole request succeeded."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from broker.domain.layers import AliasIndex, Layers
from broker.domain.order import (
    Alarm,
    Alias,
    AliasKind,
    Event,
    Forest,
    Order,
    Patient,
    RequestedProcedure,
    ScheduledStep,
)
from broker.domain.timeline import next_moment


class Draft:
    """Reads see the request's own changes first, then the forest; nothing below is touched.

    patients, orders, procedures, steps  by id; write with put()
    events, alarms, aliases              what is new
    """

    def __init__(self, forest: Forest) -> None:
        self.forest = forest
        self.patients: Layers[Patient] = Layers(forest.patients, forest.found_by, "patients")
        self.orders: Layers[Order] = Layers(forest.orders, forest.found_by, "orders")
        self.procedures: Layers[RequestedProcedure] = Layers(forest.procedures, forest.found_by, "procedures")
        self.steps: Layers[ScheduledStep] = Layers(forest.steps, forest.found_by, "steps")
        self.events: list[Event] = []
        self.alarms: list[Alarm] = []
        self.aliases: list[Alias] = []
        self._alias_index = AliasIndex()

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
        found = self.procedures.with_key("order", order_id)
        return sorted((p for p in found if p.order_id == order_id), key=lambda p: p.ordinal)

    def steps_of(self, procedure_id: int) -> list[ScheduledStep]:
        found = self.steps.with_key("procedure", procedure_id)
        return sorted((s for s in found if s.procedure_id == procedure_id), key=lambda s: s.ordinal)

    def steps_of_order(self, order_id: int) -> list[ScheduledStep]:
        return [step for step in self.steps.with_key("order", order_id) if step.order_id == order_id]

    def aliases_of(self, kind: AliasKind, value: str) -> list[Alias]:
        """Known aliases and the request's own, by what they stand for and their text."""
        if not self.forest.found_alias:
            self.forest.found_alias.append(AliasIndex())
        known: list[Alias] = self.forest.found_alias[0].find(self.forest.aliases, kind, value)
        return known + self._alias_index.find(self.aliases, kind, value)

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
        self.patients.fold()
        self.orders.fold()
        self.procedures.fold()
        self.steps.fold()
        self.forest.aliases.extend(self.aliases)
