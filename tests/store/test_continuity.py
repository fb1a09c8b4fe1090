"""Marks in the data folder against the database that is found: older copies, failovers, other brokers."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, select, text

from broker.errors import DatabaseUnavailable
from broker.store.alarms import list_alarms
from broker.store.database import Database, open_database
from broker.store.marks import Marks
from broker.store.tables import id_blocks, messages
from broker.store.watch import Watch
from tests.kit.clock import SettableClock
from tests.kit.databases import Databases

on_postgresql = pytest.mark.parametrize("database_kind", ["postgresql"], indirect=True)
on_sqlite = pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)


class Site:
    """One database, and brokers on it with a data folder each."""

    def __init__(self, url: str, folder: Path, stack: ExitStack) -> None:
        self.url, self.folder, self._stack = url, folder, stack
        self.clock = SettableClock()

    def broker(self, name: str = "data", process: str = "0") -> Database:
        data = self.folder / name
        data.mkdir(exist_ok=True)
        opened = self._stack.enter_context(_closing(open_database(self.url, data, migrate=False, lock_seconds=5.0)))
        opened.keep_marks(Marks(data, process), self.clock)
        return opened

    def marks(self, name: str = "data") -> dict[str, Any]:
        return dict(json.loads((self.folder / name / "marks.json").read_text()))


class _closing(ExitStack):  # noqa: N801
    def __init__(self, database: Database) -> None:
        super().__init__()
        self.database = database
        self.callback(database.close)

    def __enter__(self) -> Database:  # type: ignore[override]
        return self.database


@pytest.fixture
def site(database_url: str, tmp_path: Path) -> Iterator[Site]:
    with ExitStack() as stack:
        yield Site(database_url, tmp_path, stack)


def take_messages(database: Database, count: int, minute: int = 0) -> list[int]:
    """As the writer does: numbers from blocks, rows, a commit; then a look of the watch."""
    numbers = [database.ids.take("messages") for _ in range(count)]
    filled = dict.fromkeys(
        ("peer", "sender", "receiver", "message_type", "control_id", "version", "processing_id", "charset", "digest",
         "outcome", "reason", "location"), "x",
    )  # fmt: skip
    at = datetime(2026, 3, 2, 9, minute, tzinfo=UTC)
    rows = [{**filled, "id": number, "raw": b"", "received_at": at, "answered_at": at} for number in numbers]
    with database.write() as tx:
        tx.execute(insert(messages), rows)
    Watch(database).look()
    return numbers


def restore(database: Database, numbers: list[int], counters: dict[str, int]) -> None:
    """What an older copy looks like: rows are not there, counters are where they were."""
    with database.write() as tx:
        tx.execute(messages.delete().where(messages.c.id.in_(numbers)))
        for name, value in counters.items():
            tx.execute(id_blocks.update().where(id_blocks.c.name == name).values(next=value))


def counters(database: Database) -> dict[str, int]:
    with database.read() as tx:
        return {row.name: row.next for row in tx.execute(select(id_blocks.c.name, id_blocks.c.next))}


def alarms(database: Database) -> list[tuple[str, str, int]]:
    with database.read() as tx:
        return [(alarm.kind, alarm.subject, alarm.count) for alarm in list_alarms(tx)]


def test_what_is_handed_out_and_written_is_marked_for_the_owner_only(site: Site) -> None:
    broker = site.broker()

    numbers = take_messages(broker, 3)

    marks = site.marks()
    assert marks["counters"]["messages"] == counters(broker)["messages"] > max(numbers)
    assert marks["rows"]["messages"] == {"0": [3, "2026-03-02T09:00:00.000000Z"]}
    assert marks["database"] == broker.identity
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in (site.folder / "data").glob("marks.*")}
    assert modes == {"marks.json": 0o600, "marks.lock": 0o600}


def test_a_start_on_the_same_database_says_nothing(site: Site) -> None:
    take_messages(site.broker(), 3)

    assert alarms(site.broker()) == []


def test_an_older_copy_is_told_once_and_numbers_go_on_after_the_marks(site: Site) -> None:
    broker = site.broker()
    kept = take_messages(broker, 3)
    before = counters(broker)
    lost = take_messages(broker, 100, minute=7)
    marked = site.marks()["counters"]["messages"]
    restore(broker, lost, before)

    again, third = site.broker(), site.broker(process="1")

    gap = f"messages {kept[-1] + 1} to {lost[-1]}, from 2026-03-02T09:00:00.000000Z to 2026-03-02T09:07:00.000000Z"
    assert alarms(third) == [("database-restored", gap, 1)]
    assert again.ids.take("messages") >= marked
    assert third.ids.take("messages") >= marked
    assert site.marks()["counters"]["messages"] >= marked


def test_a_copy_whose_counters_did_not_move_since_is_found_by_its_rows(site: Site) -> None:
    broker = site.broker()
    take_messages(broker, 3)
    lost = take_messages(broker, 2, minute=1)
    restore(broker, lost, {})

    assert [kind for kind, _, _ in alarms(site.broker())] == ["database-restored"]


def test_a_content_that_is_replaced_under_open_connections_is_found_by_the_watch(site: Site) -> None:
    broker = site.broker()
    before = counters(broker)
    lost = take_messages(broker, 40)
    marked = site.marks()["counters"]["messages"]
    restore(broker, lost, before)

    broker.ids.take("messages")
    Watch(broker).look()

    assert alarms(broker) == [(
        "database-restored", "messages 1 to 40, from the beginning to 2026-03-02T09:00:00.000000Z", 1,
    )]  # fmt: skip
    assert broker.ids.take("messages") >= marked


def test_a_number_that_another_copy_gave_to_another_message_counts_as_missing(site: Site) -> None:
    broker = site.broker()
    numbers = take_messages(broker, 1)
    with broker.write() as tx:
        other = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
        tx.execute(messages.update().where(messages.c.id == numbers[0]).values(received_at=other))

    assert [kind for kind, _, _ in alarms(site.broker())] == ["database-restored"]


def test_two_brokers_share_a_database_and_neither_takes_the_others_work_for_a_gap(site: Site) -> None:
    one, other = site.broker("one"), site.broker("other")

    numbers = [take_messages(broker, 50) for _ in range(3) for broker in (one, other)]
    for broker in (one, other):
        broker.resume()
    again = [site.broker("one"), site.broker("other")]

    given = [number for some in numbers for number in some]
    assert len(set(given)) == len(given) == 300
    assert alarms(again[0]) == []
    assert site.marks("one")["rows"]["messages"]["0"][0] != site.marks("other")["rows"]["messages"]["0"][0]


def test_of_two_brokers_on_an_older_copy_each_names_its_own_gap(site: Site) -> None:
    one, other = site.broker("one"), site.broker("other")
    before = counters(one)
    lost = take_messages(one, 40, minute=1) + take_messages(other, 40, minute=2)
    restore(one, lost, before)

    again = [site.broker("one"), site.broker("other")]

    assert [kind for kind, _, _ in alarms(again[0])] == ["database-restored", "database-restored"]
    fresh = [broker.ids.take("messages") for broker in again]
    assert min(fresh) >= max(site.marks(name)["rows"].get("messages", {}).get("0", [0])[0] for name in ("one", "other"))
    assert not set(fresh) & set(lost)


def test_a_folder_that_was_given_another_database_keeps_its_numbers_and_raises_no_alarm(site: Site) -> None:
    broker = site.broker()
    take_messages(broker, 40)
    file = site.folder / "data" / "marks.json"
    file.write_text(json.dumps(site.marks() | {"database": "another", "counters": {"instances": 5000}}))

    again = site.broker()

    assert again.ids.take("instances") >= 5000
    assert site.marks()["database"] == again.identity


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"database": 1, "counters": [], "rows": 7}'])
def test_damaged_marks_are_written_anew(site: Site, content: str) -> None:
    take_messages(site.broker(), 3)
    (site.folder / "data" / "marks.json").write_text(content)

    take_messages(site.broker(), 3)

    assert site.marks()["counters"]["messages"] > 6


def test_marks_that_cannot_be_written_stop_nobody(site: Site) -> None:
    broker = site.broker()
    (site.folder / "data" / "marks.lock").unlink()
    (site.folder / "data" / "marks.lock").mkdir()

    assert take_messages(broker, 100) == list(range(1, 101))


@on_postgresql
def test_a_new_timeline_alone_drops_the_blocks_and_is_told(site: Site) -> None:
    broker = site.broker()
    take_messages(broker, 3)
    marks = site.marks()
    assert len(marks["timeline"]) == 8
    (site.folder / "data" / "marks.json").write_text(json.dumps(marks | {"timeline": "00000000"}))

    broker.resume()

    assert [kind for kind, _, _ in alarms(broker)] == ["database-failover"]
    assert broker.ids.take("messages") > 30
    broker.resume()
    assert alarms(broker)[0][2] == 1


@on_postgresql
def test_another_database_at_the_same_address_is_neither_read_nor_written(
    database_url: str, databases: Databases, tmp_path: Path
) -> None:
    name = database_url.partition("?")[0].rpartition("/")[2]
    broker = open_database(database_url, tmp_path, migrate=False, lock_seconds=5.0)
    take_messages(broker, 3)
    databases.rename(name, f"{name}_away")
    with databases.empty_postgresql() as other_url:
        open_database(other_url, tmp_path, migrate=True).close()
        other = other_url.partition("?")[0].rpartition("/")[2]
        databases.rename(other, name)
        try:
            for _ in range(2):
                with pytest.raises(DatabaseUnavailable), broker.read() as tx:
                    tx.execute(text("SELECT 1"))
                with pytest.raises(DatabaseUnavailable), broker.write() as tx:
                    tx.execute(text("SELECT 1"))
            assert (broker.answers(), bool(broker.lost)) == (False, True)
        finally:
            databases.rename(name, other)
            databases.rename(f"{name}_away", name)

    assert broker.answers()
    assert not broker.lost
    broker.close()


@on_sqlite
def test_another_process_that_opens_and_closes_the_database_is_no_replacement(site: Site) -> None:
    broker = site.broker()
    for _ in range(3):
        open_database(site.url, site.folder, migrate=False).close()
        take_messages(broker, 1)
    with broker.write() as tx:
        tx.exec_driver_sql("SELECT 1")
    checkpoint(site)
    take_messages(broker, 1)

    assert broker.lost == ""


def checkpoint(site: Site) -> None:
    """The log is copied into the file by somebody else."""
    import sqlite3
    from contextlib import closing

    with closing(sqlite3.connect(site.url.removeprefix("sqlite:///"))) as other:
        other.execute("PRAGMA wal_checkpoint(TRUNCATE)")


@on_sqlite
def test_another_database_copied_onto_the_file_in_place_is_seen(site: Site, tmp_path: Path) -> None:
    broker = site.broker()
    take_messages(broker, 1)
    checkpoint(site)
    other = tmp_path / "elsewhere" / "broker.db"
    open_database(f"sqlite:///{other}", other.parent, migrate=True).close()
    file = Path(site.url.removeprefix("sqlite:///"))
    with file.open("r+b") as target:
        target.write(other.read_bytes())

    with pytest.raises(DatabaseUnavailable):
        broker.check()


def test_a_block_in_memory_is_dropped_although_another_broker_moved_the_copy_past_its_end(site: Site) -> None:
    one, other = site.broker("one"), site.broker("other")
    one.ids.take("messages")
    before = counters(one)
    held = other.ids.take("messages")
    restore(one, [], before)

    given = [one.ids.take("messages") for _ in range(300)]
    other.resume()
    later = other.ids.take("messages")

    assert held in given
    assert later not in given


def test_numbers_that_other_brokers_took_are_marked_too(site: Site) -> None:
    one, other = site.broker("one"), site.broker("other")
    take_messages(one, 1)
    before = counters(one)
    taken = take_messages(other, 40)
    take_messages(one, 1)
    restore(one, taken, before)

    again = site.broker("one")

    assert again.ids.take("messages") > max(taken)
