"""The open database: read-only connections for everybody, one kept connection for writing, numbers from blocks."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, text

from broker.clock import Clock
from broker.errors import DatabaseUnavailable, SettingsError
from broker.store.continuity import Continuity
from broker.store.dialects import DATABASE_ERRORS, Backend, Fault, backend_for, fault_of
from broker.store.ids import Ids, reserve
from broker.store.marks import Marks
from broker.store.migrate import prepare
from broker.store.pairing import identity_of

LOCK_SECONDS = 10.0  # longest wait for a lock, a connection or another writer
HEALTH_SECONDS = 2.0  # longest wait of a health check


Transaction = Connection
"""What verbs and questions are handed: an open connection. Rooms above this one know it by this name only."""


class Database:
    """Made by open_database; closed by close.

    dialect   "sqlite" or "postgresql"
    ids       numbers for new rows
    identity  which database this is: the UUID in its row of database_identity
    """

    def __init__(self, backend: Backend, lock_seconds: float) -> None:
        self.dialect = backend.name
        self.backend = backend
        self.ids = Ids(self)
        self.identity = ""
        self._lock_seconds = lock_seconds
        self._turn = threading.Lock()
        self._kept: Connection | None = None
        self._doubtful = False
        self._continuity: Continuity | None = None

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A read-only connection for a few quick questions; each statement sees the last commit.

        raises  DatabaseUnavailable
        """
        self._require()
        with _translated(), self.backend.readers.connect() as connection, self._at_work(connection):
            yield connection
        self.backend.ground.check()

    @contextmanager
    def write(self, limit_seconds: float | None = None) -> Iterator[Connection]:
        """A transaction on the one write connection: committed at the end, rolled back by an exception.

        Never call it inside itself: the second waits for the first.

        limit_seconds  longest wait for the turn; None: as the database was opened
        raises         DatabaseUnavailable: nothing was written, or (connection lost at the commit) nobody knows
        """
        with self._writing(limit_seconds) as connection, self.backend.transaction(connection):
            yield connection

    @contextmanager
    def _writing(self, limit_seconds: float | None) -> Iterator[Connection]:
        """Exclusive use of the write connection. A commit counts only if this ends without an error."""
        limit = self._lock_seconds if limit_seconds is None else limit_seconds
        give_up_at = time.monotonic() + limit
        if not self._turn.acquire(timeout=limit):
            raise DatabaseUnavailable("the write connection is in use for too long", limit_seconds=limit)
        try:
            self._require()
            with self.backend.queue(max(0.0, give_up_at - time.monotonic())), _translated():
                connection = self._connection()
                with self._at_work(connection):
                    yield connection
                self._doubtful = False
            self.backend.ground.check()
        except DatabaseUnavailable:
            self._doubtful = True
            self._forget()
            raise
        finally:
            self._turn.release()

    def lock_keys(self, tx: Connection, keys: Iterable[str]) -> None:
        """Keep other processes' transactions that name one of these keys waiting until this one has ended."""
        self.backend.lock_keys(tx, keys)

    def answers(self) -> bool:
        """True when the database can be read and written now; waits a few seconds at most."""
        try:
            with self.read() as tx:
                tx.execute(_PROBE)
            doubtful = self._doubtful
            with self.write(HEALTH_SECONDS) as tx:
                # A full disk shows only when something is written; after a failure we want to know.
                if doubtful:
                    reserve(tx, "probe", 1)
        except (DatabaseUnavailable, *DATABASE_ERRORS):
            return False
        return not self.lost and self.backend.is_there() and self.backend.has_room()

    def keep_marks(self, marks: Marks, clock: Clock, *, expected: bool = False) -> None:
        """Keep marks in the data folder from now on, and compare each new connection with them.

        expected  the folder has been paired before: an alarm tells where there are no marks
        raises    DatabaseUnavailable
        """
        continuity = Continuity(marks, self.ids, self.identity, clock, expected=expected)
        self.ids.note_blocks(continuity.note_counters)
        self._continuity = continuity
        self.resume()

    def resume(self) -> None:
        """Compare the database with the marks, if they are kept (`continuity`). raises  DatabaseUnavailable"""
        with self._writing(None) as connection:
            if self._continuity is not None:
                self._continuity.resume(self.backend, connection)

    @property
    def continuity(self) -> Continuity | None:
        """None: no marks are kept."""
        return self._continuity

    def check(self) -> None:
        """Check the files of the database. raises  DatabaseUnavailable when an open one is no longer at its path"""
        self.backend.ground.check()

    def depends_on(self, *paths: Path) -> None:
        """These files and folders have to stay where they are, too. raises  DatabaseUnavailable when one is missing"""
        for path in paths:
            self.backend.ground.remember(path.absolute())

    @property
    def lost(self) -> str:
        """What no longer leads to the open database (`ground`); "" if all does. Else nothing is read or written."""
        return self.backend.ground.lost

    def close(self) -> None:
        """Give all connections back; a transaction in hand may end first. May be called twice."""
        mine = self._turn.acquire(timeout=self._lock_seconds)
        try:
            self._forget()
        finally:
            if mine:
                self._turn.release()
        self.backend.close()

    def _require(self) -> None:
        """Do not work on a database that is known to be lost, unless it is back. raises  DatabaseUnavailable"""
        if self.backend.ground.lost:
            self.backend.ground.check()

    def _connection(self) -> Connection:
        """The one that is kept, or a new one where there is none or it was cut."""
        kept = self._kept
        if kept is not None and self.backend.heard(kept):
            with self._at_work(kept):
                lives = _alive(kept)
            if not lives:
                self._forget()
        return self._kept or self._made()

    def _made(self) -> Connection:
        """A new write connection; it counts only once the database was held against the marks."""
        connection = self.backend.writers.connect()
        try:
            if self._continuity is not None:
                with self._at_work(connection):
                    self._continuity.resume(self.backend, connection)
        except BaseException:
            connection.close()
            raise
        self._kept = connection
        return connection

    @contextmanager
    def _at_work(self, connection: Connection) -> Iterator[None]:
        begun = self.backend.begins(connection)
        try:
            yield
        finally:
            self.backend.ends(begun)

    def _forget(self) -> None:
        kept, self._kept = self._kept, None
        if kept is not None:
            try:
                kept.close()
            except DATABASE_ERRORS:
                kept.invalidate()


