"""The database that is written is the one that will be read: deleted, replaced or moved, nothing is promised."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import product
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from broker.simulators.modality import worklist_query
from broker.store.marks import Marks
from tests.kit.brokers import RunningBroker, running
from tests.kit.messages import Case
from tests.kit.processes import ServedBroker
from tests.kit.waiting import until

ON_SQLITE = pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
IN_ONE, IN_TWO = [()], [("--dicom-processes", "2")]


class Ground:
    """A broker on SQLite, in this process or in processes of its own, with one order and one performed step."""

    def __init__(self, broker: RunningBroker | ServedBroker, case: Case, file: Path) -> None:
        self.broker, self.case, self.file = broker, case, file
        assert broker.send(case.order()).code == "AA"
        self.item = broker.item(case)
        self.uid, status = broker.scanner().start(self.item)
        assert status == 0
        self.image = broker.scanner().take(self.item)

    def answers(self) -> dict[str, object]:
        """How each door answers now."""
        hl7 = self.broker.send(Case().order())
        scanner = self.broker.scanner()
        found = scanner.find(worklist_query({}, {"PatientID": self.case.patient_id}))
        return {
            "HL7": (hl7.code, hl7.error),
            "C-STORE": f"{scanner.store(self.image)[0]:04X}",
            "C-FIND": f"{found[-1][0]:04X}, {len(found) - 1} answers",
            "N-CREATE": f"{scanner.start(self.item)[1]:04X}",
            "N-SET": f"{scanner.end(self.uid, [self.image]):04X}",
        }

    def ready(self) -> tuple[int, dict[str, bool]]:
        address = f"http://127.0.0.1:{self._http_port}/health/ready"
        try:
            with urlopen(address, timeout=5) as answer:
                return answer.status, json.load(answer)["parts"]
        except HTTPError as error:
            return error.code, json.load(error)["parts"]

    @property
    def _http_port(self) -> int:
        return self.broker.http_port if isinstance(self.broker, RunningBroker) else self.broker.ports["http"]

    def metric(self, name: str) -> float:
        with urlopen(f"http://127.0.0.1:{self._http_port}/metrics", timeout=5) as answer:
            lines = answer.read().decode().splitlines()
        return float(next(line for line in lines if line.startswith(f"mwl_broker_{name} ")).split()[1])


REFUSED = {
    "HL7": ("AR", "207"), "C-STORE": "A700", "C-FIND": "A700, 0 answers", "N-CREATE": "0213", "N-SET": "0213",
}  # fmt: skip


@pytest.fixture
def ground(database_url: str, tmp_path: Path, options: tuple[str, ...], case: Case) -> Iterator[Ground]:
    file = Path(database_url.removeprefix("sqlite:///"))
    if options == ():
        with running(tmp_path / "data", database_url) as broker:
            yield Ground(broker, case, file)
    else:
        with ServedBroker(tmp_path / "data", database_url, *options) as served:
            yield Ground(served, case, file)


def deleted(ground: Ground) -> None:
    ground.file.unlink()


def replaced_by_a_copy(ground: Ground) -> None:
    shutil.copy(ground.file, ground.file.with_name("copy"))
    os.replace(ground.file.with_name("copy"), ground.file)


def log_deleted(ground: Ground) -> None:
    Path(f"{ground.file}-wal").unlink()


def shared_memory_deleted(ground: Ground) -> None:
    Path(f"{ground.file}-shm").unlink()


def truncated(ground: Ground) -> None:
    os.truncate(ground.file, 0)


def lock_replaced(ground: Ground) -> None:
    lock = ground.file.with_name("write.lock")
    lock.with_name("other").touch()
    os.replace(lock.with_name("other"), lock)


def folder_lock_deleted(ground: Ground) -> None:
    (ground.broker.data / "serve.lock").unlink()


HARMS = [
    deleted, replaced_by_a_copy, log_deleted, shared_memory_deleted, truncated, lock_replaced, folder_lock_deleted,
]  # fmt: skip


@ON_SQLITE
@pytest.mark.parametrize(
    ("options", "harm"), [*product(IN_ONE, HARMS), *product(IN_TWO, [deleted, replaced_by_a_copy, truncated])]
)
def test_nothing_is_promised_any_more(ground: Ground, harm: Callable[[Ground], None]) -> None:
    harm(ground)

    assert ground.answers() == REFUSED
    status, parts = ground.ready()
    assert (status, parts["database"]) == (503, False)
    until(lambda: ground.metric("database_in_place") == 0)
    assert ground.answers() == REFUSED
    if isinstance(ground.broker, ServedBroker):
        told = [(line.get("process"), line["level"]) for line in ground.broker.logged("database.lost")]
        assert len(told) == len(set(told))
        assert (None, "error") in told


@ON_SQLITE
@pytest.mark.parametrize(("options", "what"), [*product(IN_ONE, ["file", "folder"]), *product(IN_TWO, ["file"])])
def test_what_was_moved_away_and_comes_back_is_served_again_and_an_alarm_tells(ground: Ground, what: str) -> None:
    moved = ground.file if what == "file" else ground.broker.data.absolute()
    away = moved.with_name("away")
    moved.rename(away)
    while_away = ground.answers()
    time.sleep(1.2)  # a look of the watch
    not_ready = ground.ready()[0]

    away.rename(moved)

    assert while_away == REFUSED
    assert not_ready == 503
    assert ground.broker.send(Case().order()).code == "AA"
    assert ground.broker.scanner().store(ground.image) == [0]
    assert ground.broker.scanner().end(ground.uid, [ground.image]) == 0
    until(lambda: ground.ready()[0] == 200)
    until(lambda: "database-lost" in kinds(ground.broker))


@ON_SQLITE
@pytest.mark.parametrize("options", IN_ONE)
def test_an_order_in_doubt_is_there_once_when_the_file_is_back(ground: Ground, options: tuple[str, ...]) -> None:
    asked = Case()
    away = ground.file.rename(ground.file.with_name("away"))
    first = ground.broker.send(asked.order())
    away.rename(ground.file)

    again = ground.broker.send(asked.order())

    assert (first.code, again.code) == ("AR", "AA")
    assert isinstance(ground.broker, RunningBroker)
    assert len(ground.broker.stories(asked.placer)) == 1


@ON_SQLITE
@pytest.mark.parametrize("options", IN_TWO)
def test_after_a_deletion_the_restored_copy_is_served_and_alarms_tell_of_both(
    ground: Ground, options: tuple[str, ...]
) -> None:
    copy = backup(ground.file)
    later = Case()
    assert ground.broker.send(later.order()).code == "AA"
    time.sleep(1.2)
    ground.file.unlink()
    until(lambda: ground.ready()[0] == 503)
    until(lambda: Marks(ground.broker.data).read().lost)
    assert isinstance(ground.broker, ServedBroker)
    ground.broker.stop()
    for rest in ground.file.parent.glob(f"{ground.file.name}-*"):
        rest.unlink()

    os.replace(copy, ground.file)
    ground.broker.start()

    assert ground.broker.send(later.order()).code == "AA"
    assert {"database-lost", "database-restored"} <= kinds(ground.broker)


def backup(file: Path) -> Path:
    """A copy as sqlite3's own backup makes it."""
    copy = file.with_name("backup")
    with closing(sqlite3.connect(file)) as one, closing(sqlite3.connect(copy)) as other:
        one.backup(other)
    return copy


def kinds(broker: ServedBroker | RunningBroker) -> set[str]:
    told = broker.alarms() if isinstance(broker, RunningBroker) else broker.json("alarms", "list")
    return {alarm["kind"] for alarm in told}
