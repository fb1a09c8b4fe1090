"""A data folder without its identity.json was given a new name, so all its rows counted as those of another folder: the
doctor saw no image, and one that was sent again was acknowledged and dropped although its file was gone."""

from __future__ import annotations

from pathlib import Path

import pytest

from broker.store.pairing import read_pairing
from tests.kit.messages import Case
from tests.kit.processes import ServedBroker


@pytest.mark.parametrize("doors", [(), ("--dicom-processes", "2")], ids=["one process", "door processes"])
@pytest.mark.parametrize("pairs", [False, True], ids=["start", "migrate --pair"])
def test_its_files_are_still_its_own(
    database_url: str, tmp_path: Path, case: Case, doors: tuple[str, ...], pairs: bool
) -> None:
    data = tmp_path / "data"
    with ServedBroker(data, database_url, *doors) as broker:
        broker.send(case.order())
        item = broker.item(case)
        images = [broker.scanner().take(item, number) for number in range(2)]
        assert broker.scanner().store(*images) == [0, 0]
    before = read_pairing(data)
    (data / "identity.json").unlink()
    first = min((data / "objects").rglob("*.dcm"))
    first.unlink()
    if pairs:
        assert broker.command("migrate", "--pair").returncode == 0

    with ServedBroker(data, database_url, *doors) as broker:
        doctor = broker.command("doctor", "--json").stdout
        assert broker.scanner().store(*images) == [0, 0]

    assert read_pairing(data) == before
    assert "1 stored images have no file" in doctor
    assert len(list((data / "objects").rglob("*.dcm"))) == 2
