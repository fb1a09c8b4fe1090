"""SQLite in WAL mode: readers see the last commit and never wait; writers queue at a lock file."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path

from sqlalchemy import URL, Connection, create_engine, event
from sqlalchemy.pool import NullPool

from broker.errors import DatabaseUnavailable, SettingsError
from broker.owner_only import make_file
from broker.store.ground import Ground
from broker.store.pairing import IDENTITY
from broker.store.prepared import KEPT_STATEMENTS
from broker.store.reader_pool import READERS, ReaderPool, trust_new_connections
from broker.store.write_lock import WriteLock

LOOK_SECONDS = 1.0  # between two looks at what is in the file
WAL_MAGIC = b"\x37\x7f\x06"  # the last byte of the four says in which order checksums are computed
LEAST_ROOM_BYTES = 1_000_000  # with less on the disk, orders are about to be refused
WAL_BYTES = 64 * 1024 * 1024  # SQLite cuts its log back to this
WRITER_CACHE_KIB = 32 * 1024
READER_CACHE_KIB = 16 * 1024  # a worklist of thousands of steps, read again and again; few readers are busy at once


class SqliteBackend:
    """One file; see `dialects.Backend`."""

    name = "sqlite"

    def __init__(self, path: Path, lock_seconds: float) -> None:
        self.path = path.absolute()
        self.where: Mapping[str, object] = {"file": path}
        self.identity: str | None = None
        self.ground = Ground()
        self._lock = WriteLock(lock_file(path))
        self._lock_seconds = lock_seconds
        self._anchor: sqlite3.Connection | None = None
        self._wal = -1
        self._seen = (0, 0)
        self._looked_at = -LOOK_SECONDS
        url = URL.create("sqlite", database=str(path))
        self.readers = create_engine(
            url,
            creator=self._connect,
            poolclass=ReaderPool,
            pool_size=READERS,
            max_overflow=0,
            pool_timeout=lock_seconds,
            pool_use_lifo=True,  # the one used last has its pages at hand
            hide_parameters=True,
        )
        self.writers = create_engine(url, creator=self._connect, poolclass=NullPool, hide_parameters=True)
        trust_new_connections(self.readers)
        event.listen(self.readers, "connect", _set_up_reader)
        event.listen(self.writers, "connect", _set_up_writer)

    def queue(self, limit_seconds: float) -> AbstractContextManager[None]:
        return self._lock.held(limit_seconds)

    @contextmanager
    def transaction(self, connection: Connection) -> Iterator[None]:
        # By the driver itself, as are most statements (`prepared`); those of SQLAlchemy join this transaction.
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
        # Kept open: the last connection to close removes the log, and while this one is open, no other is the last.
        self._anchor = connection = self._connect()
        # SQLite changes the mode only outside a transaction.
        mode = connection.execute("PRAGMA journal_mode=WAL").fetchone()[0]
        if mode != "wal":
            raise SettingsError("this file system cannot carry SQLite's WAL mode; use a local disk", mode=mode)
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()  # makes the log
        self._lock.open()
        # SQLite takes no lock on its log, so that another descriptor of it may be closed again.
        wal = Path(f"{self.path}-wal")
        self._wal = os.open(wal, os.O_RDONLY | os.O_CLOEXEC)
        self.ground.remember(wal, self._is_log)
        for beside in side_files(self.path):
            self.ground.remember(beside)

    def _connect(self) -> sqlite3.Connection:
        """A connection to the file that the first one opened, and to no other: SQLite would make a missing one.

        raises  DatabaseUnavailable, sqlite3.Error
        """
        first = self._anchor is None
        self.ground.check()
        before = _inode(self.path)
        connection = sqlite3.connect(
            f"{self.path.as_uri()}?mode={'rwc' if first else 'rw'}",
            uri=True,
            isolation_level=None,
            check_same_thread=False,
            timeout=self._lock_seconds,
            cached_statements=KEPT_STATEMENTS,
        )
        try:
            if before not in (None, _inode(self.path)):
                raise DatabaseUnavailable("the file of the database was replaced while it was opened", file=self.path)
            self.ground.remember(self.path, self._holds)
            self.ground.check()
        except BaseException:
            connection.close()
            raise
        return connection

    def _holds(self, found: os.stat_result) -> bool:
        """Whether the file can still be the content that we have open.

        Its size and time change when the log is copied into it, once in a while. Then a fresh connection, which has
        nothing in memory, has to find this database there; at most once a second, unless the file became shorter.
        A change to pages that the log holds too, or one that leaves size and time as they were, cannot be seen.
        """
        seen = found.st_size, found.st_mtime_ns
        if seen == self._seen:
            return True
        if self.identity is None:  # while it is opened
            self._seen = seen
            return True
        now = time.monotonic()
        if found.st_size >= self._seen[0] and now < self._looked_at + LOOK_SECONDS:
            return True
        self._looked_at = now
        try:
            with closing(sqlite3.connect(f"{self.path.as_uri()}?mode=ro", uri=True, timeout=1.0)) as fresh:
                (identity,) = fresh.execute(IDENTITY).fetchone()
                (pages,), (size,) = (fresh.execute(f"PRAGMA {name}").fetchone() for name in ("page_count", "page_size"))
        except sqlite3.Error as error:
            return getattr(error, "sqlite_errorcode", 0) & 0xFF not in _NOT_THIS_DATABASE
        except TypeError:  # no row
            return False
        if identity != self.identity or (found.st_size < self._seen[0] and found.st_size < pages * size):
            return False
        self._seen = seen
        return True

    def _is_log(self, found: os.stat_result) -> bool:
        """Whether the log begins as one: where somebody cut it off, SQLite goes on behind the hole, and nobody can read
        it any more. An empty one was copied into the database (https://www.sqlite.org/fileformat2.html#walformat)."""
        return not found.st_size or os.pread(self._wal, len(WAL_MAGIC), 0) == WAL_MAGIC

    def lock_keys(self, tx: Connection, keys: Iterable[str]) -> None:
        """Nothing to do: one transaction at a time."""

    def lock_everything(self, tx: Connection) -> None:
        """Nothing to do: one transaction at a time."""

    def lift_limits(self, tx: Connection) -> None:
        """Nothing to do: statements have no limit."""

    def timeline(self, tx: Connection) -> str:
        return ""

    def heard(self, connection: Connection) -> bool:
        return False

    def begins(self, connection: Connection) -> object:
        """Nothing to do: no peer keeps us waiting."""
        return None

    def ends(self, begun: object) -> None:
        """Nothing to do."""

    def cut_silent(self) -> None:
        """Nothing to do."""

    def is_there(self) -> bool:
        return self.path.exists()

    def has_room(self) -> bool:
        """A small write may fit into a full disk, where an order does not."""
        try:
            room = os.statvfs(self.path.parent)
        except OSError:
            return False
        return room.f_bavail * room.f_frsize >= LEAST_ROOM_BYTES

    def close(self) -> None:
        self.readers.dispose()
        self.writers.dispose()
        anchor, self._anchor = self._anchor, None
        if anchor is not None:
            anchor.close()
        wal, self._wal = self._wal, -1
        if wal >= 0:
            os.close(wal)
        self._lock.close()


def side_files(database: Path) -> list[Path]:
    """What is beside the file of an open database and belongs to it: SQLite's log and its index, the writers' lock."""
    log = [database.with_name(f"{database.name}{end}") for end in ("-wal", "-shm")]
    return [*log, lock_file(database)]


def lock_file(database: Path) -> Path:
    """The file whose lock writers hold (`write_lock`)."""
    return database.with_name("write.lock")


_NOT_THIS_DATABASE = (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)  # the first: no such table


def _inode(path: Path) -> int | None:
    try:
        return path.stat().st_ino
    except OSError:
        return None


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
