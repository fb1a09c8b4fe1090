"""What a message changed, as the timeline tells it: facts of the house before and after, of all other values the names.

A detail holds {"start_at": {"before": ..., "after": ...}} for each fact that changed, "changed": names of rows whose
values changed (never the values: they may be the patient's), and "confirmed": facts that we had filled in and that the
sender now says alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from broker.domain.order import Event, Order, RequestedProcedure, ScheduledStep
from broker.domain.request import Identifier, Values
from broker.domain.scheduling import MODALITY, START_DATE, START_TIME, STATION, STEP_ID

Record = Order | RequestedProcedure | ScheduledStep

NO_CHANGE = frozenset({"unchanged", "superseded", "remapped"})
"""Kinds of events after which an order has not changed; the last is our own reading of the same messages."""

FACTS: Mapping[type, tuple[str, ...]] = {
    Order: ("placer", "filler"),
    RequestedProcedure: ("accession", "study_uid", "requested_procedure_id"),
    ScheduledStep: ("step_id", "start_at", "modality", "stations", "held"),
}
"""Fields of each record that are no patient's data and whose values are told."""

FACT_OF = {
    START_DATE: "start_at", START_TIME: "start_at", MODALITY: "modality", STATION: "stations", STEP_ID: "step_id",
}  # fmt: skip
"""Rows from which a fact is settled: their names are told only where the fact stays."""


def detail_of(*pairs: tuple[Record, Record]) -> dict[str, Any]:
    """What changed between the records before and after; {} when nothing did."""
    detail: dict[str, Any] = {}
    names: set[str] = set()
    confirmed: set[str] = set()
    for before, after in pairs:
        for fact in FACTS[type(before)]:
            was, now = getattr(before, fact), getattr(after, fact)
            if _plain(was) != _plain(now):
                detail[fact] = {"before": _plain(was), "after": _plain(now)}
            elif was != now:
                names.add(f"{fact}_issuer")
        if not isinstance(before, Order) and not isinstance(after, Order):
            confirmed |= before.generated - after.generated
        names |= changed_names(_values(before), _values(after))
    names = {name for name in names if FACT_OF.get(name) not in detail.keys() | confirmed}
    confirmed -= detail.keys()
    return detail | _lists(names, confirmed)


def changed_names(before: Values, after: Values) -> set[str]:
    """Keys whose values are not the same."""
    return {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}


def with_names(event: Event, names: Iterable[str]) -> Event:
    """The event with more names among what changed."""
    known = {*event.detail.get("changed", ()), *names}
    return replace(event, detail={**event.detail, "changed": sorted(known)})


def _lists(names: set[str], confirmed: set[str]) -> dict[str, list[str]]:
    told = {"changed": sorted(names), "confirmed": sorted(confirmed)}
    return {word: listed for word, listed in told.items() if listed}


def _values(record: Record) -> Values:
    if isinstance(record, Order):
        return record.visit
    return record.values if isinstance(record, ScheduledStep) else {}


def _plain(value: Any) -> Any:
    """A fact as JSON has it; of a number without who gave it."""
    if isinstance(value, Identifier):
        return value.value
    return list(value) if isinstance(value, tuple) else value
