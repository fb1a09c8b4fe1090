"""The database is deleted, replaced or restored under load: nothing acknowledged is missing that a restored copy does
not explain."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from broker.store.database import open_database
from broker.store.tables import instances, orders
from tests.kit.backups import Backup, backed_up
from tests.kit.databases import Databases
from tests.kit.exactly_once import expect_each_once
from tests.kit.load import Load, loaded
from tests.kit.messages import Case
from tests.kit.processes import ServedBroker

LIMIT_SECONDS = 40.0
ON_SQLITE = pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
ENTRIES = ("", "-wal", "-shm")


def deleted(file: Path) -> None:
    """With a hard link kept, so that the test can compare what was promised with what was written."""
    for name in (f"{file}{entry}" for entry in ENTRIES):
        os.link(name, f"{name}.kept")
        os.unlink(name)


def replaced(file: Path) -> None:
    """By an older copy, moved over it."""
    copy = file.with_name("older")
    shutil.copy(file, copy)
    for name in (f"{file}{entry}" for entry in ENTRIES):
        os.link(name, f"{name}.kept")
    os.replace(copy, file)


def put_back(file: Path) -> None:
    for name in (f"{file}{entry}" for entry in ENTRIES):
        Path(name).unlink(missing_ok=True)
        if Path(f"{name}.kept").exists():
            os.rename(f"{name}.kept", name)


@ON_SQLITE
@pytest.mark.parametrize("harm", [deleted, replaced])
def test_what_was_acknowledged_until_the_file_was_lost_is_in_that_file(
    database_url: str, tmp_path: Path, harm: Callable[[Path], None]
) -> None:
    file = Path(database_url.removeprefix("sqlite:///"))
    alive: dict[str, int] = {}
    first = Case()
    with ServedBroker(tmp_path / "data", database_url) as broker:
        broker.send(first.order())
        item = broker.item(first)
        alive.update(broker.ports)

        with loaded(lambda: alive, item) as load:
            assert load.wait_for(60, 5, LIMIT_SECONDS)
            harm(file)
            time.sleep(0.3)
            promised = load.acknowledged()
            time.sleep(1.5)
            refused = load.acknowledged()
            health = broker.health()
            broker.kill()
            alive.clear()
            put_back(file)
            broker.start()
            alive.update(broker.ports)
            assert load.wait_for(20, 3, LIMIT_SECONDS)

        assert (refused, health) == (promised, 503)
        assert load.problems == []
        expect_each_once(database_url, broker.data, load)
        assert broker.health() == 200


def test_an_older_copy_under_load_explains_all_that_is_missing(
    database_url: str, databases: Databases, tmp_path: Path
) -> None:
    alive: dict[str, int] = {}
    first = Case()
    with ServedBroker(tmp_path / "data", database_url) as broker:
        broker.send(first.order())
        item = broker.item(first)
        alive.update(broker.ports)

        with loaded(lambda: alive, item) as load:
            assert load.wait_for(40, 5, LIMIT_SECONDS)
            before = list(load.orders)
            with backed_up(databases, database_url) as backup:
                assert load.wait_for(40, 5, LIMIT_SECONDS)
                between = restart_on(backup, broker, alive, load)
                # A performed step whose N-CREATE the copy lacks cannot be ended, so the scanner may wait from here on.
                after = len(load.orders)
                assert load.wait_for(40, 0, LIMIT_SECONDS)
                load.stopping.set()
                assert set(uids(load)) <= wait_for_images(database_url, set(uids(load)))
                kept, images = what_is_there(database_url)
                alarms = [a for a in broker.json("alarms", "list") if a["kind"] == "database-restored"]
                broker.stop()

        assert load.problems == []
        acknowledged_since = [case.placer for case in load.orders[after:]]
        assert {case.placer for case in before} | set(acknowledged_since) <= kept
        missing = {case.placer for case in between} - kept
        assert (len(alarms) == 1) == bool(missing)
        assert set(uids(load)) <= images


def uids(load: Load) -> list[str]:
    return [str(image.SOPInstanceUID) for image in load.images]


def wait_for_images(url: str, wanted: set[str]) -> set[str]:
    """Images whose rows the copy lacks are taken in again from their files, in the background."""
    give_up_at = time.monotonic() + LIMIT_SECONDS
    while not wanted <= (images := what_is_there(url)[1]) and time.monotonic() < give_up_at:
        time.sleep(0.3)
    return images


def restart_on(backup: Backup, broker: ServedBroker, alive: dict[str, int], load: Load) -> list[Case]:
    """Kill, restore, start; returns the orders acknowledged until then."""
    broker.kill()
    alive.clear()
    until = list(load.orders)
    backup.restore()
    broker.start()
    alive.update(broker.ports)
    return until


def what_is_there(url: str) -> tuple[set[str], set[str]]:
    """Placer numbers of orders and UIDs of images in the database."""
    database = open_database(url, Path("."), migrate=False, lock_seconds=5.0)
    try:
        with database.read() as tx:
            return _all(tx, orders.c.placer_number), _all(tx, instances.c.sop_instance_uid)
    finally:
        database.close()


def _all(tx: Any, column: Any) -> set[str]:
    return set(tx.execute(select(column)).scalars())
