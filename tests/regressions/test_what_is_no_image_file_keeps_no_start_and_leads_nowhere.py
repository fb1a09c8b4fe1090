"""Pipes, links and folders among the objects: recovery waited for a pipe for ever, and took in what a link led to."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

from tests.kit.messages import Case
from tests.kit.processes import ServedBroker

WAIT_SECONDS = 20.0


def test_each_is_left_in_place_and_told(database_url: str, tmp_path: Path, case: Case) -> None:
    data = tmp_path / "data"
    with ServedBroker(data, database_url) as broker:
        broker.send(case.order())
        item = broker.item(case)
        assert broker.scanner().store(broker.scanner().take(item)) == [0]
    [image] = (data / "objects").rglob("*.dcm")
    elsewhere = tmp_path / "elsewhere.dcm"
    shutil.copy(image, elsewhere)
    os.mkfifo(image.with_name("800.dcm"))
    os.symlink(elsewhere, image.with_name("801.dcm"))
    os.symlink("/etc/passwd", image.with_name("802.dcm"))
    os.symlink("/nowhere", image.with_name("803.dcm"))
    image.with_name("804.dcm").mkdir()

    with ServedBroker(data, database_url) as broker:
        give_up_at = time.monotonic() + WAIT_SECONDS
        while not broker.logged("storage.images_checked")[1:]:
            assert time.monotonic() < give_up_at
        alarms = {alarm["kind"]: alarm for alarm in broker.json("alarms", "list")}

    assert elsewhere.exists()
    assert sorted(file.name for file in image.parent.iterdir()) == [
        image.name, "800.dcm", "801.dcm", "802.dcm", "803.dcm", "804.dcm"
    ]  # fmt: skip
    assert alarms["file-unclaimed"]["count"] == 4
    assert not (data / "unclaimed").exists()


def test_a_folder_without_identity_that_holds_a_pipe_starts(database_url: str, tmp_path: Path, case: Case) -> None:
    data = tmp_path / "data"
    with ServedBroker(data, database_url) as broker:
        broker.send(case.order())
        item = broker.item(case)
        assert broker.scanner().store(broker.scanner().take(item)) == [0]
    [image] = (data / "objects").rglob("*.dcm")
    os.mkfifo(image.with_name("800.dcm"))
    (data / "identity.json").unlink()

    with ServedBroker(data, database_url) as broker:
        assert broker.health() == 200


def test_an_identity_that_is_a_pipe_is_refused_in_words(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    os.mkfifo(data / "identity.json")

    result = ServedBroker(data, f"sqlite:///{tmp_path}/broker.db").command("migrate", timeout_seconds=30)

    assert result.returncode == 2
    assert "the identity of the data folder cannot be read" in result.stderr


def test_a_number_that_we_never_give_leaves_room_for_ours(database_url: str, tmp_path: Path, case: Case) -> None:
    data = tmp_path / "data"
    with ServedBroker(data, database_url) as broker:
        broker.send(case.order())
        item = broker.item(case)
        images = [broker.scanner().take(item, number) for number in range(2)]
        assert broker.scanner().store(images[0]) == [0]
    [image] = (data / "objects").rglob("*.dcm")
    shutil.copy(image, image.with_name("999999999999999.dcm"))

    with ServedBroker(data, database_url) as broker:
        give_up_at = time.monotonic() + WAIT_SECONDS
        while image.with_name("999999999999999.dcm").exists():
            assert time.monotonic() < give_up_at
        assert broker.scanner().store(images[1]) == [0]

    assert max(len(file.stem) for file in image.parent.iterdir()) < 6
