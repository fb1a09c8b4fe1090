"""SQLite in WAL mode: readers see the last commit and never wait; writers queue at a lock file."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from sqlalchemy import URL, Connection, create_engine, event
from sqlalchemy.pool import NullPool

from broker.errors import SettingsError
from broker.owner_only import make_file
from broker.store.prepared import KEPT_STATEMENTS
from broker.store.reader_pool import READERS, ReaderPool, trust_new_connections
from broker.store.write_lock import WriteLock

WAL_BYTES = 64 * 1024 * 1024  # SQLite cuts its log back to this
WRITER_CACHE_KIB = 32 * 1024
READER_CACHE_KIB = 16 * 1024  # a worklist of thousands of steps, read again and again; few readers are busy at once


class SqliteBackend:
    """One file; see `dialects.Backend`."""

    name = "sqlite"

    def __init__(self, path: Path, lock_seconds: float) -> None:
        self.path = path
        self.where: Mapping[str, object] = {"file": path}
        self._lock = WriteLock(path.with_name("write.lock"))
        url = URL.create("sqlite", database=str(path))
        arguments = {
            "isolation_level": None,
            "check_same_thread": False,
            "timeout": lock_seconds,
            "cached_statements": KEPT_STATEMENTS,
        }
        self.readers = create_engine(
            url,
            poolclass=ReaderPool,
            pool_size=READERS,
            max_overflow=0,
            pool_timeout=lock_seconds,
            pool_use_lifo=True,  # the one used last has its pages at hand
            connect_args=arguments,
            hide_parameters=True,
        )
        self.writers = create_engine(url, poolclass=NullPool, connect_args=arguments, hide_parameters=True)
        trust_new_connections(self.readers)
        event.listen(self.readers, "connect", _set_up_reader)
        event.listen(self.writers, "connect", _set_up_writer)

    def queue(self, limit_seconds: float) -> AbstractContextManager[None]:
        return self._lock.held(limit_seconds)

    @contextmanager
    def transaction(self, connection: Connection) -> Iterator[None]:
        # By the driver itself, as most of what stands between (`prepared`); what SQLAlchemy is asked joins in.
        driver = connection.connection.driver_connection
        # One that reads first and writes later would fail at once when somebody wrote in between.
        driver.execute("BEGIN IMMEDIATE")  # type: ignore[union-attr]
        try:
            yield
            connection.commit()
            driver.commit()  # type: ignore[union-attr]
        except BaseException:
            connection.rollback()
            # One that SQLAlchemy gave up, as when Ctrl-C falls into a statement, is closed and so rolled back.
            if not (connection.invalidated or connection.closed):
                driver.rollback()  # type: ignore[union-attr]
            raise

    def prepare(self) -> None:
        make_file(self.path)  # SQLite gives its side files the mode of this one
        # On the driver's own connection: SQLite changes the mode only outside a transaction.
        connection = self.writers.raw_connection()
        try:
            mode = connection.cursor().execute("PRAGMA journal_mode=WAL").fetchone()[0]
        finally:
            connection.close()
        if mode != "wal":
            raise SettingsError("this file system cannot carry SQLite's WAL mode; use a local disk", mode=mode)

    def lock_keys(self, tx: Connection, keys: Iterable[str]) -> None:
        """Nothing to do: one transaction at a time."""

    def lock_everything(self, tx: Connection) -> None:
        """Nothing to do: one transaction at a time."""

    def lift_limits(self, tx: Connection) -> None:
        """Nothing to do: statements have no limit."""

    def heard(self, connection: Connection) -> bool:
        return False

    def present(self) -> bool:
        return self.path.exists()

    def close(self) -> None:
        self.readers.dispose()
        self.writers.dispose()
        self._lock.close()


def _set_up_reader(connection: sqlite3.Connection, _record: object) -> None:
    connection.execute("PRAGMA case_sensitive_like=ON")
    connection.execute("PRAGMA query_only=ON")
    connection.execute(f"PRAGMA cache_size=-{READER_CACHE_KIB}")


def _set_up_writer(connection: sqlite3.Connection, _record: object) -> None:
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA foreign_keys=ON")
    connection.execute("PRAGMA case_sensitive_like=ON")
    connection.execute(f"PRAGMA cache_size=-{WRITER_CACHE_KIB}")
    connection.execute(f"PRAGMA journal_size_limit={WAL_BYTES}")
