"""Orders with their procedures and steps, written in bulk; `forest` loads them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, delete, update

from broker.domain.changes import NO_CHANGE
from broker.domain.order import LISTED, Alias, Event, Order, RequestedProcedure, ScheduledStep
from broker.domain.request import Issuer
from broker.store.ids import Ids
from broker.store.prepared import add, write
from broker.store.tables import aliases, orders, requested_procedures, scheduled_stations, scheduled_steps

StepColumns = Callable[[ScheduledStep], Mapping[str, Any]]
"""Columns of a step that its whole tree gives: elements, rows_hash; patient_id and match_* where they may be others."""

_UPDATE_ORDER = update(orders).where(orders.c.id == bindparam("of_id"))
_UPDATE_PROCEDURE = update(requested_procedures).where(requested_procedures.c.id == bindparam("of_id"))
_UPDATE_STEP = update(scheduled_steps).where(scheduled_steps.c.id == bindparam("of_id"))
_FORGET_STATIONS = delete(scheduled_stations).where(scheduled_stations.c.step_id == bindparam("of_id"))


def save_orders(
    tx: Connection,
    changed: Sequence[Order],
    known: set[int],
    issuer_ids: Mapping[Issuer, int],
    events: Sequence[Event],
    at: datetime,
) -> None:
    """Write orders; `known` are the ids of those that have a row. When these changed is told by `touch_orders`.

    events  of a new order, from its first on; at: where it has none
    """
    times = _times(events)
    first = {event.order_id: event.at for event in reversed(events)}
    rows = [
        {
            "of_id": order.id,
            "patient_id": order.patient_id,
            "sender_group": order.sender_group,
            "placer_number": order.placer.value if order.placer else None,
            "placer_issuer_id": issuer_ids[order.placer.issuer] if order.placer else None,
            "filler_number": order.filler.value if order.filler else None,
            "filler_issuer_id": issuer_ids[order.filler.issuer] if order.filler else None,
            "visit": order.visit,
        }
        for order in changed
    ]

    def born(number: int) -> Mapping[str, Any]:
        return {"created_at": first.get(number, at), "updated_at": at, "last_event_at": at, **times.get(number, {})}

    _write(tx, rows, known, _UPDATE_ORDER, born)


def touch_orders(tx: Connection, known: set[int], events: Iterable[Event]) -> None:
    """Keep when each order last changed, and when its latest event was. events: in their order"""
    rows = [{"of_id": number, **times} for number, times in sorted(_times(events).items()) if number in known]
    write(tx, _UPDATE_ORDER, [row for row in rows if "updated_at" in row])
    write(tx, _UPDATE_ORDER, [row for row in rows if "updated_at" not in row])


def _times(events: Iterable[Event]) -> dict[int, dict[str, datetime]]:
    """By order, the columns that say when something last happened to it, and when something last changed."""
    times: dict[int, dict[str, datetime]] = defaultdict(dict)
    for event in events:
        times[event.order_id]["last_event_at"] = event.at
        if event.kind not in NO_CHANGE:
            times[event.order_id]["updated_at"] = event.at
    return times


def save_procedures(
    tx: Connection, changed: Sequence[RequestedProcedure], known: set[int], issuer_ids: Mapping[Issuer, int]
) -> None:
    """Write requested procedures; `known` are the ids of those that have a row."""
    rows = [
        {
            "of_id": procedure.id,
            "order_id": procedure.order_id,
            "ordinal": procedure.ordinal,
            "requested_procedure_id": procedure.requested_procedure_id,
            "accession_number": procedure.accession.value,
            "accession_issuer_id": issuer_ids[procedure.accession.issuer],
            "study_uid": procedure.study_uid,
            "generated": sorted(procedure.generated),
        }
        for procedure in changed
    ]
    _write(tx, rows, known, _UPDATE_PROCEDURE, lambda number: {})


def save_steps(
    tx: Connection,
    changed: Sequence[ScheduledStep],
    known: Mapping[int, ScheduledStep],
    columns: StepColumns,
    time_of: Callable[[int], datetime],
) -> None:
    """Write steps with their encoded elements, and their stations; `known` are those that have a row, as they were.

    time_of  when something last happened to the order of this id
    """
    new = [
        {"id": step.id, **_plain(step), "updated_at": time_of(step.order_id), **columns(step)}
        for step in changed
        if step.id not in known
    ]
    add(tx, scheduled_steps, new)
    by_shape: dict[tuple[str, ...], list[dict[str, Any]]] = defaultdict(list)
    for step in changed:
        if step.id in known:
            changes = _changed(known[step.id], step)
            row = {"of_id": step.id, **changes, "updated_at": time_of(step.order_id), **columns(step)}
            by_shape[tuple(row)].append(row)
    for rows in by_shape.values():
        write(tx, _UPDATE_STEP, rows)
    moved = [step for step in changed if step.id not in known or known[step.id].stations != step.stations]
    write(tx, _FORGET_STATIONS, [{"of_id": step.id} for step in moved if step.id in known])
    stations = [
        {"step_id": step.id, "ae_title": title, "position": position}
        for step in moved
        for position, title in enumerate(dict.fromkeys(step.stations))
    ]
    add(tx, scheduled_stations, stations)


def _plain(step: ScheduledStep) -> dict[str, Any]:
    """The columns of a step that it holds itself."""
    return {
        "order_id": step.order_id,
        "procedure_id": step.procedure_id,
        "ordinal": step.ordinal,
        "step_id": step.step_id,
        "state": step.state.value,
        "held": step.held,
        "modality": step.modality,
        "start_at": step.start_at,
        "values": step.values,
        "generated": sorted(step.generated),
        "stamps": step.stamps,
        "received_at": step.received_at,
        "any_station": not step.stations,
        "listed": step.held is None and step.state in LISTED,
    }


def _changed(before: ScheduledStep, now: ScheduledStep) -> dict[str, Any]:
    """Only what is different: indexes of what a step is found by are left alone when it only moves on."""
    held = _plain(before)
    return {name: value for name, value in _plain(now).items() if value != held[name]}


def _write(
    tx: Connection, rows: list[dict[str, Any]], known: set[int], change: Any, born: Callable[[int], Mapping[str, Any]]
) -> None:
    """Insert the rows whose id is new, update the others. born: what a new row has besides, by its id"""
    new = [
        {"id": row["of_id"], **{k: v for k, v in row.items() if k != "of_id"}, **born(row["of_id"])}
        for row in rows
        if row["of_id"] not in known
    ]
    add(tx, change.table, new)
    write(tx, change, [row for row in rows if row["of_id"] in known])


def save_aliases(tx: Connection, ids: Ids, new: Sequence[Alias], issuer_ids: Mapping[Issuer, int]) -> None:
    """Write new aliases."""
    rows = [
        {
            "id": ids.next("aliases"),
            "kind": alias.kind.value,
            "value": alias.value,
            "issuer_id": issuer_ids[alias.issuer],
            "order_id": alias.order_id,
            "procedure_id": alias.procedure_id,
            "step_id": alias.step_id,
            "source": alias.source,
        }
        for alias in new
    ]
    add(tx, aliases, rows)
