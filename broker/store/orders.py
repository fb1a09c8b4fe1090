"""Orders as trees: loaded by id, written in bulk."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, bindparam, delete, func, literal, select, update

from broker.domain.changes import NO_CHANGE
from broker.domain.order import (
    LISTED,
    OPEN,
    Alias,
    AliasKind,
    Event,
    Forest,
    Order,
    RequestedProcedure,
    ScheduledStep,
    StepState,
)
from broker.domain.request import NO_ISSUER, Identifier, Issuer
from broker.store.ids import Ids
from broker.store.one_of import is_any, many
from broker.store.patients import load_patients
from broker.store.prepared import add, prepared, write
from broker.store.tables import (
    aliases,
    issuers,
    orders,
    performed_links,
    performed_steps,
    requested_procedures,
    scheduled_stations,
    scheduled_steps,
)

IN_PROGRESS = "IN PROGRESS"
_OPEN_STATES = tuple(sorted(state.value for state in OPEN))


def load_forest(
    tx: Connection, order_ids: Iterable[int], patient_ids: Iterable[int] = (), *, lock: bool = True
) -> Forest:
    """The whole trees of these orders and of these patients' open orders, with all their patients.

    lock  False: for looking only, in a transaction that may not write
    """
    wanted, people = set(order_ids), set(patient_ids)
    if people:
        wanted |= _open_orders(tx, people)
    forest = Forest()
    if wanted:
        chosen = {"ids": many(tx, wanted)}
        _load_steps(tx, forest, chosen, lock)
        forest.aliases = [
            Alias(AliasKind(row[0]), row[1], Issuer(row[2] or None, row[3] or None, row[4] or None), *row[5:])
            for row in _aliases.rows(tx, chosen)
        ]
        _load_performed(tx, forest, chosen)
    forest.patients = load_patients(tx, people | {order.patient_id for order in forest.orders.values()})
    return forest.loaded()


def _open_orders(tx: Connection, patient_ids: set[int]) -> set[int]:
    return set(_open_orders_of.scalars(tx, {"ids": many(tx, patient_ids)}))


@prepared
def _open_orders_of(dialect: str) -> Select[Any]:
    steps = scheduled_steps.c
    is_open = steps.state.in_([literal(state) for state in _OPEN_STATES])
    return select(steps.order_id).distinct().where(is_any(dialect, steps.patient_id, "ids"), is_open)


def _load_steps(tx: Connection, forest: Forest, chosen: Mapping[str, Any], lock: bool) -> None:
    known = {row[0]: Issuer(row[1] or None, row[2] or None, row[3] or None) for row in tx.execute(_ISSUERS)}
    for row in (_orders_to_change if lock else _orders).rows(tx, chosen):
        forest.orders[row.id] = Order(
            row.id,
            row.patient_id,
            row.sender_group,
            _identifier(row.placer_number, row.placer_issuer_id, known),
            _identifier(row.filler_number, row.filler_issuer_id, known),
            row.visit,
        )
    for row in _procedures.rows(tx, chosen):
        forest.procedures[row.id] = RequestedProcedure(
            row.id,
            row.order_id,
            row.ordinal,
            row.requested_procedure_id,
            Identifier(row.accession_number, known[row.accession_issuer_id]),
            row.study_uid,
            frozenset(row.generated),
        )
    stations: dict[int, list[str]] = defaultdict(list)
    for step_id, ae_title in _stations.rows(tx, chosen):
        stations[step_id].append(ae_title)
    for row in _steps.rows(tx, chosen):
        forest.steps[row.id] = _step(row, tuple(stations[row.id]))


def _identifier(value: str | None, issuer_id: int | None, known: Mapping[int, Issuer]) -> Identifier | None:
    return None if value is None else Identifier(value, known[issuer_id] if issuer_id is not None else NO_ISSUER)


def _step(row: Any, stations: tuple[str, ...]) -> ScheduledStep:
    return ScheduledStep(
        id=row.id,
        order_id=row.order_id,
        procedure_id=row.procedure_id,
        ordinal=row.ordinal,
        step_id=row.step_id,
        state=StepState(row.state),
        held=row.held,
        modality=row.modality,
        stations=stations,
        start_at=row.start_at,
        received_at=row.received_at,
        values=row.values_,
        generated=frozenset(row.generated),
        stamps=row.stamps,
    )


def _load_performed(tx: Connection, forest: Forest, chosen: Mapping[str, Any]) -> None:
    """How many performed steps of each step are open, and when each study began."""
    for step_id, procedure_id, open_count, began in _performed.rows(tx, chosen):
        if step_id is not None and open_count:
            forest.open_performed[step_id] = open_count
        earliest = forest.study_starts.get(procedure_id)
        forest.study_starts[procedure_id] = min(began, earliest) if earliest else began


_ISSUERS = select(issuers.c.id, issuers.c.namespace, issuers.c.universal_id, issuers.c.universal_type)


@prepared
def _orders(dialect: str) -> Select[Any]:
    return select(orders).where(is_any(dialect, orders.c.id, "ids")).order_by(orders.c.id)


@prepared
def _orders_to_change(dialect: str) -> Select[Any]:
    """Locked for the transaction, in one order for everybody (PostgreSQL; SQLite has one writer at a time anyway)."""
    return select(orders).where(is_any(dialect, orders.c.id, "ids")).order_by(orders.c.id).with_for_update()


@prepared
def _procedures(dialect: str) -> Select[Any]:
    return select(requested_procedures).where(is_any(dialect, requested_procedures.c.order_id, "ids"))


@prepared
def _steps(dialect: str) -> Select[Any]:
    s = scheduled_steps.c
    return select(
        s.id,
        s.order_id,
        s.procedure_id,
        s.ordinal,
        s.step_id,
        s.state,
        s.held,
        s.modality,
        s.start_at,
        s.received_at,
        s["values"].label("values_"),
        s.generated,
        s.stamps,
    ).where(is_any(dialect, s.order_id, "ids"))


@prepared
def _stations(dialect: str) -> Select[Any]:
    c = scheduled_stations.c
    return (
        select(c.step_id, c.ae_title)
        .join(scheduled_steps, scheduled_steps.c.id == c.step_id)
        .where(is_any(dialect, scheduled_steps.c.order_id, "ids"))
        .order_by(c.step_id, c.position)
    )


@prepared
def _aliases(dialect: str) -> Select[Any]:
    a = aliases.c
    return (
        select(
            a.kind,
            a.value,
            issuers.c.namespace,
            issuers.c.universal_id,
            issuers.c.universal_type,
            a.order_id,
            a.procedure_id,
            a.step_id,
            a.source,
        )
        .join(issuers, issuers.c.id == a.issuer_id)
        .where(is_any(dialect, a.order_id, "ids"))
        .order_by(a.id)
    )


@prepared
def _performed(dialect: str) -> Select[Any]:
    links = performed_links.c
    is_open = performed_steps.c.state == IN_PROGRESS
    return (
        select(
            links.step_id,
            links.procedure_id,
            func.count(performed_steps.c.id).filter(is_open),
            func.min(performed_steps.c.started_at),
        )
        .join(performed_steps, performed_steps.c.id == links.performed_step_id)
        .where(is_any(dialect, links.order_id, "ids"), links.sure != "proposal")
        .group_by(links.step_id, links.procedure_id)
    )


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
