"""What people are shown: messages, orders, scheduled steps. Reads only; every list has a limit.

Instants are UTC. Start times of steps are department wall-clock, YYYYMMDDHHMMSS, as DICOM has them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, or_, select

from broker.domain.order import OPEN, StepState, order_status
from broker.store.one_of import is_any, many
from broker.store.tables import (
    aliases,
    messages,
    orders,
    patient_identifiers,
    patients,
    requested_procedures,
    scheduled_stations,
    scheduled_steps,
)


@dataclass(frozen=True, slots=True)
class ShownMessage:
    """A journalled message. cause: None when it was accepted; raw: only where one message was asked for."""

    id: int
    received_at: datetime
    peer: str
    sender: str
    message_type: str
    control_id: str
    version: str
    charset: str
    outcome: str
    reason: str
    cause: str | None
    location: str
    answers: int | None
    raw: bytes | None = None


@dataclass(frozen=True, slots=True)
class ShownStep:
    """A scheduled step. stations empty: open to every station; held: why no query shows it."""

    id: int
    order_id: int
    step_id: str
    requested_procedure_id: str
    accession_number: str
    study_uid: str
    state: str
    held: str | None
    modality: str | None
    stations: tuple[str, ...]
    start_at: str | None
    patient_id: str
    patient_name: str
    description: str


@dataclass(frozen=True, slots=True)
class ShownOrder:
    """An order in one line. status is derived from its steps."""

    id: int
    placer_number: str | None
    filler_number: str | None
    accession_numbers: tuple[str, ...]
    patient_id: str
    patient_name: str
    status: str
    steps: int
    created_at: datetime
    updated_at: datetime


MESSAGE_COLUMNS = tuple(
    messages.c[name]
    for name in (
        "id", "received_at", "peer", "sender", "message_type", "control_id", "version", "charset",
        "outcome", "reason", "cause", "location", "answers",
    )
)  # fmt: skip


def list_messages(tx: Connection, limit: int, outcome: str | None = None) -> list[ShownMessage]:
    """The latest messages, newest first, at most `limit`; without their bytes."""
    query: Select[Any] = select(*MESSAGE_COLUMNS).order_by(messages.c.id.desc()).limit(limit)
    if outcome is not None:
        query = query.where(messages.c.outcome == outcome)
    return [ShownMessage(*row) for row in tx.execute(query)]


def message(tx: Connection, message_id: int) -> ShownMessage | None:
    """One message with its bytes; None when there is none."""
    query: Select[Any] = select(*MESSAGE_COLUMNS, messages.c.raw).where(messages.c.id == message_id)
    row = tx.execute(query).first()
    return ShownMessage(*row) if row else None


def list_orders(tx: Connection, limit: int, patient: str | None = None) -> list[ShownOrder]:
    """The orders that changed last, newest first, at most `limit`.

    patient  only those of whom this number, present or former, names
    """
    query = _orders().order_by(orders.c.updated_at.desc(), orders.c.id.desc()).limit(limit)
    if patient is not None:
        named = select(patient_identifiers.c.patient_id).where(patient_identifiers.c.value == patient)
        query = query.where(orders.c.patient_id.in_(named))
    return _with_steps(tx, tx.execute(query).all())


def find_order(tx: Connection, text: str, limit: int = 20) -> list[ShownOrder]:
    """Orders that `text` names or named: accession, placer or filler number, or Study Instance UID; oldest first."""
    by_procedure = select(requested_procedures.c.order_id).where(
        or_(requested_procedures.c.accession_number == text, requested_procedures.c.study_uid == text)
    )
    kinds = ("accession", "placer", "filler", "study_uid")
    by_alias = select(aliases.c.order_id).where(aliases.c.value == text, aliases.c.kind.in_(kinds))
    named = or_(
        orders.c.placer_number == text,
        orders.c.filler_number == text,
        orders.c.id.in_(by_procedure),
        orders.c.id.in_(by_alias),
    )
    rows = tx.execute(_orders().where(named).order_by(orders.c.id).limit(limit)).all()
    return _with_steps(tx, rows)


def list_steps(tx: Connection, limit: int, station: str | None = None, date: str | None = None) -> list[ShownStep]:
    """Open steps, held ones included, earliest first, at most `limit`.

    station  only those planned for this AE title, or open to any
    date     YYYYMMDD: only those that start on this day
    """
    wanted: ColumnElement[bool] = scheduled_steps.c.state.in_([state.value for state in OPEN])
    if station is not None:
        planned = select(scheduled_stations.c.step_id).where(scheduled_stations.c.ae_title == station)
        wanted &= scheduled_steps.c.any_station | scheduled_steps.c.id.in_(planned)
    if date is not None:
        wanted &= scheduled_steps.c.start_at.between(f"{date}000000", f"{date}235959")
    return steps_where(tx, wanted, limit)


def _orders() -> Select[Any]:
    return (
        select(
            orders.c.id, orders.c.placer_number, orders.c.filler_number, patient_identifiers.c.value,
            patients.c["values"].label("patient"), orders.c.created_at, orders.c.updated_at,
        )
        .join(patients, patients.c.id == orders.c.patient_id)
        .outerjoin(
            patient_identifiers,
            (patient_identifiers.c.patient_id == patients.c.id) & (patient_identifiers.c.position == 0),
        )
    )  # fmt: skip


def _with_steps(tx: Connection, rows: Sequence[Row[Any]]) -> list[ShownOrder]:
    ids = [row.id for row in rows]
    accessions = _grouped(
        tx, select(requested_procedures.c.order_id, requested_procedures.c.accession_number)
        .where(is_any(tx.dialect.name, requested_procedures.c.order_id, "ids"))
        .order_by(requested_procedures.c.ordinal), ids,
    )  # fmt: skip
    states = _grouped(
        tx, select(scheduled_steps.c.order_id, scheduled_steps.c.state)
        .where(is_any(tx.dialect.name, scheduled_steps.c.order_id, "ids")), ids,
    )  # fmt: skip
    return [
        ShownOrder(
            id=row.id,
            placer_number=row.placer_number,
            filler_number=row.filler_number,
            accession_numbers=tuple(dict.fromkeys(accessions[row.id])),
            patient_id=row.value or "",
            patient_name=_name(row.patient),
            status=order_status([StepState(state) for state in states[row.id]]),
            steps=len(states[row.id]),
            created_at=row.created_at,
            updated_at=row.updated_at,
        )
        for row in rows
    ]


def _grouped(tx: Connection, query: Any, ids: Iterable[int]) -> dict[int, list[str]]:
    found: dict[int, list[str]] = defaultdict(list)
    for key, value in tx.execute(query, {"ids": many(tx, ids)}):
        found[key].append(value)
    return found


def steps_where(tx: Connection, wanted: ColumnElement[bool], limit: int) -> list[ShownStep]:
    query = (
        select(scheduled_steps, requested_procedures.c.requested_procedure_id, requested_procedures.c.accession_number,
               requested_procedures.c.study_uid, patients.c["values"].label("patient"))
        .join(requested_procedures, requested_procedures.c.id == scheduled_steps.c.procedure_id)
        .join(patients, patients.c.id == scheduled_steps.c.patient_id)
        .where(wanted)
        .order_by(scheduled_steps.c.start_at, scheduled_steps.c.id)
        .limit(limit)
    )  # fmt: skip
    rows = tx.execute(query).all()
    stations = _grouped(
        tx, select(scheduled_stations.c.step_id, scheduled_stations.c.ae_title)
        .where(is_any(tx.dialect.name, scheduled_stations.c.step_id, "ids")).order_by(scheduled_stations.c.position),
        [row.id for row in rows],
    )  # fmt: skip
    return [_shown_step(row, tuple(stations[row.id])) for row in rows]


def _shown_step(row: Row[Any], stations: tuple[str, ...]) -> ShownStep:
    values = row._mapping[scheduled_steps.c["values"]]
    described = ("ScheduledProcedureStepSequence.ScheduledProcedureStepDescription", "RequestedProcedureDescription")
    return ShownStep(
        id=row.id,
        order_id=row.order_id,
        step_id=row.step_id,
        requested_procedure_id=row.requested_procedure_id,
        accession_number=row.accession_number,
        study_uid=row.study_uid,
        state=row.state,
        held=row.held,
        modality=row.modality,
        stations=stations,
        start_at=row.start_at,
        patient_id=row.match_patient_id,
        patient_name=_name(row.patient),
        description=next((text for key in described if isinstance(text := values.get(key), str)), ""),
    )


def _name(values: Mapping[str, Any]) -> str:
    name = values.get("PatientName", "")
    return name if isinstance(name, str) else "\\".join(str(part) for part in name)
