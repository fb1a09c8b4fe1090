"""A database with one order in it that has a whole story, written as rows: no verb is needed to read."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, insert

from broker.store import tables as t
from broker.store.database import Database, open_database

NOW = datetime(2026, 3, 2, 9, 15, tzinfo=UTC)
STUDY = "2.25.1"
RAW = "MSH|^~\\&|RIS|HOSP|||20260302||ORM^O01|C1|P|2.5|||||||8859/1\rPID|1||P1||MÜLLER^ANNA\r".encode("latin-1")


def an_alarm(number: int, **changed: Any) -> dict[str, Any]:
    return {
        "id": number, "kind": "other-patient", "subject": STUDY, "order_id": 1, "detail": "not linked",
        "first_at": NOW, "last_at": NOW, "count": 1,
    } | changed  # fmt: skip


def a_message(number: int, **changed: Any) -> dict[str, Any]:
    return {
        "id": number, "received_at": NOW + timedelta(seconds=number), "peer": "127.0.0.1:1", "sender": "RIS|HOSP",
        "receiver": "", "message_type": "ORM^O01", "control_id": f"C{number}", "version": "2.5", "processing_id": "P",
        "charset": "8859/1", "digest": "", "raw": RAW, "outcome": "created", "reason": "", "location": "",
        "answered_at": NOW,
    } | changed  # fmt: skip


def a_step(number: int, **changed: Any) -> dict[str, Any]:
    return {
        "id": number, "order_id": 1, "procedure_id": 1, "patient_id": 1, "ordinal": number, "step_id": f"S{number}",
        "state": "SCHEDULED", "modality": "CT", "start_at": f"2026030210{number:02}00", "received_at": NOW,
        "values": {"RequestedProcedureDescription": "CT HEAD"}, "generated": [], "stamps": {}, "updated_at": NOW,
        "match_patient_id": "P1", "match_patient_name": "MULLER^ANNA", "match_accession": "A1",
        "match_procedure_id": "R1", "match_study_uid": STUDY, "any_station": False, "elements": b"", "rows_hash": "",
        "listed": False,
    } | changed  # fmt: skip


def plant_order(tx: Connection) -> None:
    """Order 1 of patient P1, known as A1, PO1 and FO1: one step STARTED on CT1, one held."""
    tx.execute(insert(t.patients), {
        "id": 1, "values": {"PatientName": "MÜLLER^ANNA"}, "others": [], "stamps": {}, "created_at": NOW,
        "updated_at": NOW,
    })  # fmt: skip
    tx.execute(insert(t.patient_identifiers), [
        {"id": 1, "patient_id": 1, "value": "P1", "issuer_id": 0, "position": 0, "former": False},
        {"id": 2, "patient_id": 1, "value": "P0", "issuer_id": 0, "position": 1, "former": True},
    ])  # fmt: skip
    tx.execute(insert(t.orders), {
        "id": 1, "patient_id": 1, "sender_group": "RIS|HOSP", "placer_number": "PO1", "placer_issuer_id": 0,
        "filler_number": "FO1", "filler_issuer_id": 0, "visit": {}, "created_at": NOW, "updated_at": NOW,
    })  # fmt: skip
    tx.execute(insert(t.requested_procedures), {
        "id": 1, "order_id": 1, "ordinal": 1, "requested_procedure_id": "R1", "accession_number": "A1",
        "accession_issuer_id": 0, "study_uid": STUDY, "generated": [],
    })  # fmt: skip
    tx.execute(insert(t.scheduled_steps), [
        a_step(1, state="STARTED", held=None), a_step(2, held="no modality", modality=None, any_station=True),
        a_step(3, state="CANCELED", held=None),
    ])  # fmt: skip
    tx.execute(insert(t.scheduled_stations), {"step_id": 1, "ae_title": "CT1", "position": 0})
    tx.execute(insert(t.aliases), {
        "id": 1, "kind": "accession", "value": "B0000001", "issuer_id": 0, "order_id": 1, "source": "generated",
    })  # fmt: skip


def plant_what_was_done(tx: Connection) -> None:
    """Message 1 made the order, MPPS started step 1, two images of one series came, an alarm is open."""
    tx.execute(insert(t.messages), a_message(1))
    tx.execute(insert(t.performed_steps), {
        "id": 1, "sop_instance_uid": "2.25.9", "state": "IN PROGRESS", "performed_id": "PPS1", "patient_number": "P1",
        "patient_issuer": "", "modality": "CT", "station_ae_title": "CT1", "started_at": "20260302101500",
        "reason": "", "series_count": 0, "image_count": 0, "peer": "CT1", "created_at": NOW, "updated_at": NOW,
    })  # fmt: skip
    tx.execute(insert(t.performed_links), {
        "id": 1, "performed_step_id": 1, "order_id": 1, "procedure_id": 1, "step_id": 1, "how": "step id",
        "sure": "certain",
    })  # fmt: skip
    common = {"order_id": 1, "effect": "", "detail": {}}
    tx.execute(insert(t.step_events), [
        common | {"id": 1, "at": NOW, "kind": "created", "actor": "hl7:RIS|HOSP", "message_id": 1, "step_id": 1,
                  "before": None, "after": "SCHEDULED", "performed_step_id": None},
        common | {"id": 2, "at": NOW + timedelta(hours=1), "kind": "state", "actor": "dicom:CT1", "message_id": None,
                  "step_id": 1, "before": "SCHEDULED", "after": "STARTED", "performed_step_id": 1},
    ])  # fmt: skip
    tx.execute(insert(t.studies), {
        "id": 1, "study_uid": STUDY, "patient_number": "P1", "patient_issuer": "", "accession_number": "A1",
        "created_at": NOW,
    })  # fmt: skip
    tx.execute(insert(t.series), {"id": 1, "study_id": 1, "series_uid": "2.25.2", "modality": "CT"})
    tx.execute(insert(t.instances), [
        {"id": number, "series_id": 1, "sop_instance_uid": f"2.25.3.{number}", "sop_class_uid": "1.2",
         "transfer_syntax_uid": "1.2", "digest": "", "store": "files", "path": f"{number}", "offset": 0, "length": 1,
         "received_at": NOW, "peer": "CT1", "order_id": 1, "procedure_id": 1, "step_id": 1, "link_how": how,
         "link_sure": "certain"}
        for number, how in ((1, "step id"), (2, "study uid"))
    ])  # fmt: skip
    tx.execute(insert(t.alarms), an_alarm(1))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder with an empty database."""
    open_database(None, tmp_path, migrate=True).close()
    return tmp_path


@pytest.fixture
def stocked(data: Path) -> Path:
    """A data folder with the order and its story."""
    database = open_database(None, data, migrate=False)
    with database.write() as tx:
        plant_order(tx)
        plant_what_was_done(tx)
    database.close()
    return data


@pytest.fixture
def opened(stocked: Path) -> Iterator[Database]:
    database = open_database(None, stocked, migrate=False)
    yield database
    database.close()
