"""Everything that differs between databases: how to connect, to begin, to queue, to lock keys, and what errors mean."""

from __future__ import annotations

import select
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from enum import Enum
from hashlib import blake2b
from pathlib import Path
from typing import Any, Protocol

from sqlalchemy import URL, BigInteger, Connection, Engine, bindparam, create_engine, event, make_url, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.exc import ArgumentError, DBAPIError, InvalidatePoolError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import NullPool, QueuePool

from broker.errors import SettingsError
from broker.store.prepared import KEPT_STATEMENTS
from broker.store.write_lock import WriteLock

READERS = 8  # connections: readers hold one for a few milliseconds only
STATEMENT_SECONDS = 60.0  # PostgreSQL gives up a statement after this
POSTGRES_PORT = 5432  # where a URL names none
MIGRATION_SECONDS = 3600.0  # the same, for a statement of a migration
IDLE_IN_TRANSACTION_SECONDS = 120.0  # PostgreSQL ends a transaction whose process has stopped
WAL_BYTES = 64 * 1024 * 1024  # SQLite cuts its log back to this
WRITER_CACHE_KIB = 32 * 1024
READER_CACHE_KIB = 16 * 1024  # a worklist of thousands of steps, read again and again; few readers are busy at once
MOST_KEYS = 1000  # locks one PostgreSQL transaction takes key by key; more would fill the server's lock table
AS_BYTES = "as_bytes"  # execution option: PostgreSQL sends values as bytes; blobs as text are long, and slow to read
EVERYTHING = 0  # the lock that stands for all keys: shared by those who lock keys, alone for those with too many


class Fault(Enum):
    """What a database error means for the work that met it."""

    UNAVAILABLE = "unavailable"
    CONFLICT = "conflict"
    OTHER = "other"


class Backend(Protocol):
    """One kind of database.

    where             what it is, for an operator who must find it; never a password
    readers, writers  engines; readers are pooled, read-only and outside transactions
    queue             context in which a write transaction runs; may wait limit_seconds, raises DatabaseUnavailable
    transaction       begun at once; committed at the end, rolled back by an exception
    prepare           once at opening, in the queue
    lock_keys         held until the transaction ends; no two transactions hold the same key
    lock_everything   the same for all keys
    lift_limits       for this transaction, statements may take as long as migrations do
    heard             True when a kept connection holds unread bytes of the server: most likely it was cut
    present           False when the database is visibly gone
    close             gives back what it keeps open
    """

    name: str
    where: Mapping[str, object]
    readers: Engine
    writers: Engine

    def queue(self, limit_seconds: float) -> AbstractContextManager[None]: ...

    def transaction(self, connection: Connection) -> AbstractContextManager[object]: ...

    def prepare(self) -> None: ...

    def lock_keys(self, tx: Connection, keys: Iterable[str]) -> None: ...

    def lock_everything(self, tx: Connection) -> None: ...

    def lift_limits(self, tx: Connection) -> None: ...

    def heard(self, connection: Connection) -> bool: ...

    def present(self) -> bool: ...

    def close(self) -> None: ...


def backend_for(url: str | None, data: Path, lock_seconds: float) -> Backend:
    """The backend of a database URL; None is the file broker.db in the data folder.

    raises  SettingsError for a URL that is none, or of a database we do not know; its text never shows a password
    """
    if url is None:
        return _sqlite(data / "broker.db", lock_seconds)
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise SettingsError("the database URL cannot be read; it looks like postgresql://user@host/name") from None
    kind = parsed.get_backend_name()
    if kind == "sqlite":
        if not parsed.database or parsed.database == ":memory:":
            raise SettingsError("an SQLite database needs a file: sqlite:////path/to/broker.db")
        return _sqlite(Path(parsed.database), lock_seconds)
    if kind == "postgresql":
        return PostgresBackend(parsed, lock_seconds)
    raise SettingsError("the database URL names a kind we do not know; use sqlite or postgresql", kind=kind)


def _sqlite(path: Path, lock_seconds: float) -> SqliteBackend:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(
            "the folder of the database cannot be made", folder=str(path.parent), cause=error.strerror
        ) from error
    return SqliteBackend(path, lock_seconds)


class SqliteBackend:
    """SQLite in WAL mode: readers see the last commit and never wait; writers queue at a lock file."""

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
            poolclass=QueuePool,
            pool_size=READERS,
            max_overflow=0,
            pool_timeout=lock_seconds,
            pool_use_lifo=True,  # the one used last has its pages at hand
            connect_args=arguments,
            hide_parameters=True,
        )
        self.writers = create_engine(url, poolclass=NullPool, connect_args=arguments, hide_parameters=True)
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
        _dispose(self)
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


