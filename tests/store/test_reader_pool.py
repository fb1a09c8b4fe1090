"""Readers wait for a connection by a clock that nobody sets."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from broker.errors import DatabaseUnavailable
from broker.store.database import Database, open_database
from broker.store.reader_pool import READERS

HOURS = 5 * 3600.0


@pytest.fixture
def hasty(database_url: str, tmp_path: Path) -> Iterator[Database]:
    """A database whose readers wait half a second for a connection."""
    opened = open_database(database_url, tmp_path, migrate=False, lock_seconds=0.5)
    yield opened
    opened.close()


class Wall:
    """The wall clock as SQLAlchemy reads it, set by `by` from its second reading on."""

    def __init__(self, by: float) -> None:
        self._by = by
        self._asked = 0

    def __call__(self) -> float:
        self._asked += 1
        return time.monotonic() + (self._by if self._asked > 1 else 0.0)


@pytest.mark.parametrize("by", [HOURS, -HOURS])
def test_a_wait_ends_in_time_however_the_clock_is_set(
    hasty: Database, by: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ExitStack() as stack:
        for _ in range(READERS):
            stack.enter_context(hasty.read())
        monkeypatch.setattr("sqlalchemy.util.queue._time", Wall(by))
        began = time.monotonic()

        with pytest.raises(DatabaseUnavailable), hasty.read():
            pass

    assert 0.4 < time.monotonic() - began < 5.0


def test_a_connection_made_after_a_failure_is_kept_although_the_clock_went_back(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    with database.read() as tx:
        tx.invalidate()
    pool = database.backend.readers.pool
    pool._invalidate_time = time.time() + HOURS
    made = []

    for _ in range(3):
        with database.read() as tx:
            made.append(tx.connection.driver_connection)

    assert len({id(one) for one in made}) == 1
