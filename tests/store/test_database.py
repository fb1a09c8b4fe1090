"""Connections: who may read, who may write, who waits for whom, and what an absent database looks like."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, IntegrityError

from broker.errors import DatabaseUnavailable, SettingsError
from broker.store.database import Database, open_database
from tests.kit.databases import Databases

INSERT = text("INSERT INTO id_blocks (name, next) VALUES (:name, 1)")
NAMES = text("SELECT name FROM id_blocks WHERE name <> 'probe' ORDER BY name")
OtherProcess = Callable[[str], "subprocess.Popen[str]"]

on_sqlite = pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
on_postgresql = pytest.mark.parametrize("database_kind", ["postgresql"], indirect=True)


def add(database: Database, name: str, limit_seconds: float | None = None) -> None:
    with database.write(limit_seconds) as tx:
        tx.execute(INSERT, {"name": name})


def names(database: Database) -> list[str]:
    with database.read() as tx:
        return list(tx.execute(NAMES).scalars())


def test_what_was_written_is_read(database: Database) -> None:
    add(database, "a")

    assert names(database) == ["a"]


def test_an_exception_inside_a_transaction_undoes_it(database: Database) -> None:
    def write_and_fail() -> None:
        with database.write() as tx:
            tx.execute(INSERT, {"name": "a"})
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write_and_fail()

    assert names(database) == []


def test_a_reading_connection_cannot_write(database: Database) -> None:
    with pytest.raises(DatabaseUnavailable), database.read() as tx:
        tx.execute(INSERT, {"name": "a"})

    assert names(database) == []


def test_a_reader_does_not_wait_for_the_writer_and_sees_the_last_commit(database: Database) -> None:
    add(database, "a")

    with database.write() as tx:
        tx.execute(INSERT, {"name": "b"})
        seen = names(database)

    assert seen == ["a"]
    assert names(database) == ["a", "b"]


def test_foreign_keys_are_enforced(database: Database) -> None:
    with pytest.raises(IntegrityError), database.write() as tx:
        tx.execute(text("INSERT INTO scheduled_stations (step_id, ae_title) VALUES (1, 'CT1')"))


def test_like_tells_upper_from_lower_case(database: Database) -> None:
    add(database, "DOE")

    with database.read() as tx:
        found = tx.execute(text("SELECT name FROM id_blocks WHERE name LIKE 'doe%'")).all()

    assert found == []


def test_the_message_of_a_database_error_holds_no_values(database: Database) -> None:
    add(database, "PAT-4711")

    with pytest.raises(DBAPIError) as caught:
        add(database, "PAT-4711")

    assert "[SQL parameters hidden" in str(caught.value)


def test_a_second_writer_of_the_same_process_waits_its_turn_but_not_for_ever(database: Database) -> None:
    entered, leave = threading.Event(), threading.Event()

    def hold() -> None:
        with database.write():
            entered.set()
            leave.wait(10)

    holder = threading.Thread(target=hold)
    holder.start()
    entered.wait(10)
    with pytest.raises(DatabaseUnavailable):
        add(database, "a", limit_seconds=0.05)
    leave.set()
    holder.join(10)

    add(database, "b")
    assert names(database) == ["b"]


def test_a_database_that_answers_says_so(database: Database) -> None:
    assert database.answers()


@on_sqlite
def test_a_process_that_writes_without_pause_does_not_starve_another(
    database: Database, other_process: OtherProcess
) -> None:
    busy = other_process("write")
    assert busy.stdout is not None
    assert busy.stdout.readline() == "writing\n"

    waits = []
    for number in range(50):
        asked_at = time.monotonic()
        add(database, f"mine{number}")
        waits.append(time.monotonic() - asked_at)

    assert max(waits) < 3.0
    assert sum("other" in name for name in names(database)) > 10


@on_sqlite
def test_the_lock_of_a_killed_process_is_free(database: Database, other_process: OtherProcess) -> None:
    holder = other_process("hold")
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"

    with pytest.raises(DatabaseUnavailable):
        add(database, "a", limit_seconds=0.1)
    not_ready = database.answers()
    holder.kill()
    add(database, "b")

    assert not not_ready
    assert names(database) == ["b"]
    assert database.answers()


@on_sqlite
def test_a_full_disk_is_an_unavailable_database_that_comes_back(database: Database) -> None:
    with database.write() as tx:
        tx.exec_driver_sql("PRAGMA max_page_count=1")  # SQLite takes the present size instead

    with pytest.raises(DatabaseUnavailable):
        add(database, "x" * 5_000_000)

    add(database, "a")
    assert names(database) == ["a"]


@on_sqlite
def test_a_missing_file_is_seen(database: Database, tmp_path: Path) -> None:
    (tmp_path / "broker.db").unlink()

    assert not database.answers()


@on_sqlite
def test_a_file_that_is_no_database_is_refused(database_url: str, tmp_path: Path) -> None:
    (tmp_path / "other.db").write_bytes(b"not a database, " * 100)

    with pytest.raises(DatabaseUnavailable):
        open_database(f"sqlite:///{tmp_path}/other.db", tmp_path, migrate=True)


@on_postgresql
def test_an_idle_connection_that_was_cut_is_replaced_without_a_failure(
    database: Database, database_url: str, databases: Databases
) -> None:
    add(database, "a")
    names(database)
    databases.cut_connections(database_url)

    assert names(database) == ["a"]
    add(database, "b")
    assert names(database) == ["a", "b"]


@on_postgresql
def test_a_connection_cut_inside_a_transaction_is_an_unavailable_database_that_comes_back(
    database: Database, database_url: str, databases: Databases
) -> None:
    def write_on_a_cut_connection() -> None:
        with database.write() as tx:
            tx.execute(INSERT, {"name": "a"})
            databases.cut_connections(database_url)
            tx.execute(INSERT, {"name": "b"})

    with pytest.raises(DatabaseUnavailable):
        write_on_a_cut_connection()

    add(database, "c")
    assert names(database) == ["c"]


@on_postgresql
def test_a_stopped_server_is_an_unavailable_database_that_comes_back(database: Database, databases: Databases) -> None:
    add(database, "a")

    with databases.stopped_postgresql():
        with pytest.raises(DatabaseUnavailable):
            add(database, "b")
        with pytest.raises(DatabaseUnavailable):
            names(database)
        not_ready = database.answers()

    assert not not_ready
    assert database.answers()
    add(database, "c")
    assert names(database) == ["a", "c"]


@on_postgresql
def test_a_lock_of_another_transaction_is_waited_for_with_a_limit(database_url: str, tmp_path: Path) -> None:
    one = open_database(database_url, tmp_path, migrate=False)
    two = open_database(database_url, tmp_path, migrate=False, lock_seconds=0.1)

    with one.write() as tx:
        one.lock_keys(tx, ["order:1"])
        with pytest.raises(DatabaseUnavailable), two.write() as other:
            two.lock_keys(other, ["order:1"])
        with two.write() as other:
            two.lock_keys(other, ["order:2"])

    one.close()
    two.close()


@on_postgresql
def test_more_keys_than_the_lock_table_takes_keep_everybody_else_waiting(database_url: str, tmp_path: Path) -> None:
    one = open_database(database_url, tmp_path, migrate=False)
    two = open_database(database_url, tmp_path, migrate=False, lock_seconds=0.1)

    with one.write() as tx:
        one.lock_keys(tx, [f"order:{number}" for number in range(20_000)])
        with pytest.raises(DatabaseUnavailable), two.write() as other:
            two.lock_keys(other, ["order:elsewhere"])

    one.close()
    two.close()


@pytest.mark.parametrize(
    ("url", "hint"),
    [
        ("nonsense", "postgresql://"),
        ("mysql://host/name", "sqlite or postgresql"),
        ("sqlite://", "needs a file"),
        ("sqlite:///:memory:", "needs a file"),
    ],
)
def test_a_wrong_url_is_refused_with_what_would_be_right(url: str, hint: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=hint):
        open_database(url, tmp_path, migrate=True)


def test_the_refusal_of_a_url_shows_no_password(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        open_database("mysql://user:secret@host/name", tmp_path, migrate=True)

    assert "secret" not in str(caught.value)


def test_a_server_that_is_not_there_is_an_unavailable_database(tmp_path: Path) -> None:
    with pytest.raises(DatabaseUnavailable):
        open_database(f"postgresql://user@/name?host={tmp_path}", tmp_path, migrate=True, lock_seconds=1.0)


@on_postgresql
def test_every_wait_for_postgresql_has_a_limit(database: Database) -> None:
    limits = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")

    with database.read() as reader, database.write() as tx:
        shown = [connection.exec_driver_sql(f"SHOW {name}").scalar() for connection in (reader, tx) for name in limits]

    assert shown == ["1min", "5s", "2min"] * 2
