"""The pool of read connections: SQLAlchemy's, with waits measured by the monotonic clock.

SQLAlchemy uses the wall clock to limit the wait for a connection, and to tell whether a connection was made before the
last failure. When that clock is set back by hours, a waiting reader waits for hours, and every read reconnects.
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
    """A pool of limited size whose timeout holds even if the wall clock is set while somebody waits."""

    _queue_class = _SteadyQueue


def trust_new_connections(engine: Engine) -> None:
    """Never take a new connection for one from before the last failure because the wall clock went back."""

    def made(_driver: object, record: Any) -> None:
        record.starttime = max(record.starttime, engine.pool._invalidate_time)

    event.listen(engine, "connect", made)
