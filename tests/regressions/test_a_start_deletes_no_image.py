"""A start used to delete what its database did not know: with yesterday's database, 29 of 30 acknowledged images."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.dataset import Dataset
from sqlalchemy import select

from broker.store.database import open_database
from broker.store.tables import instances
from tests.kit.databases import Databases
from tests.kit.messages import Case
from tests.kit.processes import ServedBroker
from tests.kit.waiting import until

DOORS = [(), ("--dicom-processes", "2")]


class Broker(ServedBroker):
    """One whose starts can be waited for until they have looked after all files."""

    def start(self) -> None:
        before = self.checks()
        super().start()
        until(lambda: self.checks() != before, 30.0, look_seconds=0.05)

    def checks(self) -> int:
        return len(self.logged("storage.images_checked")) if (self.data / "serve.err").exists() else 0


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def url(databases: Databases, database_kind: str, tmp_path: Path) -> Iterator[str]:
    with databases.fresh(database_kind, tmp_path / "database") as made:
        yield made


def stored(broker: Broker, item: Dataset, count: int) -> list[Dataset]:
    """Images that were acknowledged."""
    images = [broker.scanner().take(item, number) for number in range(count)]
    assert broker.scanner().store(*images) == [0] * count
    return images


def files_of(url: str, data: Path) -> dict[str, Path]:
    """By SOP Instance UID, as the rows say."""
    database = open_database(url, data, migrate=False)
    try:
        with database.read() as tx:
            rows: Any = tx.execute(select(instances.c.sop_instance_uid, instances.c.path)).all()
            return {uid: data / path for uid, path in rows}
    finally:
        database.close()


@pytest.mark.parametrize("doors", DOORS, ids=["one process", "door processes"])
def test_yesterdays_database_beside_todays_images_loses_none_of_them(
    databases: Databases, url: str, data: Path, tmp_path: Path, case: Case, doors: tuple[str, ...]
) -> None:
    with Broker(data, url, *doors) as broker:
        broker.send(case.order())
        item = broker.item(case)
        images = stored(broker, item, 1)
    with databases.copied(url, tmp_path / "yesterday") as yesterday:
        with Broker(data, url, *doors) as broker:
            images += stored(broker, item, 29)

        with Broker(data, yesterday, *doors) as broker:
            images += stored(broker, item, 5)
            story = broker.json("orders", "show", case.placer)

        files = files_of(yesterday, data)
    assert [study["images"] for study in story["studies"]] == [35]
    assert any("recovered" in event["detail"] for event in story["events"])
    assert {uid: pydicom.dcmread(file) for uid, file in files.items()} == {one.SOPInstanceUID: one for one in images}
    assert story["alarms"] == []


def test_leftovers_go_the_unreadable_is_set_aside_and_what_is_missing_is_told(url: str, data: Path, case: Case) -> None:
    with Broker(data, url) as broker:
        broker.send(case.order())
        images = stored(broker, broker.item(case), 3)
    first, second, third = (files_of(url, data)[image.SOPInstanceUID] for image in images)
    shutil.copy(first, first.with_name("900.dcm"))  # of a repeat that a kill cut off
    second.unlink()
    third.with_name("901.dcm").write_bytes(third.read_bytes()[:-7])
    third.with_name("902.dcm.part").write_bytes(b"half")

    with Broker(data, url) as broker:
        alarms = {alarm["kind"]: alarm for alarm in broker.json("alarms", "list")}
        doctor = broker.command("doctor", "--json")

    day = first.parent.relative_to(data / "objects")
    assert sorted(file.name for file in first.parent.iterdir()) == sorted([first.name, third.name])
    assert (data / "unclaimed" / day / "901.dcm").exists()
    assert alarms["image-without-file"]["subject"] == images[1].StudyInstanceUID
    assert alarms["file-unclaimed"]["subject"] == f"objects/{day}"
    assert "1 stored images have no file" in doctor.stdout


def test_an_image_whose_file_was_lost_gets_it_back_when_it_is_sent_again(url: str, data: Path, case: Case) -> None:
    with Broker(data, url) as broker:
        broker.send(case.order())
        [image] = stored(broker, broker.item(case), 1)
        os.unlink(files_of(url, data)[image.SOPInstanceUID])

        assert broker.scanner().store(image) == [0]

    assert pydicom.dcmread(files_of(url, data)[image.SOPInstanceUID]) == image
