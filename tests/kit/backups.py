"""A backup of a database while it is in use, and its restoration in the place of the original."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from tests.kit.databases import Databases


class Backup:
    """A copy of a database as it was.

    restore  puts it in the place of the original, on SQLite as a new file beside which no log of the old one is left
    """

    def __init__(self, databases: Databases, url: str) -> None:
        self._databases, self._url = databases, url
        self._copy = _copied(_file(url)) if url.startswith("sqlite") else databases.copy(url)
        self._exchanged = False

    def restore(self) -> None:
        if self._url.startswith("sqlite"):
            file = _file(self._url)
            for rest in (f"{file}-wal", f"{file}-shm"):
                Path(rest).unlink(missing_ok=True)
            os.replace(self._copy, file)
            return
        self._databases.exchange(self._url, self._copy)
        self._exchanged = True

    def close(self) -> None:
        if not self._url.startswith("sqlite"):
            if self._exchanged:
                self._databases.exchange(self._url, self._copy)
            self._databases.drop(self._copy)


@contextmanager
def backed_up(databases: Databases, url: str) -> Iterator[Backup]:
    backup = Backup(databases, url)
    try:
        yield backup
    finally:
        backup.close()


def _file(url: str) -> Path:
    return Path(url.removeprefix("sqlite:///"))


def _copied(file: Path) -> str:
    copy = f"{file}.backup"
    with closing(sqlite3.connect(file)) as one, closing(sqlite3.connect(copy)) as other:
        one.backup(other)
    return copy
