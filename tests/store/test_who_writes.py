"""Who writes: the caller himself while the writer rests, on SQLite; else the writer's thread, for all who wait."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Any

import pytest
from sqlalchemy import Connection

from broker.errors import Busy, Stopping
from broker.store.database import Database
from broker.store.writer import Verb, Writer
from tests.kit.waiting import until
from tests.store.small_verb import keep_name, kept_names

WAIT = 10.0  # seconds, for what must happen soon

on_sqlite = pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
on_postgresql = pytest.mark.parametrize("database_kind", ["postgresql"], indirect=True)


class Desk:
    """Asks in threads of its own, and sees which thread wrote what; "slow" is not written before `let_go`."""

    def __init__(self, database: Database, writer: Writer) -> None:
        self.writer = writer
        self.loads: list[tuple[str, list[str]]] = []  # name of the thread, names that it wrote
        self._plain = keep_name(database.ids)
        self._verb = keep_name(database.ids, load=self._load)
        self._slow_is_in = threading.Event()
        self._go = threading.Event()
        self.askers = ThreadPoolExecutor(16, "asker")
        database.ids.top_up()

    def close(self) -> None:
        self.let_go()
        self.askers.shutdown()

    def ask(self, name: str) -> Any:
        """In the thread that calls."""
        return self.writer.ask(self._verb, name, 10, WAIT)

    def asking(self, name: str) -> Future[Any]:
        return self.askers.submit(self.ask, name)

    def submit(self, name: str) -> Future[Any]:
        return self.writer.submit(self._verb, name, 10)

    def asking_slow(self) -> Future[Any]:
        """Somebody is writing when this returns."""
        asked = self.asking("slow")
        assert self._slow_is_in.wait(WAIT)
        return asked

    def let_go(self) -> None:
        self._go.set()

    def until_in_hand(self, count: int) -> None:
        """Wait until so many requests wait or are being written."""
        until(lambda: self.writer.snapshot().waiting_requests == count)

    def _load(self, tx: Connection, names: Sequence[str]) -> Any:
        self.loads.append((threading.current_thread().name, list(names)))
        if "slow" in names:
            self._slow_is_in.set()
            self._go.wait(WAIT)
        return self._plain.load(tx, names)


def failing(database: Database, error: BaseException) -> Verb:
    def load(tx: Connection, names: Sequence[str]) -> Any:
        raise error

    return keep_name(database.ids, load=load)


@pytest.fixture
def desk(database: Database, writer: Writer) -> Iterator[Desk]:
    made = Desk(database, writer)
    yield made
    made.close()


@on_sqlite
def test_who_asks_while_the_writer_rests_writes_in_his_own_thread(desk: Desk) -> None:
    first = desk.ask("ann")
    second = desk.asking("bob").result(WAIT)

    assert desk.loads == [(threading.current_thread().name, ["ann"]), ("asker_0", ["bob"])]
    assert (first, second) == (1, 2)


@on_postgresql
def test_on_a_server_only_the_writers_thread_writes(desk: Desk) -> None:
    desk.ask("ann")
    desk.asking("bob").result(WAIT)

    assert desk.loads == [("writer", ["ann"]), ("writer", ["bob"])]


def test_what_is_submitted_is_never_written_by_the_caller(desk: Desk) -> None:
    desk.submit("ann").result(WAIT)

    assert desk.loads == [("writer", ["ann"])]


def test_what_is_asked_while_somebody_writes_becomes_one_batch_of_the_writer(database: Database, desk: Desk) -> None:
    slow = desk.asking_slow()
    names = [f"n{number}" for number in range(10)]
    asked = [desk.asking(name) for name in names]
    desk.until_in_hand(11)

    desk.let_go()

    assert len({future.result(WAIT) for future in [slow, *asked]}) == 11
    assert [(thread, sorted(batch)) for thread, batch in desk.loads[1:]] == [("writer", names)]
    assert sorted(kept_names(database)) == [*names, "slow"]


def test_what_was_submitted_comes_before_what_is_asked_later(desk: Desk) -> None:
    desk.asking_slow()
    submitted = desk.submit("ann")
    desk.until_in_hand(2)
    asked = desk.asking("bob")
    desk.until_in_hand(3)

    desk.let_go()

    assert submitted.result(WAIT) < asked.result(WAIT)
    assert desk.loads[1:] == [("writer", ["ann", "bob"])]


def test_who_has_written_does_not_overtake_what_was_submitted_meanwhile(database: Database, writer: Writer) -> None:
    plain = keep_name(database.ids)
    submitted: list[Future[Any]] = []

    def load(tx: Connection, names: Sequence[str]) -> Any:
        submitted.append(writer.submit(plain, f"submitted {names[0]}", 1))
        return plain.load(tx, names)

    database.ids.top_up()
    pairs = []
    for number in range(30):
        writer.ask(keep_name(database.ids, load=load), f"n{number}", 1, WAIT)
        asked = writer.ask(plain, f"next {number}", 1, WAIT)
        pairs.append((submitted[-1].result(WAIT), asked))

    assert [pair for pair in pairs if pair[0] > pair[1]] == []


def test_a_request_that_was_submitted_is_not_overtaken_for_ever(database: Database, desk: Desk) -> None:
    done = threading.Event()

    def ask_without_pause(asker: int) -> int:
        number = 0
        while not done.is_set():
            desk.ask(f"a{asker}-{number}")
            number += 1
        return number

    askers = [desk.askers.submit(ask_without_pause, asker) for asker in range(4)]
    submitted = [desk.submit(f"s{number}").result(WAIT) for number in range(20)]
    done.set()
    asked = sum(asker.result(WAIT) for asker in askers)

    assert len(set(submitted)) == 20
    assert len(kept_names(database)) == 20 + asked


def test_callers_and_the_writer_never_write_at_the_same_time(database: Database, writer: Writer) -> None:
    inside, most = 0, 0
    plain = keep_name(database.ids)

    def load(tx: Connection, names: Sequence[str]) -> Any:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        return plain.load(tx, names)

    def apply(tx: Connection, decisions: Sequence[Any]) -> None:
        nonlocal inside
        plain.apply(tx, decisions)
        inside -= 1

    verb = keep_name(database.ids, load=load, apply=apply)
    database.ids.top_up()

    def ask_or_submit(number: int) -> Any:
        if number % 3:
            return writer.ask(verb, f"n{number}", 1, WAIT)
        return writer.submit(verb, f"n{number}", 1).result(WAIT)

    with ThreadPoolExecutor(8) as askers:
        answers = list(askers.map(ask_or_submit, range(200)))

    assert (len(set(answers)), most) == (200, 1)
    assert len(kept_names(database)) == 200


@pytest.mark.parametrize("error", [ValueError("no"), SystemExit(), MemoryError()], ids=lambda one: type(one).__name__)
def test_what_a_verb_raises_comes_to_who_asked_and_the_next_is_written(
    database: Database, desk: Desk, error: BaseException
) -> None:
    with pytest.raises(type(error)) as caught:
        desk.writer.ask(failing(database, error), "ann", 10, WAIT)

    desk.ask("bob")
    assert caught.value is error
    assert kept_names(database) == ["bob"]


def test_what_a_verb_raises_while_somebody_writes_comes_to_who_asked(database: Database, desk: Desk) -> None:
    slow = desk.asking_slow()
    error = ValueError("no")
    asked = desk.askers.submit(desk.writer.ask, failing(database, error), "ann", 10, WAIT)
    desk.until_in_hand(2)

    desk.let_go()

    assert asked.exception(WAIT) is error
    assert slow.result(WAIT) >= 1


def test_stopping_waits_for_who_is_writing(database: Database, desk: Desk) -> None:
    slow = desk.asking_slow()
    stopping = desk.askers.submit(desk.writer.stop, WAIT)

    with pytest.raises(FutureTimeout):
        stopping.result(0.05)
    desk.let_go()
    stopping.result(WAIT)

    assert kept_names(database) == ["slow"]
    assert slow.result(WAIT) == 1


def test_stopping_waits_no_longer_than_its_grace(desk: Desk) -> None:
    slow = desk.asking_slow()
    began = time.monotonic()

    desk.writer.stop(0.1)

    took = time.monotonic() - began
    desk.let_go()
    assert 0.09 < took < 5
    assert slow.result(WAIT) >= 1


def test_who_waits_behind_a_caller_is_told_when_the_grace_is_over(database: Database, desk: Desk) -> None:
    slow = desk.asking_slow()
    asked, submitted = desk.asking("ann"), desk.submit("bob")
    desk.until_in_hand(3)

    desk.writer.stop(0.1)
    desk.let_go()

    assert [type(future.exception(WAIT)) for future in (asked, submitted)] == [Stopping, Stopping]
    assert slow.result(WAIT) >= 1
    assert kept_names(database) == ["slow"]


def test_who_waits_behind_a_caller_is_written_within_the_grace(database: Database, desk: Desk) -> None:
    slow = desk.asking_slow()
    asked = desk.asking("ann")
    desk.until_in_hand(2)
    stopping = desk.askers.submit(desk.writer.stop, WAIT)
    until(lambda: not desk.writer.ready())

    desk.let_go()

    stopping.result(WAIT)
    assert slow.result(0) < asked.result(WAIT)
    assert kept_names(database) == ["slow", "ann"]


def test_who_asks_a_writer_that_has_stopped_is_told_so(database: Database, desk: Desk) -> None:
    desk.writer.stop(WAIT)

    with pytest.raises(Stopping):
        desk.ask("ann")

    assert (desk.loads, kept_names(database)) == ([], [])


def test_who_asks_before_the_start_is_written_after_it(database: Database) -> None:
    desk = Desk(database, Writer(database))
    asked = desk.asking("ann")
    desk.until_in_hand(1)

    desk.writer.start()

    assert asked.result(WAIT) == 1
    assert desk.loads == [("writer", ["ann"])]
    desk.writer.stop(WAIT)
    desk.close()


def test_the_snapshot_counts_what_callers_write_and_what_the_writer_writes(database: Database, desk: Desk) -> None:
    slow = desk.asking_slow()
    asked = [desk.asking(name) for name in ("ann", "bob")]
    desk.until_in_hand(3)
    meanwhile = desk.writer.snapshot()
    desk.let_go()
    for future in [slow, *asked]:
        future.result(WAIT)
    with pytest.raises(ValueError, match="no"):
        desk.writer.ask(failing(database, ValueError("no")), "eve", 10, WAIT)
    desk.writer.stop(WAIT)

    after = desk.writer.snapshot()

    assert (meanwhile.waiting_requests, meanwhile.waiting_bytes) == (3, 30)
    assert (after.waiting_requests, after.waiting_bytes, after.failed) == (0, 0, 1)
    assert (sum(after.batch_requests.counts), after.batch_requests.total) == (3, 4)
    assert sum(after.batch_seconds.counts) == 3


def test_a_full_hand_over_is_full_of_what_a_caller_writes_too(database: Database) -> None:
    desk = Desk(database, Writer(database, most_requests=2))
    desk.writer.start()
    desk.asking_slow()
    waiting = desk.submit("ann")

    with pytest.raises(Busy):
        desk.submit("bob")

    desk.let_go()
    assert waiting.result(WAIT) >= 1
    desk.writer.stop(WAIT)
    desk.close()
