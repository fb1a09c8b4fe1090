"""What was acknowledged under load is there exactly once, and nothing half-stored is."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pydicom
from sqlalchemy import func, select

from broker.store.database import Database, open_database
from broker.store.tables import instances, messages, orders, performed_steps, scheduled_steps
from tests.kit.load import Load

RECOVERY_SECONDS = 20.0


def expect_each_once(database_url: str, data: Path, load: Load) -> None:
    """The database and the folder of objects against what was acknowledged; `data` is a broker's folder."""
    database = open_database(database_url, data, migrate=False, lock_seconds=5.0)
    try:
        _expect_no_other_files(database, data)
        with database.read() as tx:
            _expect_orders(tx, load)
            _expect_images(tx, data, load)
            uids = tx.execute(select(performed_steps.c.sop_instance_uid)).scalars().all()
    finally:
        database.close()
    assert set(load.performed) <= set(uids)
    assert len(uids) == len(set(uids))


def _expect_orders(tx: Any, load: Load) -> None:
    placers = select(orders.c.placer_number, func.count()).group_by(orders.c.placer_number)
    counted = dict(tx.execute(placers).all())
    assert set(counted.values()) == {1}
    assert {case.placer for case in load.orders} <= set(counted)
    steps = select(scheduled_steps.c.step_id, func.count()).group_by(scheduled_steps.c.step_id)
    assert set(dict(tx.execute(steps).all()).values()) == {1}
    created = select(messages.c.control_id, func.count()).where(messages.c.outcome == "created")
    assert set(dict(tx.execute(created.group_by(messages.c.control_id)).all()).values()) == {1}


def _expect_images(tx: Any, data: Path, load: Load) -> None:
    rows = dict(tx.execute(select(instances.c.sop_instance_uid, instances.c.path)).all())
    for image in load.images:
        kept = pydicom.dcmread(data / rows[image.SOPInstanceUID])
        assert kept == image


def _expect_no_other_files(database: Database, data: Path) -> None:
    """Once what the kills left has been taken in again, or removed as a repeat."""
    give_up_at = time.monotonic() + RECOVERY_SECONDS
    while True:
        on_disk = {path.relative_to(data).as_posix() for path in (data / "objects").rglob("*.*")}
        with database.read() as tx:
            paths = set(tx.execute(select(instances.c.path)).scalars())
        if on_disk == paths or time.monotonic() > give_up_at:
            break
        time.sleep(0.1)
    assert on_disk == paths
    assert not (data / "unclaimed").exists()
