"""A paired folder whose database file is gone: the start refuses it, and the doctor said that it would be made."""

from __future__ import annotations

from pathlib import Path

from tests.kit.processes import ServedBroker


def test_it_says_what_the_start_says(tmp_path: Path) -> None:
    file = tmp_path / "broker.db"
    with ServedBroker(tmp_path / "data", f"sqlite:///{file}") as broker:
        pass
    file.unlink()

    doctor = broker.command("doctor", "--json")

    assert doctor.returncode == 1
    assert "the database of this data folder is missing" in doctor.stdout