class PostgresBackend:
    """PostgreSQL by psycopg 3. Every wait has a limit: connecting, statements, locks, a silent network."""

    name = "postgresql"

    def __init__(self, url: URL, lock_seconds: float) -> None:
        url = url.set(drivername="postgresql+psycopg")
        host = url.host or url.query.get("host", "this machine")
        self.where: Mapping[str, object] = {"host": host, "port": url.port or POSTGRES_PORT}
        limits = {
            "statement_timeout": f"{STATEMENT_SECONDS:.0f}s",
            "lock_timeout": f"{max(1, round(lock_seconds * 1000))}ms",
            "idle_in_transaction_session_timeout": f"{IDLE_IN_TRANSACTION_SECONDS:.0f}s",
        }
        # A plan for any day or page is one for a few steps: it sorts all that are left, for each page anew.
        reading = {"default_transaction_read_only": "on", "plan_cache_mode": "force_custom_plan"}
        self.readers = create_engine(
            url,
            isolation_level="AUTOCOMMIT",
            poolclass=QueuePool,
            pool_size=READERS,
            max_overflow=0,
            pool_timeout=lock_seconds,
            connect_args=_postgres_arguments(url, lock_seconds, limits | reading),
            hide_parameters=True,
        )
        event.listen(self.readers, "checkout", _refuse_cut_connection)
        event.listen(self.readers, "before_cursor_execute", _take_bytes)
        # A plan made while the tables were empty is a sequential scan and stays; so the writer's plans are generic and
        # by index from the start.
        planning = {"enable_seqscan": "off", "plan_cache_mode": "force_generic_plan", "synchronous_commit": "on"}
        self.writers = create_engine(
            url,
            isolation_level="READ COMMITTED",
            poolclass=NullPool,
            connect_args=_postgres_arguments(url, lock_seconds, limits | planning),
            hide_parameters=True,
        )

    def queue(self, limit_seconds: float) -> AbstractContextManager[None]:
        return nullcontext()

    def transaction(self, connection: Connection) -> AbstractContextManager[object]:
        return connection.begin()

    def prepare(self) -> None:
        """Nothing to do before the migrations."""

    def lock_keys(self, tx: Connection, keys: Iterable[str]) -> None:
        """Lock keys in one order for everybody, so that two batches that share keys run one after the other."""
        hashes = sorted({_hash(key) for key in keys})
        if len(hashes) > MOST_KEYS:
            self.lock_everything(tx)
        elif hashes:
            tx.execute(_LOCK_KEYS, {"keys": [EVERYTHING, *hashes]})

    def lock_everything(self, tx: Connection) -> None:
        tx.execute(_LOCK_EVERYTHING, {"key": EVERYTHING})

    def lift_limits(self, tx: Connection) -> None:
        tx.exec_driver_sql(f"SET LOCAL statement_timeout = '{MIGRATION_SECONDS:.0f}s'")

    def heard(self, connection: Connection) -> bool:
        return _was_cut(connection.connection.driver_connection)

    def present(self) -> bool:
        return True

    def close(self) -> None:
        _dispose(self)


def _dispose(backend: Backend) -> None:
    backend.readers.dispose()
    backend.writers.dispose()


def _take_bytes(_tx: object, cursor: Any, _sql: object, _values: object, context: Any, _many: object) -> None:
    if context.execution_options.get(AS_BYTES):
        # psycopg's own enum: text is 0, bytes are 1.
        cursor.format = type(cursor.format)(1)


def _was_cut(driver: Any) -> bool:
    if driver.closed:
        return True
    poll = select.poll()
    poll.register(driver.fileno(), select.POLLIN)
    return bool(poll.poll(0))


def _refuse_cut_connection(driver: Any, _record: object, _proxy: object) -> None:
    """A look at the socket: asking the server would cost each query another way there and back."""
    if _was_cut(driver):
        raise InvalidatePoolError


# unnest keeps the array's order, so EVERYTHING comes first and the others ascend.
_LOCK_KEYS = text(
    "SELECT CASE WHEN key = 0 THEN pg_advisory_xact_lock_shared(key)::text ELSE pg_advisory_xact_lock(key)::text END"
    " FROM unnest(:keys) AS key"
).bindparams(bindparam("keys", type_=ARRAY(BigInteger)))
_LOCK_EVERYTHING = text("SELECT pg_advisory_xact_lock(:key)").bindparams(bindparam("key", type_=BigInteger))


def _hash(key: str) -> int:
    """64 bits, signed, never 0."""
    return int.from_bytes(blake2b(key.encode(), digest_size=8).digest(), "big", signed=True) or 1


def _postgres_arguments(url: URL, lock_seconds: float, options: dict[str, str]) -> dict[str, Any]:
    given = url.query.get("options", "")
    ours = " ".join(f"-c {name}={value}" for name, value in options.items())
    return {
        "options": f"{ours} {given}".strip(),
        "connect_timeout": max(2, round(lock_seconds)),
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": 30_000,
    }


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
