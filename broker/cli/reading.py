"""Opens the store for a command, beside a running service or without one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from broker import log
from broker.errors import NotFound
from broker.settings import Settings
from broker.store.database import Database, open_database


@contextmanager
def opened(settings: Settings) -> Iterator[Database]:
    """The database as it is; never created or migrated by looking at it.

    raises  NotFound when no broker has run on this data folder; DatabaseTooOld; DatabaseUnavailable
    """
    log.configure(settings.log)
    if settings.database is None and not (settings.data / "broker.db").exists():
        raise NotFound("no broker has run on this data folder", data=settings.data, flag="--data")
    database = open_database(settings.database, settings.data, migrate=False, lock_seconds=settings.lock_seconds)
    try:
        yield database
    finally:
        database.close()
