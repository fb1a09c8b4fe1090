"""PostgreSQL by psycopg 3. Every wait has a limit: connecting, statements, locks, a silent network."""

from __future__ import annotations

import select
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from hashlib import blake2b
from typing import Any

import psycopg
from sqlalchemy import URL, BigInteger, Connection, bindparam, create_engine, event, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.exc import InvalidatePoolError
from sqlalchemy.pool import NullPool

from broker.errors import DatabaseUnavailable
from broker.store.ground import Ground
from broker.store.pairing import IDENTITY
from broker.store.reader_pool import READERS, ReaderPool, trust_new_connections
from broker.store.silence import Silence

STATEMENT_SECONDS = 60.0  # PostgreSQL gives up a statement after this
POSTGRES_PORT = 5432  # where a URL names none
MIGRATION_SECONDS = 3600.0  # the same, for a statement of a migration
IDLE_IN_TRANSACTION_SECONDS = 120.0  # PostgreSQL ends a transaction whose process has stopped
MOST_KEYS = 1000  # locks one PostgreSQL transaction takes key by key; more would fill the server's lock table
AS_BYTES = "as_bytes"  # execution option: PostgreSQL sends values as bytes; blobs as text are long, and slow to read
EVERYTHING = 0  # the lock for all keys: shared by those who lock keys, alone for those with too many


class PostgresBackend:
    """A server; see `dialects.Backend`."""

    name = "postgresql"

    def __init__(self, url: URL, lock_seconds: float) -> None:
        url = url.set(drivername="postgresql+psycopg")
        host = url.host or url.query.get("host", "this machine")
        self.where: Mapping[str, object] = {"host": host, "port": url.port or POSTGRES_PORT}
        self.identity: str | None = None
        self.ground = Ground()
        self._silence = Silence(dict(url.get_dialect()().create_connect_args(url)[1]))
        limits = {
            "statement_timeout": f"{STATEMENT_SECONDS:.0f}s",
            "lock_timeout": f"{max(1, round(lock_seconds * 1000))}ms",
            "idle_in_transaction_session_timeout": f"{IDLE_IN_TRANSACTION_SECONDS:.0f}s",
        }
        # A generic plan is made for a few steps, and would sort all remaining steps again for each page.
        reading = {"default_transaction_read_only": "on", "plan_cache_mode": "force_custom_plan"}
        self.readers = create_engine(
            url,
            isolation_level="AUTOCOMMIT",
            poolclass=ReaderPool,
            pool_size=READERS,
            max_overflow=0,
            pool_timeout=lock_seconds,
            connect_args=_postgres_arguments(url, lock_seconds, limits | reading),
            hide_parameters=True,
        )
        trust_new_connections(self.readers)
        self.address = f"{host}:{url.port or POSTGRES_PORT}/{url.database}"
        event.listen(self.readers, "connect", self._verify)
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

        event.listen(self.writers, "connect", self._verify)

    def _verify(self, driver: Any, _record: object) -> None:
        """The same address may lead to another database since: nothing is read or written there."""
        if self.identity is None:
            return
        try:
            found = driver.execute(IDENTITY).fetchone()
            driver.rollback()
        except psycopg.errors.UndefinedTable:
            found = None
        if found == (self.identity,):
            self.ground.lead("")
            return
        driver.close()
        self.ground.lead(self.address)
        raise DatabaseUnavailable("another database answers at the address of ours", address=self.address)

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

    def timeline(self, tx: Connection) -> str:
        """Of the log that is written now; pg_control_checkpoint shows it only after the next checkpoint."""
        return str(tx.exec_driver_sql(_TIMELINE).scalar_one())

    def heard(self, connection: Connection) -> bool:
        return _was_cut(connection.connection.driver_connection)

    def begins(self, connection: Connection) -> object:
        driver = connection.connection.driver_connection
        self._silence.begins(driver)
        return driver

    def ends(self, begun: object) -> None:
        self._silence.ends(begun)

    def cut_silent(self) -> None:
        self._silence.look()

    def is_there(self) -> bool:
        return True

    def has_room(self) -> bool:
        return True

    def close(self) -> None:
        self.readers.dispose()
        self.writers.dispose()


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


_TIMELINE = "SELECT left(pg_walfile_name(pg_current_wal_insert_lsn()), 8)"


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
