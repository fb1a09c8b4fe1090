"""The folder of the objects was moved away, or its disk unmounted, under a serving broker: images went on being
acknowledged into a new folder at its path, which is hidden or gone once the right one is back."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.kit.messages import Case
from tests.kit.processes import ServedBroker


@pytest.mark.parametrize("doors", [(), ("--dicom-processes", "2")], ids=["one process", "door processes"])
def test_while_it_is_away_images_are_refused_and_orders_taken(
    database_url: str, tmp_path: Path, case: Case, doors: tuple[str, ...]
) -> None:
    data = tmp_path / "data"
    with ServedBroker(data, database_url, *doors) as broker:
        broker.send(case.order())
        item = broker.item(case)
        images = [broker.scanner().take(item, number) for number in range(2)]
        assert broker.scanner().store(images[0]) == [0]
        (data / "objects").rename(data / "away")

        refused = [broker.scanner().store(images[1]) for _ in range(3)]
        (data / "objects").mkdir()
        refused += [broker.scanner().store(images[1])]
        broker.wait_for_health(503)
        order = broker.send(Case().order())
        (data / "objects").rmdir()
        (data / "away").rename(data / "objects")

        assert refused == [[0xA700]] * 4
        assert order.code == "AA"
        broker.wait_for_health(200)
        assert broker.scanner().store(images[1]) == [0]
