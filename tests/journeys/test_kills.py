"""kill -9 under load: what was acknowledged is there exactly once, and nothing half-stored is.

SOAK_KILLS is how often; `make soak` does it a hundred times.
"""

from __future__ import annotations

import os
import random

import pytest

from tests.kit.exactly_once import expect_each_once
from tests.kit.load import loaded
from tests.kit.messages import Case
from tests.kit.processes import ServedBroker

KILLS = int(os.environ.get("SOAK_KILLS", "10"))
ACKNOWLEDGED_BETWEEN, STORED_BETWEEN = (10, 60), (0, 9)
LIMIT_SECONDS = 60.0


@pytest.mark.soak
@pytest.mark.parametrize(("options", "kills"), [((), KILLS), (("--dicom-processes", "2"), max(1, KILLS // 5))])
def test_kills_under_load_lose_nothing_and_double_nothing(database_url, tmp_path, options, kills):
    chance = random.Random(9)
    alive: dict[str, int] = {}
    first = Case()
    with ServedBroker(tmp_path / "data", database_url, *options) as broker:
        broker.send(first.order())
        item = broker.item(first)
        alive.update(broker.ports)

        with loaded(lambda: alive, item) as load:
            for _ in range(kills):
                more, images = chance.randint(*ACKNOWLEDGED_BETWEEN), chance.randint(*STORED_BETWEEN)
                assert load.wait_for(more, images, LIMIT_SECONDS)
                broker.kill()
                alive.clear()
                broker.start()
                alive.update(broker.ports)
            assert load.wait_for(20, 5, LIMIT_SECONDS)

        assert load.problems == []
        expect_each_once(database_url, broker.data, load)
        assert broker.health() == 200
