"""Other bytes under a known SOP Instance UID, again and again: each is compared with its equal only, not with all."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from sqlalchemy import insert

from broker.store.database import Database
from broker.store.studies import known_instances
from broker.store.tables import instance_conflicts, instances, series, studies

AT = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
VERSIONS = 2_000
PLACE = {"store": "files", "offset": 0, "length": 1}


@pytest.fixture
def kept(database: Database) -> Database:
    """A database with one object, of which there are many other versions."""
    label = {"sop_class_uid": "1.2", "transfer_syntax_uid": "1.2", "link_how": "", "link_sure": ""}
    with database.write() as tx:
        study = {"patient_number": "P1", "patient_issuer": "", "accession_number": "", "created_at": AT}
        tx.execute(insert(studies), {"id": 1, "study_uid": "1.2.3", **study})
        tx.execute(insert(series), {"id": 1, "study_id": 1, "series_uid": "1.2.3.4", "modality": "CT"})
        common = {"received_at": AT, "peer": "CT1", **PLACE}
        first = {"id": 1, "series_id": 1, "sop_instance_uid": "1.2.3.4.5", "digest": "first", "path": "1.dcm"}
        tx.execute(insert(instances), {**first, **label, **common})
        others = [
            {"id": number, "instance_id": 1, "digest": f"other {number}", "path": f"{number}.dcm", **common}
            for number in range(2, VERSIONS + 2)
        ]
        tx.execute(insert(instance_conflicts), others)
    return database


def test_only_the_equal_version_is_loaded(kept: Database) -> None:
    with kept.read() as tx:
        known = known_instances(tx, {"1.2.3.4.5"}, {"other 77", "new"})["1.2.3.4.5"]

    assert known.digest == "first"
    assert {digest: place.path for digest, place in known.others.items()} == {"other 77": "77.dcm"}
