"""Tell a person when the machine's clock was set while the broker serves."""

from __future__ import annotations

import threading
from collections import deque
from datetime import timedelta

import structlog

from broker.clock import MOST_JUMPS, Jump, WatchedClock
from broker.domain.order import Alarm
from broker.errors import DatabaseUnavailable
from broker.store.alarms import raise_alarms
from broker.store.database import Database

log = structlog.get_logger()

LOOK_SECONDS = 5.0
"""Between two looks at the clock, and between two tries to write an alarm."""


class ClockWatch:
    """Keeps the contract of `service.Service`. One thread; it never stops what else is done."""

    name = "clock"

    def __init__(self, clock: WatchedClock, database: Database) -> None:
        self._clock = clock
        self._database = database
        self._stopping = threading.Event()
        self._unwritten: deque[Jump] = deque(maxlen=MOST_JUMPS)
        self._thread = threading.Thread(target=self._run, name="clock-watch", daemon=True)

    def start(self) -> None:
        self._clock.now()
        self._thread.start()

    def stop(self, grace_seconds: float) -> None:
        self._stopping.set()
        self._clock.jumped.set()
        if self._thread.is_alive():
            self._thread.join(grace_seconds)

    def ready(self) -> bool:
        return True

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._clock.jumped.wait(LOOK_SECONDS)
            self._clock.now()
            for jump in self._clock.untold():
                log.warning("clock.jumped", seconds=round(jump.by.total_seconds()), to=jump.to.isoformat())
                self._unwritten.append(jump)
            if self._unwritten:
                self._tell()

    def _tell(self) -> None:
        try:
            with self._database.write() as tx:
                raise_alarms(tx, [_alarm(jump) for jump in self._unwritten], self._unwritten[-1].to)
        except DatabaseUnavailable:
            return  # the next look tries again
        self._unwritten.clear()


def _alarm(jump: Jump) -> Alarm:
    """One open alarm for each direction: a clock that is set to and fro fills no table."""
    direction = "forward" if jump.by > timedelta() else "back"
    size, to = timedelta(seconds=round(abs(jump.by.total_seconds()))), jump.to.isoformat(timespec="seconds")
    return Alarm("clock-jumped", f"clock {direction}", detail=f"{direction} by {size} (h:mm:ss), to {to}")
