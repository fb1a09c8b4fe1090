"""Orders as trees, loaded by id with all that the rules need of them; `orders` writes them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Connection, Select, literal, select

from broker.domain.linking import Sure
from broker.domain.order import (
    OPEN,
    Alias,
    AliasKind,
    Forest,
    Order,
    PerformedState,
    RequestedProcedure,
    ScheduledStep,
    StepState,
)
from broker.domain.request import NO_ISSUER, Identifier, Issuer
from broker.store.issuers import all_issuers
from broker.store.one_of import is_any, many
from broker.store.patients import load_patients
from broker.store.prepared import prepared
from broker.store.tables import (
    aliases,
    orders,
    performed_links,
    performed_steps,
    requested_procedures,
    scheduled_stations,
    scheduled_steps,
)

_OPEN_STATES = tuple(sorted(state.value for state in OPEN))


def load_forest(
    tx: Connection,
    order_ids: Iterable[int],
    patient_ids: Iterable[int] = (),
    alone: Iterable[int] = (),
    *,
    lock: bool = True,
) -> Forest:
    """The whole trees of these orders and of these patients' open orders, with all their patients.

    alone  patients to load without their orders
    lock   False: for looking only, in a transaction that may not write
    """
    wanted, people = set(order_ids), set(patient_ids)
    if people:
        wanted |= _open_orders(tx, people)
    chosen = {"ids": many(tx, wanted)}
    found = (_orders_to_change if lock else _orders).rows(tx, chosen) if wanted else []
    # Not before: who held the orders until now may have named new ones.
    forest = Forest(issuers={number: issuer for issuer, number in all_issuers(tx).items()})
    if found:
        _take_orders(forest, found)
        _load_procedures(tx, forest, chosen)
        _load_steps(tx, forest, chosen)
        forest.aliases = [
            Alias(AliasKind(row.kind), row.value, forest.issuers[row.issuer_id], *row[3:])
            for row in _aliases.rows(tx, chosen)
        ]
        _load_performed(tx, forest, chosen)
    forest.patients = load_patients(tx, people.union(alone) | {order.patient_id for order in forest.orders.values()})
    return forest.loaded()


def _open_orders(tx: Connection, patient_ids: set[int]) -> set[int]:
    return set(_open_orders_of.scalars(tx, {"ids": many(tx, patient_ids)}))


@prepared
def _open_orders_of(dialect: str) -> Select[Any]:
    steps = scheduled_steps.c
    is_open = steps.state.in_([literal(state) for state in _OPEN_STATES])
    return select(steps.order_id).distinct().where(is_any(dialect, steps.patient_id, "ids"), is_open)


def _take_orders(forest: Forest, found: Iterable[Any]) -> None:
    known = forest.issuers
    for row in found:
        forest.orders[row.id] = Order(
            row.id,
            row.patient_id,
            row.sender_group,
            _identifier(row.placer_number, row.placer_issuer_id, known),
            _identifier(row.filler_number, row.filler_issuer_id, known),
            row.visit,
            row.last_event_at or row.updated_at,
        )


def _load_procedures(tx: Connection, forest: Forest, chosen: Mapping[str, Any]) -> None:
    for row in _procedures.rows(tx, chosen):
        forest.procedures[row.id] = RequestedProcedure(
            row.id,
            row.order_id,
            row.ordinal,
            row.requested_procedure_id,
            Identifier(row.accession_number, forest.issuers[row.accession_issuer_id]),
            row.study_uid,
            frozenset(row.generated),
        )


def _load_steps(tx: Connection, forest: Forest, chosen: Mapping[str, Any]) -> None:
    stations: dict[int, list[str]] = defaultdict(list)
    for step_id, ae_title in _stations.rows(tx, chosen):
        stations[step_id].append(ae_title)
    for row in _steps.rows(tx, chosen):
        forest.steps[row.id] = _step(row, tuple(stations[row.id]))
        forest.elements[row.id] = (row.rows_hash, row.elements)


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
    """What was performed of each step, and when each study began; links that are only proposals are left out."""
    for row in _performed.rows(tx, chosen):
        if row.step_id is not None:
            forest.performed.setdefault(row.step_id, {})[row.id] = PerformedState(row.state)
        earliest = forest.study_starts.get(row.procedure_id, row.started_at)
        forest.study_starts[row.procedure_id] = min(earliest, row.started_at)


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
        s.rows_hash,
        s.elements,
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
    columns = (a.kind, a.value, a.issuer_id, a.order_id, a.procedure_id, a.step_id, a.source)
    return select(*columns).where(is_any(dialect, a.order_id, "ids")).order_by(a.id)


@prepared
def _performed(dialect: str) -> Select[Any]:
    links, performed = performed_links.c, performed_steps.c
    return (
        select(links.step_id, links.procedure_id, performed.id, performed.state, performed.started_at)
        .join(performed_steps, performed.id == links.performed_step_id)
        .where(is_any(dialect, links.order_id, "ids"), links.sure != Sure.PROPOSAL.value)
    )
