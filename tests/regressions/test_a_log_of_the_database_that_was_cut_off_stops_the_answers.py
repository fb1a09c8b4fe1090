"""Somebody empties broker.db-wal under a serving broker: SQLite wrote on behind the hole, everything was acknowledged,
and the next start found a damaged database."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.kit.messages import Case
from tests.kit.processes import ServedBroker


@pytest.mark.parametrize("doors", [(), ("--dicom-processes", "2")], ids=["one process", "door processes"])
def test_nothing_is_promised_from_then_on(tmp_path: Path, case: Case, doors: tuple[str, ...]) -> None:
    file = tmp_path / "broker.db"
    with ServedBroker(tmp_path / "data", f"sqlite:///{file}", *doors) as broker:
        broker.send(case.order())
        image = broker.scanner().take(broker.item(case))
        os.truncate(f"{file}-wal", 0)

        answers = [broker.send(Case().order()) for _ in range(3)]

        assert [answer.error for answer in answers] == ["207"] * 3
        assert broker.scanner().store(image) == [0xA700]
        assert broker.health() == 503
        broker.kill()


def test_a_log_that_was_copied_into_the_database_and_emptied_is_fine(tmp_path: Path) -> None:
    file = tmp_path / "broker.db"
    with ServedBroker(tmp_path / "data", f"sqlite:///{file}") as broker:
        for _ in range(3):
            assert broker.send(Case().order()).code == "AA"
            with closing(sqlite3.connect(file)) as administrator:
                administrator.execute("PRAGMA wal_checkpoint(TRUNCATE)")

        assert broker.send(Case().order()).code == "AA"
        assert broker.health() == 200
