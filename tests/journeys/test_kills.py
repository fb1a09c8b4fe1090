"""kill -9 under load: what was acknowledged is there exactly once, and nothing half-stored is.

SOAK_KILLS is how often; `make soak` does it a hundred times.
"""

from __future__ import annotations

import os
import random

import pydicom
import pytest
from sqlalchemy import func, select

from broker.store.database import open_database
from broker.store.tables import instances, messages, orders, performed_steps, scheduled_steps
from tests.kit.load import loaded
from tests.kit.messages import Case
from tests.kit.processes import ServedBroker

KILLS = int(os.environ.get("SOAK_KILLS", "10"))
ACKNOWLEDGED_BETWEEN, STORED_BETWEEN = (10, 60), (0, 9)
LIMIT_SECONDS = 60.0


@pytest.mark.soak
def test_ten_kills_under_load_lose_nothing_and_double_nothing(database_url, tmp_path):
    chance = random.Random(9)
    alive: dict[str, int] = {}
    first = Case()
    with ServedBroker(tmp_path / "data", database_url) as broker:
        broker.send(first.order())
        item = broker.item(first)
        alive.update(broker.ports)

        with loaded(lambda: alive, item) as load:
            for _ in range(KILLS):
                more, images = chance.randint(*ACKNOWLEDGED_BETWEEN), chance.randint(*STORED_BETWEEN)
                assert load.wait_for(more, images, LIMIT_SECONDS)
                broker.kill()
                alive.clear()
                broker.start()
                alive.update(broker.ports)
            assert load.wait_for(20, 5, LIMIT_SECONDS)

        assert load.problems == []
        _expect_each_once(database_url, broker, load)
        assert broker.health() == 200


def _expect_each_once(database_url, broker, load):
    database = open_database(database_url, broker.data, migrate=False, lock_seconds=5.0)
    try:
        with database.read() as tx:
            _expect_orders(tx, load)
            _expect_images(tx, broker, load)
            uids = tx.execute(select(performed_steps.c.sop_instance_uid)).scalars().all()
    finally:
        database.close()
    assert set(load.performed) <= set(uids)
    assert len(uids) == len(set(uids))


def _expect_orders(tx, load):
    placers = select(orders.c.placer_number, func.count()).group_by(orders.c.placer_number)
    counted = dict(tx.execute(placers).all())
    assert set(counted.values()) == {1}
    assert {case.placer for case in load.orders} <= set(counted)
    steps = select(scheduled_steps.c.step_id, func.count()).group_by(scheduled_steps.c.step_id)
    assert set(dict(tx.execute(steps).all()).values()) == {1}
    created = select(messages.c.control_id, func.count()).where(messages.c.outcome == "created")
    assert set(dict(tx.execute(created.group_by(messages.c.control_id)).all()).values()) == {1}


def _expect_images(tx, broker, load):
    rows = dict(tx.execute(select(instances.c.sop_instance_uid, instances.c.path)).all())
    for image in load.images:
        kept = pydicom.dcmread(broker.data / rows[image.SOPInstanceUID])
        assert kept == image
    on_disk = {path.relative_to(broker.data).as_posix() for path in (broker.data / "objects").rglob("*.*")}
    assert on_disk == set(rows.values())
