"""The pool of read connections: SQLAlchemy's, whose waits end by a clock that nobody sets.

SQLAlchemy measures the wait for a connection, and whether a connection was made before the last failure, by the wall
clock: set back by hours, a waiting reader waits hours, and every read makes a connection of its own as long.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine, event
from sqlalchemy.pool import QueuePool
from sqlalchemy.util.queue import Queue

READERS = 8
"""Connections: readers hold one for a few milliseconds only."""


class _SteadyQueue(Queue[Any]):
    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        if block and timeout is not None:
            with self.not_empty:
                self.not_empty.wait_for(self._qsize, timeout)
                return super().get(block=False)
        return super().get(block, timeout)


class ReaderPool(QueuePool):
    """A pool of limited size; who waits for a connection waits no longer than its timeout, whatever the clock does."""

    _queue_class = _SteadyQueue


def trust_new_connections(engine: Engine) -> None:
    """A connection that is made now was made after the last failure, whatever the clock says of it."""

    def made(_driver: object, record: Any) -> None:
        record.starttime = max(record.starttime, engine.pool._invalidate_time)

    event.listen(engine, "connect", made)
