"""Opens the store for a command, beside a running service or without one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from broker import log
from broker.data_folder import database_file
from broker.errors import NotFound
from broker.settings import Settings
from broker.store.database import Database, open_database

ANY_WORD = {"ignore_unknown_options": True}
"""For commands that take a number or an id: a word that begins with a hyphen is an unknown id, not an option."""


def row_id(word: str) -> int | None:
    """The id that a word names; None for one that no row can have: ids are whole numbers of 64 bits above 0."""
    if not re.fullmatch("[0-9]{1,19}", word.strip()):
        return None
    number = int(word)
    return number if 0 < number < 1 << 63 else None


def can_be_stored(word: str) -> bool:
    """False for a word with bytes that are not UTF-8 (PEP 383): no database has it."""
    return word.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in word)


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
