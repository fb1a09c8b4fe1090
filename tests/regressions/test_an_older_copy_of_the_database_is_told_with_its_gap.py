"""A copy of the database that is restored goes on after the last numbers, and an alarm names what is missing in it."""

from __future__ import annotations

import re
import time
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from broker.simulators.modality import worklist_query
from broker.store.database import open_database
from tests.kit.backups import backed_up
from tests.kit.brokers import RunningBroker, running
from tests.kit.databases import Databases
from tests.kit.messages import Case
from tests.kit.processes import ServedBroker
from tests.kit.waiting import until

LOOK_SECONDS = 1.5  # until the watch has noted what was written
ON_POSTGRESQL = pytest.mark.parametrize("database_kind", ["postgresql"], indirect=True)


def restored_alarms(broker: RunningBroker | ServedBroker) -> list[dict[str, object]]:
    told = broker.alarms() if isinstance(broker, RunningBroker) else broker.json("alarms", "list")
    return [alarm for alarm in told if alarm["kind"] == "database-restored"]


def ordered(broker: RunningBroker | ServedBroker, count: int) -> list[Case]:
    cases = [Case() for _ in range(count)]
    for case in cases:
        until(lambda case=case: broker.send(case.order()).code == "AA")
    return cases


def test_a_copy_that_was_restored_while_the_broker_was_stopped(
    database_url: str, databases: Databases, tmp_path: Path
) -> None:
    with running(tmp_path / "data", database_url) as broker:
        ordered(broker, 3)
        with backed_up(databases, database_url) as backup:
            lost = ordered(broker, 40)
            item = broker.item(lost[0])
            assert broker.scanner().store(broker.scanner().take(item)) == [0]
            broker_files = set((tmp_path / "data" / "objects").rglob("*.dcm"))
            time.sleep(LOOK_SECONDS)
            *_, last_kept, first_lost = broker.journal()[:4]
            last_lost = broker.journal()[-1]
            stop(broker)
            backup.restore()

            with running(tmp_path / "data", database_url) as again:
                (alarm,) = restored_alarms(again)
                first, last = map(int, re.findall(r"messages (\d+) to (\d+)", str(alarm["subject"]))[0])
                assert last_kept < first <= first_lost
                assert last == last_lost
                ordered(again, 1)
                repeated = again.send(lost[0].order())
                assert repeated.code == "AA"
                until(lambda: again.items(lost[0]) != [])
                assert again.scanner().store(again.scanner().take(again.item(lost[0]), 7)) == [0]
                new_files = set((tmp_path / "data" / "objects").rglob("*.dcm")) - broker_files
                assert len(new_files) == 1
                stop(again)

            with running(tmp_path / "data", database_url) as third:
                assert [one["count"] for one in restored_alarms(third)] == [1]
                stop(third)


def stop(broker: RunningBroker) -> None:
    """Stop it inside its context, which then has nothing left to stop."""
    broker.close()


@ON_POSTGRESQL
@pytest.mark.parametrize("options", [{}, {"dicom_processes": 2}], ids=["one", "two"])
def test_a_copy_that_is_restored_under_a_serving_broker(
    database_url: str, databases: Databases, tmp_path: Path, options: dict[str, object]
) -> None:
    with running(tmp_path / "data", database_url, **options) as broker:
        ordered(broker, 3)
        with backed_up(databases, database_url) as backup:
            lost = ordered(broker, 40)
            time.sleep(LOOK_SECONDS)
            backup.restore()

            ordered(broker, 1)
            until(lambda: len(restored_alarms(broker)) == 1)
            assert broker.send(lost[0].order()).code == "AA"
            assert len(broker.items(lost[0])) == 1
            assert re.match(r"messages \d+ to \d+, from 20.* to 20", str(restored_alarms(broker)[0]["subject"]))
            time.sleep(LOOK_SECONDS)
            assert [one["count"] for one in restored_alarms(broker)] == [1]
            stop(broker)


@ON_POSTGRESQL
@pytest.mark.parametrize("options", [{}, {"dicom_processes": 2}], ids=["one", "two"])
def test_another_database_under_the_same_name_is_told_nothing_and_believed_nothing(
    database_url: str, databases: Databases, tmp_path: Path, options: dict[str, object], case: Case
) -> None:
    with running(tmp_path / "data", database_url, lock_seconds=3.0, **options) as broker:
        assert broker.send(case.order()).code == "AA"
        item = broker.item(case)
        image = broker.scanner().take(item)
        with databases.empty_postgresql() as other:
            open_database(other, tmp_path, migrate=True).close()
            databases.exchange(database_url, other)

            answers = [
                broker.send(Case().order()).error,
                broker.scanner().store(image)[0],
                broker.scanner().start(item)[1],
                broker.scanner().find(worklist_query({}, {"PatientID": case.patient_id}))[-1][0],
            ]
            health = status(broker, "/health/ready")
            databases.exchange(database_url, other)

            assert answers == ["207", 0xA700, 0x0213, 0xA700]
            assert health == 503
        until(lambda: status(broker, "/health/ready") == 200)
        assert broker.scanner().store(image) == [0]


def status(broker: RunningBroker, path: str) -> int:
    try:
        with urlopen(f"http://127.0.0.1:{broker.http_port}{path}", timeout=10) as answer:
            return int(answer.status)
    except HTTPError as error:
        return error.code