_PROBE = text("SELECT count(*) FROM id_blocks")


def _alive(connection: Connection) -> bool:
    try:
        connection.exec_driver_sql("SELECT 1")
        connection.rollback()
    except DATABASE_ERRORS:
        return False
    return True


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except DATABASE_ERRORS as error:
        fault, code = fault_of(error)
        if fault is Fault.UNAVAILABLE:
            raise DatabaseUnavailable("the database does not answer", code=code) from error
        raise


def open_database(
    url: str | None,
    data: Path,
    *,
    migrate: bool,
    lock_seconds: float = LOCK_SECONDS,
    identity: str | None = None,
) -> Database:
    """Open the database and bring its tables up to date.

    url           sqlite:////path or postgresql://user@host/name; None: broker.db in the data folder
    migrate       False: refuse a database that lacks migrations
    lock_seconds  longest wait for a lock, a connection or another writer
    identity      the only database that may be opened; None: any. Another one stays as it is
    raises        SettingsError (wrong URL, another database, or one newer than we are), DatabaseTooOld,
                  DatabaseUnavailable
    """
    database = Database(backend_for(url, data, lock_seconds), lock_seconds)
    try:
        if identity is not None and not database.backend.is_there():
            raise SettingsError(MISSING, data=data, **database.backend.where, remedy=MISSING_REMEDY)
        with database.backend.queue(lock_seconds), _translated():
            database.backend.prepare()
        with database.write() as tx:
            prepare(tx, database.backend, migrate=migrate)
            database.identity = identity_of(tx)
            if identity not in (None, database.identity):
                raise SettingsError(OTHER, data=data, **database.backend.where, remedy=OTHER_REMEDY)
        database.backend.identity = database.identity
        if data.is_dir():
            database.depends_on(data)
    except DatabaseUnavailable as error:
        database.close()
        raise DatabaseUnavailable(error.text, **{**database.backend.where, **error.facts}) from error
    except BaseException:
        database.close()
        raise
    return database


MISSING = "the database of this data folder is missing"
MISSING_REMEDY = (
    "restore it, or name the right --database or --data; to start with an empty one: mwl-broker migrate --pair"
)
OTHER = "this data folder belongs to another database"
OTHER_REMEDY = (
    "name the right --database or --data; if this folder and this database belong together from now on: "
    "mwl-broker migrate --pair"
)
