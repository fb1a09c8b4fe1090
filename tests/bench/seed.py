"""Steps put into the broker's database without the network: values and encoding by its own code, rows in bulk."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import date, timedelta
from itertools import islice
from typing import Any, TypeVar

from sqlalchemy import Connection, Table, select

from broker.domain.matching import fold
from broker.domain.order import Facts
from broker.domain.request import NO_ISSUER
from broker.mapping.encode import encode
from broker.mapping.rows import RowSet
from broker.store.database import Database
from broker.store.ids import reserve
from broker.store.tables import (
    issuers,
    orders,
    patient_identifiers,
    patients,
    requested_procedures,
    scheduled_stations,
    scheduled_steps,
)
from tests.bench.steps import STEP, BenchStep, step

AT = "2031-03-01T08:00:00.000000Z"
ROWS_AT_ONCE = 5_000
STEPS_A_PROCEDURE = 10
"""Of finished steps, so that what the worklist never reads does not take most of the time."""
HISTORY_PEOPLE = 10_000
"""Finished steps belong to the first people, over and over: what patient id and name find is old work, mostly."""

_Item = TypeVar("_Item")


def seed(database: Database, rows: RowSet, steps: Iterable[BenchStep]) -> int:
    """Open steps, each with a patient, an order and a procedure of its own; returns how many."""
    count = 0
    with database.write() as tx:
        _no_issuer(tx)
        for some in _portions(steps):
            made = [_open(one, rows) for one in some]
            for table in (patients, patient_identifiers, orders, requested_procedures, scheduled_steps):
                _fill(tx, table, [one[table.name] for one in made])
            _fill(tx, scheduled_stations, [one["stations"] for one in made])
            count += len(made)
        for table in (patients, patient_identifiers, orders, requested_procedures, scheduled_steps):
            reserve(tx, table.name, count)
    return count


def seed_history(database: Database, rows: RowSet, count: int) -> None:
    """Finished steps of the first people, on the same stations, on the same days and before; after `seed`."""
    with database.write() as tx:
        first = reserve(tx, scheduled_steps.name, count) - count
        procedures = count // STEPS_A_PROCEDURE + 1
        procedure = reserve(tx, requested_procedures.name, procedures) - procedures
        for some in _portions(_finished(rows, count, first, procedure)):
            _fill(tx, requested_procedures, [above for _, above, _ in some if above])
            _fill(tx, scheduled_steps, [row for row, _, _ in some])
            _fill(tx, scheduled_stations, [station for _, _, station in some])


def settle(database: Database) -> None:
    """Let PostgreSQL look at what it holds, as it does by itself in time; SQLite never does."""
    if database.dialect == "postgresql":
        with database.write() as tx:
            tx.exec_driver_sql("ANALYZE")


def _open(one: BenchStep, rows: RowSet) -> dict[str, dict[str, Any]]:
    number = one.number + 1
    owned = _by_owner(one, rows)
    times = {"created_at": AT, "updated_at": AT}
    values = one.values
    return {
        "patients": {"id": number, "values": owned["patient"], "others": "[]", "stamps": "{}", **times},
        "patient_identifiers": {"id": number, "patient_id": number, "value": one.patient_id, "issuer_id": 0,
                                "position": 0, "former": False},
        "orders": {"id": number, "patient_id": number, "sender_group": "BENCH", "visit": owned["visit"],
                   "placer_number": values["PlacerOrderNumberImagingServiceRequest"], "placer_issuer_id": 0,
                   "filler_number": values["FillerOrderNumberImagingServiceRequest"], "filler_issuer_id": 0, **times},
        "requested_procedures": _procedure(number, number, one),
        "scheduled_steps": {**_step(number, one, rows), "values": owned["step"], "order_id": number,
                            "procedure_id": number, "patient_id": number},
        "stations": {"step_id": number, "ae_title": one.station, "position": 0},
    }  # fmt: skip


def _procedure(number: int, order: int, one: BenchStep) -> dict[str, Any]:
    return {
        "id": number, "order_id": order, "ordinal": number, "accession_issuer_id": 0, "generated": "[]",
        "requested_procedure_id": f"{one.values['RequestedProcedureID'][:2]}{number:08d}",
        "accession_number": one.values["AccessionNumber"], "study_uid": one.values["StudyInstanceUID"],
    }  # fmt: skip


def _step(number: int, one: BenchStep, rows: RowSet) -> dict[str, Any]:
    values = one.values
    study_uid = values["StudyInstanceUID"]
    facts = Facts(one.patient_id, NO_ISSUER, (), study_uid, "SCHEDULED", None)
    return {
        "id": number, "ordinal": 1, "step_id": values[f"{STEP}.ScheduledProcedureStepID"], "state": "SCHEDULED",
        "held": None, "modality": one.modality, "start_at": one.start_at, "values": "{}", "generated": "[]",
        "stamps": "{}", "received_at": AT, "updated_at": AT, "match_patient_id": one.patient_id,
        "match_patient_name": fold(values["PatientName"]), "match_accession": values["AccessionNumber"],
        "match_procedure_id": values["RequestedProcedureID"], "match_study_uid": study_uid, "any_station": False,
        "elements": encode(rows, values, facts), "rows_hash": rows.hash, "listed": True,
    }  # fmt: skip


def _finished(
    rows: RowSet, count: int, first: int, procedure: int
) -> Iterator[tuple[dict[str, Any], dict[str, Any] | None, dict[str, Any]]]:
    """Rows of finished steps: the step, its procedure with the first step of it, its station."""
    people = [(one, _step(0, one, rows)) for one in map(step, range(min(HISTORY_PEOPLE, count)))]
    for at in range(count):
        round_, who = divmod(at, len(people))
        one, row = people[who]
        number = first + at
        above = procedure + at // STEPS_A_PROCEDURE
        owner = one.number + 1
        changed = {
            "id": number, "step_id": f"OLD{number:09d}", "ordinal": at % STEPS_A_PROCEDURE + 1, "state": "COMPLETED",
            "listed": False,
            "start_at": _earlier(row["start_at"], 35 * round_), "match_accession": f"OLD{number:09d}",
            "match_procedure_id": f"OLD{number:09d}", "match_study_uid": f"2.25.889{number:09d}",
            "order_id": owner, "procedure_id": above, "patient_id": owner,
        }  # fmt: skip
        made = _procedure(above, owner, replace(one)) if at % STEPS_A_PROCEDURE == 0 else None
        yield {**row, **changed}, made, {"step_id": number, "ae_title": one.station, "position": 0}


def _earlier(start_at: str, days: int) -> str:
    day = date(int(start_at[:4]), int(start_at[4:6]), int(start_at[6:8])) - timedelta(days=days)
    return f"{day:%Y%m%d}{start_at[8:]}"


def _by_owner(one: BenchStep, rows: RowSet) -> dict[str, str]:
    owned: dict[str, dict[str, Any]] = {"patient": {}, "visit": {}, "step": {}}
    for key, value in one.values.items():
        owned[rows.owner(key)][key] = value
    return {owner: json.dumps(values, ensure_ascii=False, sort_keys=True) for owner, values in owned.items()}


def _portions(items: Iterable[_Item]) -> Iterator[list[_Item]]:
    remaining = iter(items)
    while some := list(islice(remaining, ROWS_AT_ONCE)):
        yield some


def _no_issuer(tx: Connection) -> None:
    if tx.execute(select(issuers.c.id).where(issuers.c.id == 0)).first() is None:
        _fill(tx, issuers, [{"id": 0, "namespace": "", "universal_id": "", "universal_type": ""}])


def _fill(tx: Connection, table: Table, rows: Sequence[dict[str, Any]]) -> None:
    """Insert by the driver's own parameters: a million rows are many."""
    if not rows:
        return
    names = list(rows[0])
    parameter = ":{}" if tx.dialect.name == "sqlite" else "%({})s"
    columns = ", ".join(f'"{name}"' for name in names)
    values = ", ".join(parameter.format(name) for name in names)
    tx.exec_driver_sql(f"INSERT INTO {table.name} ({columns}) VALUES ({values})", list(rows))
