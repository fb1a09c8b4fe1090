"""Everything that differs between databases: how to connect, to begin, to queue, to lock keys, and what errors mean."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from enum import Enum
from pathlib import Path
from typing import Protocol

from sqlalchemy import Connection, Engine, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from broker.errors import SettingsError
from broker.owner_only import make_folder
from broker.store.ground import Ground
from broker.store.postgres import PostgresBackend
from broker.store.sqlite import SqliteBackend


class Fault(Enum):
    """What a database error means for the work that met it."""

    UNAVAILABLE = "unavailable"
    CONFLICT = "conflict"
    OTHER = "other"


class Backend(Protocol):
    """One kind of database.

    where             what it is, for an operator who must find it; never a password
    identity          the one database that connections may lead to; None: not known yet
    ground            the files that must stay at their paths
    readers, writers  engines; readers are pooled, read-only and outside transactions
    queue             context in which a write transaction runs; may wait limit_seconds, raises DatabaseUnavailable
    transaction       begun at once; committed at the end, rolled back by an exception
    prepare           once at opening, in the queue
    lock_keys         held until the transaction ends; no two transactions hold the same key
    lock_everything   the same for all keys
    lift_limits       for this transaction, statements may take as long as migrations do
    timeline          of the server, in a transaction: another one has another; "": the kind has none
    heard             True when a kept connection holds unread bytes of the server: most likely it was cut
    begins, ends      a connection is at work, until what begins returned is handed to ends
    cut_silent        called once a second: frees threads that wait for a frozen server
    is_there          False when the database is visibly gone
    has_room          False when the disk is full, as far as we can see it
    close             gives back what it keeps open
    """

    name: str
    where: Mapping[str, object]
    identity: str | None
    ground: Ground
    readers: Engine
    writers: Engine

    def queue(self, limit_seconds: float) -> AbstractContextManager[None]: ...

    def transaction(self, connection: Connection) -> AbstractContextManager[object]: ...

    def prepare(self) -> None: ...

    def lock_keys(self, tx: Connection, keys: Iterable[str]) -> None: ...

    def lock_everything(self, tx: Connection) -> None: ...

    def lift_limits(self, tx: Connection) -> None: ...

    def timeline(self, tx: Connection) -> str: ...

    def heard(self, connection: Connection) -> bool: ...

    def begins(self, connection: Connection) -> object: ...

    def ends(self, begun: object) -> None: ...

    def cut_silent(self) -> None: ...

    def is_there(self) -> bool: ...

    def has_room(self) -> bool: ...

    def close(self) -> None: ...


def sqlite_file(url: str | None, data: Path) -> Path | None:
    """The file of an SQLite database; None for one in memory, of another kind, or whose URL cannot be read.

    url  as `backend_for` takes it
    """
    if url is None:
        return data / "broker.db"
    try:
        parsed = make_url(url)
    except ArgumentError:
        return None
    named = parsed.database if parsed.get_backend_name() == "sqlite" else None
    return Path(named) if named and named != ":memory:" else None


def backend_for(url: str | None, data: Path, lock_seconds: float) -> Backend:
    """The backend of a database URL; None is the file broker.db in the data folder.

    raises  SettingsError for a URL that is none, or of a database we do not know; its text never shows a password
    """
    file = sqlite_file(url, data)
    if file is not None:
        return _sqlite(file, lock_seconds)
    try:
        parsed = make_url(url or "")
    except ArgumentError:
        raise SettingsError("the database URL cannot be read; it looks like postgresql://user@host/name") from None
    kind = parsed.get_backend_name()
    if kind == "sqlite":
        raise SettingsError("an SQLite database needs a file: sqlite:////path/to/broker.db")
    if kind == "postgresql":
        return PostgresBackend(parsed, lock_seconds)
    raise SettingsError("the database URL names a kind we do not know; use sqlite or postgresql", kind=kind)


def _sqlite(path: Path, lock_seconds: float) -> SqliteBackend:
    try:
        make_folder(path.parent)
    except OSError as error:
        raise SettingsError(
            "the folder of the database cannot be made", folder=str(path.parent), cause=error.strerror
        ) from error
    return SqliteBackend(path, lock_seconds)


_SQLITE_GONE = frozenset(
    {
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_NOTADB,
    }
)
# Classes: 08 connection, 28 and 3D refused, 53 no resources (disk full), 57 shutdown and timeouts, 58 and F0 system.
_POSTGRES_GONE = ("08", "28", "3D", "53", "57", "58", "F0", "55P03", "25006", "25P03")
# 40 serialisation failure and deadlock, 23505 unique violation.
_POSTGRES_CONFLICT = ("40", "23505")


DATABASE_ERRORS = (SQLAlchemyError, sqlite3.Error)  # the second comes from setting up a connection


def fault_of(error: Exception) -> tuple[Fault, str]:
    """What an error means, and its code for the log (never its text, which may hold values)."""
    if isinstance(error, PoolTimeout):
        return Fault.UNAVAILABLE, "pool"
    cause = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(cause, sqlite3.Error):
        code = getattr(cause, "sqlite_errorcode", None)
        name = getattr(cause, "sqlite_errorname", type(cause).__name__)
        return (Fault.UNAVAILABLE if code is not None and code & 0xFF in _SQLITE_GONE else Fault.OTHER), name
    if not isinstance(error, DBAPIError):
        return Fault.OTHER, type(error).__name__
    state = getattr(cause, "sqlstate", None) or ""
    if error.connection_invalidated or state.startswith(_POSTGRES_GONE):
        return Fault.UNAVAILABLE, state or "connection"
    if state.startswith(_POSTGRES_CONFLICT):
        return Fault.CONFLICT, state
    if not state and type(cause).__name__ in ("OperationalError", "ConnectionTimeout", "InterfaceError"):
        return Fault.UNAVAILABLE, "connection"
    return Fault.OTHER, state or type(cause).__name__
