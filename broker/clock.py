"""The time, handed in so that tests can set it. What happened is UTC; what is scheduled is department wall-clock.

Waits and deadlines never ask a clock that can be set: they use time.monotonic. The clocks here only say when something
happened. One of them notices when it is set, by comparing itself with a clock that only runs.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

JUMP_SECONDS = 30.0
"""A time service that slews, or smears a leap second, moves the clock by milliseconds between two looks; a change of
this size means that somebody set it."""

SAME_MOMENT_SECONDS = 1.0
"""Readings of the two clocks that are further apart are not compared: the process was suspended in between."""

MOST_JUMPS = 100
"""Latest jumps that are remembered; a clock that jumps more often in a day is a fault that the log shows."""


class Clock(Protocol):
    def now(self) -> datetime:
        """The present instant, UTC, with zone."""


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)


def steady_seconds() -> float:
    """A clock that cannot be set. On Linux it also runs while the machine sleeps, so that sleep is not a jump."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


@dataclass(frozen=True, slots=True)
class Jump:
    """The clock was set. to: what it showed then; by: forward, or back when negative."""

    to: datetime
    by: timedelta


class WatchedClock:
    """A clock that notices whenever it is asked that it was set since it was last asked. Safe for threads.

    jumped  set at each jump, until `untold` is asked
    """

    def __init__(self, clock: Clock, steady: Callable[[], float] = steady_seconds) -> None:
        self._clock = clock
        self._steady = steady
        self._lock = threading.Lock()
        self._last: tuple[datetime, float] | None = None
        self._untold: deque[Jump] = deque(maxlen=MOST_JUMPS)
        self._gains: deque[tuple[float, timedelta]] = deque(maxlen=MOST_JUMPS)
        self.jumped = threading.Event()

    def now(self) -> datetime:
        with self._lock:
            before, now, after = self._steady(), self._clock.now(), self._steady()
            if after - before < SAME_MOMENT_SECONDS:
                self._compare(now, after)
            return now

    def untold(self) -> list[Jump]:
        """The jumps since this was last asked."""
        with self._lock:
            self.jumped.clear()
            jumps = list(self._untold)
            self._untold.clear()
            return jumps

    def gained(self, within: timedelta) -> timedelta:
        """By how much the clock was set forward within this time: stamps from before may look older by as much."""
        since = self._steady() - within.total_seconds()
        with self._lock:
            return sum((by for at, by in self._gains if at >= since), timedelta())

    def _compare(self, now: datetime, steady: float) -> None:
        last, self._last = self._last, (now, steady)
        if last is None:
            return
        by = now - last[0] - timedelta(seconds=steady - last[1])
        if abs(by.total_seconds()) < JUMP_SECONDS:
            return
        self._untold.append(Jump(now, by))
        if by > timedelta():
            self._gains.append((steady, by))
        self.jumped.set()
