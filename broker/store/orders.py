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
    tx: Connection, changed: Sequence[Order], known: set[int], issuer_ids: Mapping[Issuer, int], at: datetime
) -> None:
    """Write orders; `known` are the ids of those that have a row. When they changed is told by `touch_orders`."""
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
    _write(tx, rows, known, _UPDATE_ORDER, {"created_at": at, "updated_at": at})


def touch_orders(tx: Connection, known: set[int], events: Iterable[Event]) -> None:
    """Keep when each order last changed: the time of its latest event that changed something."""
    latest: dict[int, datetime] = {}
    for event in events:
        if event.kind not in NO_CHANGE and event.order_id in known:
            latest[event.order_id] = max(event.at, latest.get(event.order_id, event.at))
    write(tx, _UPDATE_ORDER, [{"of_id": number, "updated_at": latest[number]} for number in sorted(latest)])


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
    _write(tx, rows, known, _UPDATE_PROCEDURE, {})


def save_steps(
    tx: Connection,
    changed: Sequence[ScheduledStep],
    known: Mapping[int, ScheduledStep],
    columns: StepColumns,
    at: datetime,
) -> None:
    """Write steps with their encoded elements, and their stations; `known` are those that have a row, as they were."""
    new = [
        {"id": step.id, **_plain(step), "updated_at": at, **columns(step)} for step in changed if step.id not in known
    ]
    add(tx, scheduled_steps, new)
    by_shape: dict[tuple[str, ...], list[dict[str, Any]]] = defaultdict(list)
    for step in changed:
        if step.id in known:
            row = {"of_id": step.id, **_changed(known[step.id], step), "updated_at": at, **columns(step)}
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


def _write(tx: Connection, rows: list[dict[str, Any]], known: set[int], change: Any, born: Mapping[str, Any]) -> None:
    """Insert the rows whose id is new, update the others."""
    new = [
        {"id": row["of_id"], **{k: v for k, v in row.items() if k != "of_id"}, **born}
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
