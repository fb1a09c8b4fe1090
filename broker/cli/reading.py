"""Opens the store for a command, beside a running service or without one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from broker import log
from broker.data_folder import database_file
from broker.errors import NotFound
from broker.settings import Settings
from broker.store.database import Database, open_database


@contextmanager
def opened(settings: Settings) -> Iterator[Database]:
    """The database as it is; never created or migrated by looking at it.

    raises  NotFound when no broker has run on this data folder; DatabaseTooOld; DatabaseUnavailable
    """
    log.configure(settings.log)
    file = database_file(settings)
    if file is not None and not file.exists():
        raise NotFound("no broker has run here; say where it runs", file=file, flags="--data or --database")
    database = open_database(settings.database, settings.data, migrate=False, lock_seconds=settings.lock_seconds)
    try:
        yield database
    finally:
        database.close()
