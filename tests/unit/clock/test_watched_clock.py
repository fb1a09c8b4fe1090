"""A clock that notices when it is set."""

from __future__ import annotations

from datetime import timedelta

import pytest

from broker.clock import JUMP_SECONDS, Jump, SystemClock, WatchedClock, steady_seconds
from tests.kit.clock import SettableClock

DAY = timedelta(hours=24)


class Machine:
    """A wall clock and one that only runs; `slow` seconds pass whenever the second is read."""

    def __init__(self) -> None:
        self.wall = SettableClock()
        self.ran = 1000.0
        self.slow = 0.0
        self.clock = WatchedClock(self.wall, self._steady)
        self.clock.now()

    def _steady(self) -> float:
        self.ran += self.slow
        return self.ran

    def run(self, seconds: float, wall_seconds: float | None = None) -> None:
        """Time passes; the wall clock says so, or something else."""
        self.ran += seconds
        self.wall.advance(seconds=seconds if wall_seconds is None else wall_seconds)

    def sizes(self) -> list[float]:
        self.clock.now()
        return [jump.by.total_seconds() for jump in self.clock.untold()]


def test_time_that_only_passes_is_no_jump() -> None:
    machine = Machine()

    machine.run(90_000)

    assert machine.sizes() == []
    assert not machine.clock.jumped.is_set()
    assert machine.clock.now() == machine.wall.now()


@pytest.mark.parametrize("by", [18_000.0, -18_000.0, JUMP_SECONDS, -JUMP_SECONDS])
def test_a_jump_is_told_once_with_its_size(by: float) -> None:
    machine = Machine()

    machine.run(5, wall_seconds=5 + by)
    machine.clock.now()
    noticed = machine.clock.jumped.is_set()
    jumps = machine.clock.untold()

    assert noticed
    assert jumps == [Jump(machine.wall.now(), timedelta(seconds=by))]
    assert machine.sizes() == []
    assert not machine.clock.jumped.is_set()


def test_a_clock_that_drifts_or_is_slewed_does_not_jump_however_far_it_comes() -> None:
    machine = Machine()

    for _ in range(1000):
        machine.run(5, wall_seconds=5 + JUMP_SECONDS - 0.1)
        machine.clock.now()

    assert machine.sizes() == []


def test_clocks_that_were_not_read_together_are_not_compared() -> None:
    machine = Machine()

    machine.slow = 60.0
    machine.clock.now()
    machine.slow = 0.0
    machine.wall.advance(seconds=120)

    assert machine.sizes() == []


def test_what_the_clock_gained_is_what_it_was_set_forward_within_the_time_that_passed() -> None:
    machine = Machine()

    for by in (18_000, -18_000, 7_200):
        machine.run(3_600, wall_seconds=3_600 + by)
        machine.clock.now()

    assert machine.clock.gained(DAY) == timedelta(hours=7)
    assert machine.clock.gained(timedelta(hours=1)) == timedelta(hours=2)
    machine.run(86_400)
    assert machine.clock.gained(DAY) == timedelta(hours=2)
    machine.run(1)
    assert machine.clock.gained(DAY) == timedelta()


def test_the_clock_of_this_machine_does_not_jump_and_the_steady_one_runs() -> None:
    clock, began = WatchedClock(SystemClock()), steady_seconds()

    for _ in range(1000):
        clock.now()

    assert clock.untold() == []
    assert clock.gained(DAY) == timedelta()
    assert 0.0 < steady_seconds() - began < 60.0
