"""Scheduled steps put straight into the tables, for tests of what is read from them."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import insert, select

from broker.domain.matching import fold
from broker.domain.order import LISTED, Facts, StepState
from broker.domain.request import NO_ISSUER, Value
from broker.mapping.encode import encode
from broker.mapping.rows import RowSet
from broker.store.database import Database
from broker.store.tables import (
    issuers,
    orders,
    patients,
    requested_procedures,
    scheduled_stations,
    scheduled_steps,
)

STEP = "ScheduledProcedureStepSequence"
SINCE = datetime(2026, 3, 1, 8, 0, tzinfo=UTC)


@dataclass(frozen=True)
class PlannedStep:
    """A step as a test names it; values are further ones by row key."""

    name: str = "DOE^ANN"
    patient_id: str = "P1"
    accession: str = "A1"
    procedure_id: str = "RP1"
    study_uid: str = "1.2.3"
    step_id: str = "S1"
    modality: str = "CT"
    stations: tuple[str, ...] = ()
    start_at: str = "20260302101500"
    state: str = "SCHEDULED"
    held: str | None = None
    values: dict[str, Value] = field(default_factory=dict)

    def all_values(self) -> dict[str, Value]:
        """What the stored elements are made of, by row key."""
        return {
            "PatientName": self.name,
            "PatientID": self.patient_id,
            "AccessionNumber": self.accession,
            "RequestedProcedureID": self.procedure_id,
            "StudyInstanceUID": self.study_uid,
            f"{STEP}.ScheduledProcedureStepID": self.step_id,
            f"{STEP}.Modality": self.modality,
            f"{STEP}.ScheduledStationAETitle": list(self.stations),
            f"{STEP}.ScheduledProcedureStepStartDate": self.start_at[:8],
            f"{STEP}.ScheduledProcedureStepStartTime": self.start_at[8:],
            f"{STEP}.ScheduledProcedureStepStatus": self.state,
            **self.values,
        }


def put_steps(
    database: Database, rows: RowSet, planned: Iterable[PlannedStep], first_id: int = 1, lacking: Collection[str] = ()
) -> None:
    """Insert steps with ids first_id, first_id + 1 ..., each with an order, a procedure and a patient of its own.

    lacking  columns of steps that an older database does not have
    """
    made = [_records(number, step, rows) for number, step in enumerate(planned, first_id)]
    for one in made:
        one["scheduled_steps"] = {k: v for k, v in one["scheduled_steps"].items() if k not in lacking}
    with database.write() as tx:
        if tx.execute(select(issuers.c.id).where(issuers.c.id == 0)).first() is None:
            tx.execute(insert(issuers), {"id": 0, "namespace": "", "universal_id": "", "universal_type": ""})
        for table in (patients, orders, requested_procedures, scheduled_steps):
            if found := [one[table.name] for one in made]:
                tx.execute(insert(table), found)
        if titles := [title for one in made for title in one["stations"]]:
            tx.execute(insert(scheduled_stations), titles)


def forget_steps(database: Database) -> None:
    """Delete what put_steps inserted."""
    with database.write() as tx:
        for table in (scheduled_stations, scheduled_steps, requested_procedures, orders, patients):
            tx.execute(table.delete())


def _records(number: int, step: PlannedStep, rows: RowSet) -> dict[str, Any]:
    facts = Facts(step.patient_id, NO_ISSUER, (), step.study_uid, step.state, None)
    elements = encode(rows, step.all_values(), facts)
    at = {"created_at": SINCE, "updated_at": SINCE}
    return {
        "patients": {"id": number, "values": {}, "others": [], "stamps": {}, **at},
        "orders": {"id": number, "patient_id": number, "sender_group": "TEST", "visit": {}, **at},
        "requested_procedures": {
            "id": number, "order_id": number, "ordinal": 1, "requested_procedure_id": step.procedure_id,
            "accession_number": step.accession, "accession_issuer_id": 0, "study_uid": step.study_uid, "generated": [],
        },
        "scheduled_steps": {
            "id": number, "order_id": number, "procedure_id": number, "patient_id": number, "ordinal": 1,
            "step_id": step.step_id, "state": step.state, "held": step.held, "modality": step.modality,
            "start_at": step.start_at, "values": {}, "generated": [], "stamps": {}, "received_at": SINCE,
            "updated_at": SINCE, "match_patient_id": step.patient_id, "match_patient_name": fold(step.name),
            "match_accession": step.accession, "match_procedure_id": step.procedure_id,
            "match_study_uid": step.study_uid, "any_station": not step.stations, "elements": elements,
            "rows_hash": rows.hash, "listed": step.held is None and StepState(step.state) in LISTED,
        },
        "stations": [
            {"step_id": number, "ae_title": title, "position": at} for at, title in enumerate(step.stations)
        ],
    }  # fmt: skip
