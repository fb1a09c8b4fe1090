"""A clock that is set while the broker serves raises one alarm for each jump, and forgets no cancel too early."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.kit.brokers import RunningBroker, running
from tests.kit.clock import SettableClock
from tests.kit.messages import Case

WAIT_SECONDS = 20.0


@pytest.fixture
def broker(tmp_path: Path, database_url: str, clock: SettableClock) -> Iterator[RunningBroker]:
    with running(tmp_path, database_url, clock=clock) as started:
        yield started


def alarms(broker: RunningBroker, wanted: int) -> list[dict[str, Any]]:
    """Alarms of jumps, once there are as many as wanted."""
    give_up_at = time.monotonic() + WAIT_SECONDS
    while True:
        found = [alarm for alarm in broker.alarms() if alarm["kind"] == "clock-jumped"]
        if sum(alarm["count"] for alarm in found) >= wanted or time.monotonic() > give_up_at:
            return sorted(found, key=lambda alarm: alarm["id"])
        time.sleep(0.05)


def test_each_jump_is_an_alarm_with_its_size_and_direction(
    broker: RunningBroker, clock: SettableClock, case: Case
) -> None:
    clock.advance(hours=5)
    broker.send(case.order())
    first = alarms(broker, 1)
    clock.advance(hours=-5)
    second = alarms(broker, 2)

    assert [(alarm["subject"], alarm["count"]) for alarm in first] == [("clock forward", 1)]
    assert first[0]["detail"].startswith("forward by ")
    assert first[0]["detail"].endswith("to 2026-03-02T14:00:00+00:00")
    assert [(alarm["subject"], alarm["count"]) for alarm in second] == [("clock forward", 1), ("clock back", 1)]
    assert second[1]["detail"].startswith("back by ")


def test_a_small_correction_raises_none(broker: RunningBroker, clock: SettableClock, case: Case) -> None:
    clock.advance(seconds=5)
    broker.send(case.order())
    clock.advance(hours=5)

    assert [alarm["count"] for alarm in alarms(broker, 1)] == [1]


def test_a_cancel_that_came_before_its_order_is_remembered_as_long_although_the_clock_is_set_forward(
    broker: RunningBroker, clock: SettableClock, case: Case
) -> None:
    broker.send(case.order(control="CA"))
    clock.advance(hours=30)

    answer = broker.send(case.order())

    assert broker.outcome(answer) == "superseded"


def test_a_cancel_that_came_while_the_clock_was_ahead_stops_its_order_afterwards(
    broker: RunningBroker, clock: SettableClock, case: Case
) -> None:
    clock.advance(hours=5)
    broker.send(case.order(control="CA"))
    clock.advance(hours=-5)

    answer = broker.send(case.order())

    assert broker.outcome(answer) == "superseded"
