"""The writer and a database that fails, or that another process writes as well."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import Connection

from broker.errors import DatabaseUnavailable
from broker.store.database import Database, open_database
from broker.store.writer import Verb, Writer
from tests.kit.databases import Databases
from tests.store.small_verb import keep_name, kept_names

WAIT = 10.0  # seconds, for what must happen soon


def test_a_locked_database_fails_what_waits_and_then_comes_back(
    database: Database, database_url: str, tmp_path: Any, database_kind: str
) -> None:
    patient = open_database(database_url, tmp_path, migrate=False)
    hasty = open_database(database_url, tmp_path, migrate=False, lock_seconds=0.1)
    hasty.ids.top_up()
    writer = Writer(hasty)
    writer.start()
    verb = keep_name(hasty.ids)

    with patient.write() as tx:
        patient.lock_keys(tx, ["name:ann"])
        with pytest.raises(DatabaseUnavailable):
            writer.ask(verb, "ann", 1, WAIT)
    writer.ask(verb, "ann", 1, WAIT)

    assert kept_names(database) == ["ann"]
    writer.stop(WAIT)
    patient.close()
    hasty.close()


@pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
def test_a_full_disk_fails_what_waits_and_then_comes_back(database: Database, writer: Writer) -> None:
    with database.write() as tx:
        tx.exec_driver_sql("PRAGMA max_page_count=1")

    with pytest.raises(DatabaseUnavailable):
        writer.ask(keep_name(database.ids), "x" * 5_000_000, 1, WAIT)

    writer.ask(keep_name(database.ids), "ann", 1, WAIT)
    assert kept_names(database) == ["ann"]


@pytest.mark.parametrize("database_kind", ["postgresql"], indirect=True)
def test_a_connection_cut_inside_a_batch_fails_it_and_then_comes_back(
    database: Database, writer: Writer, database_url: str, databases: Databases
) -> None:
    def load(tx: Connection, names: Sequence[str]) -> Any:
        databases.cut_connections(database_url)
        return keep_name(database.ids).load(tx, names)

    with pytest.raises(DatabaseUnavailable):
        writer.ask(keep_name(database.ids, load=load), "ann", 1, WAIT)

    writer.ask(keep_name(database.ids), "bob", 1, WAIT)
    assert kept_names(database) == ["bob"]


def test_two_writers_that_keep_the_same_new_name_at_once_keep_it_once(
    database: Database, database_url: str, tmp_path: Any
) -> None:
    second = open_database(database_url, tmp_path, migrate=False)
    writers = [Writer(database), Writer(second)]
    verbs = [keep_name(database.ids), keep_name(second.ids)]
    for writer in writers:
        writer.start()

    pairs = []
    for number in range(30):
        futures = [writer.submit(verb, f"n{number}", 1) for writer, verb in zip(writers, verbs, strict=True)]
        pairs.append([future.result(WAIT) for future in futures])

    assert all(one == other for one, other in pairs)
    assert len(kept_names(database)) == 30
    for writer in writers:
        writer.stop(WAIT)
    second.close()


@pytest.mark.parametrize("database_kind", ["postgresql"], indirect=True)
def test_a_batch_that_another_process_was_quicker_than_runs_again(
    database: Database, database_url: str, tmp_path: Any
) -> None:
    """Keys that do not name what is touched: both have read before either has written."""
    second = open_database(database_url, tmp_path, migrate=False)
    both_have_read = threading.Barrier(2, timeout=WAIT)
    loads: list[int] = []

    def verb(kept_in: Database) -> Verb:
        plain = keep_name(kept_in.ids)

        def load(tx: Connection, names: Sequence[str]) -> Any:
            state = plain.load(tx, names)
            loads.append(len(names))
            if len(loads) <= 2:
                both_have_read.wait()
            return state

        return keep_name(kept_in.ids, load=load, keys=lambda name: [])

    writers = [Writer(database), Writer(second)]
    for each in (database, second):
        each.ids.top_up()
    for writer in writers:
        writer.start()
    futures = [writers[0].submit(verb(database), "ann", 1), writers[1].submit(verb(second), "ann", 1)]

    assert futures[0].result(WAIT) == futures[1].result(WAIT)
    assert len(loads) == 3
    assert kept_names(database) == ["ann"]
    for writer in writers:
        writer.stop(WAIT)
    second.close()
