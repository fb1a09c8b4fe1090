"""The one writer: batches, answers after the commit, bounds, stopping, and requests that fail."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any

import pytest
from sqlalchemy import Connection

from broker.errors import Busy, Stopping
from broker.store.database import Database
from broker.store.writer import Decision, Verb, Writer
from tests.store.small_verb import keep_name, kept_names

WAIT = 10.0  # seconds, for what must happen soon


class Gate:
    """A verb that keeps the writer busy until it is opened."""

    def __init__(self, database: Database) -> None:
        self.entered = threading.Event()
        self._open = threading.Event()
        self._ids = database.ids

    def close(self, writer: Writer) -> Future[Any]:
        """The writer is inside when this returns."""
        future = writer.submit(keep_name(self._ids, load=self._load, apply=_write_nothing), "gate", 1)
        assert self.entered.wait(WAIT)
        return future

    def open(self) -> None:
        self._open.set()

    def _load(self, tx: Connection, requests: Sequence[str]) -> Any:
        self.entered.set()
        self._open.wait(WAIT)
        return keep_name(self._ids).load(tx, requests)


def _write_nothing(tx: Connection, decisions: Sequence[Decision]) -> None:
    pass


@pytest.fixture
def gate(database: Database) -> Gate:
    return Gate(database)


def counting(verb_part: Callable[..., Any], calls: list[int]) -> Callable[..., Any]:
    def part(tx: Connection, items: Sequence[Any]) -> Any:
        calls.append(len(items))
        return verb_part(tx, items)

    return part


def refusing(names: set[str], part: Callable[..., Any]) -> Callable[..., Any]:
    """`apply` that cannot write these names."""

    def apply(tx: Connection, decisions: Sequence[Decision]) -> None:
        part(tx, decisions)
        if any(decision.changes[1] in names for decision in decisions):
            raise RuntimeError("cannot write this")

    return apply


def test_an_answer_comes_and_the_name_is_kept(database: Database, writer: Writer) -> None:
    number = writer.ask(keep_name(database.ids), "ann", 10, WAIT)

    assert number == 1
    assert kept_names(database) == ["ann"]


def test_an_answer_comes_after_the_commit(database: Database, writer: Writer) -> None:
    seen: list[list[str]] = []
    answered = threading.Event()
    future = writer.submit(keep_name(database.ids), "ann", 10)
    future.add_done_callback(lambda _: (seen.append(kept_names(database)), answered.set()))

    assert answered.wait(WAIT)
    assert seen == [["ann"]]


def test_what_waits_is_written_in_one_batch(database: Database, writer: Writer, gate: Gate) -> None:
    loads: list[int] = []
    verb = keep_name(database.ids)
    counted = keep_name(database.ids, load=counting(verb.load, loads))
    gate.close(writer)
    futures = [writer.submit(counted, f"n{number}", 1) for number in range(20)]

    gate.open()

    assert [future.result(WAIT) for future in futures] == sorted(future.result() for future in futures)
    assert loads[-1] == 20
    assert len(kept_names(database)) == 20


def test_a_batch_has_a_largest_size(database: Database) -> None:
    loads: list[int] = []
    counted = keep_name(database.ids, load=counting(keep_name(database.ids).load, loads))
    small = Writer(database, largest_batch=8)
    futures = [small.submit(counted, f"n{number}", 1) for number in range(20)]
    database.ids.top_up()

    small.start()
    for future in futures:
        future.result(WAIT)
    small.stop(WAIT)

    assert loads == [8, 8, 4]


def test_each_verb_of_a_batch_is_run_once(database: Database, writer: Writer, gate: Gate) -> None:
    loads: list[int] = []
    verb = keep_name(database.ids)
    first = Verb("first", verb.keys, counting(verb.load, loads), verb.decide, verb.apply)
    second = Verb("second", verb.keys, counting(verb.load, loads), verb.decide, verb.apply)
    database.ids.top_up()
    gate.close(writer)
    futures = [writer.submit(each, f"{each.name}{number}", 1) for number in range(3) for each in (first, second)]

    gate.open()
    for future in futures:
        future.result(WAIT)

    assert loads == [3, 3]


def test_a_request_sees_what_the_one_before_it_in_the_batch_decided(
    database: Database, writer: Writer, gate: Gate
) -> None:
    gate.close(writer)
    futures = [writer.submit(keep_name(database.ids), "ann", 1) for _ in range(5)]

    gate.open()

    assert len({future.result(WAIT) for future in futures}) == 1
    assert kept_names(database) == ["ann"]


def test_a_request_that_cannot_be_decided_costs_its_neighbours_nothing(
    database: Database, writer: Writer, gate: Gate
) -> None:
    def decide(draft: Any, name: str) -> Decision:
        decision = keep_name(database.ids).decide(draft, name)
        if name == "bad":
            raise ValueError("not this one")
        return decision

    verb = keep_name(database.ids, decide=decide)
    gate.close(writer)
    futures = [writer.submit(verb, name, 1) for name in ("ann", "bad", "bob")]

    gate.open()

    with pytest.raises(ValueError, match="not this one"):
        futures[1].result(WAIT)
    assert futures[0].result(WAIT) < futures[2].result(WAIT)
    assert kept_names(database) == ["ann", "bob"]


def test_a_request_that_cannot_be_written_costs_its_neighbours_nothing(
    database: Database, writer: Writer, gate: Gate
) -> None:
    verb = keep_name(database.ids, apply=refusing({"bad"}, keep_name(database.ids).apply))
    gate.close(writer)
    futures = [writer.submit(verb, name, 1) for name in ("ann", "bad", "bob")]

    gate.open()

    with pytest.raises(RuntimeError):
        futures[1].result(WAIT)
    assert futures[0].result(WAIT) != futures[2].result(WAIT)
    assert kept_names(database) == ["ann", "bob"]


def test_a_request_that_needs_more_numbers_than_a_block_holds_is_written(database: Database, writer: Writer) -> None:
    def decide(draft: Any, name: str) -> Decision:
        for _ in range(20_000):
            database.ids.next("step_events")
        return keep_name(database.ids).decide(draft, name)

    writer.ask(keep_name(database.ids, decide=decide), "ann", 1, WAIT)

    assert kept_names(database) == ["ann"]


@pytest.mark.parametrize("error", [SystemExit(), MemoryError(), RuntimeError()], ids=lambda error: type(error).__name__)
def test_the_writer_outlives_whatever_a_verb_throws(database: Database, writer: Writer, error: BaseException) -> None:
    def load(tx: Connection, names: Sequence[str]) -> Any:
        raise error

    with pytest.raises(type(error)):
        writer.ask(keep_name(database.ids, load=load), "ann", 1, WAIT)

    assert writer.ready()
    writer.ask(keep_name(database.ids), "bob", 1, WAIT)
    assert kept_names(database) == ["bob"]


def test_the_hand_over_is_bounded_in_number(database: Database, gate: Gate) -> None:
    small = Writer(database, most_requests=3)
    small.start()
    gate.close(small)
    futures = [small.submit(keep_name(database.ids), f"n{number}", 1) for number in range(2)]

    with pytest.raises(Busy):
        small.submit(keep_name(database.ids), "one too many", 1)
    had_room = small.wait_for_room(0.01)
    gate.open()

    assert not had_room
    assert small.wait_for_room(WAIT)
    for future in futures:
        future.result(WAIT)
    small.ask(keep_name(database.ids), "later", 1, WAIT)
    small.stop(WAIT)
    assert kept_names(database) == ["n0", "n1", "later"]


def test_the_hand_over_is_bounded_in_bytes(database: Database, gate: Gate) -> None:
    small = Writer(database, most_bytes=1000)
    small.start()
    gate.close(small)
    small.submit(keep_name(database.ids), "ann", 900)

    with pytest.raises(Busy):
        small.submit(keep_name(database.ids), "bob", 200)
    assert not small.wait_for_room(0.01, 200)
    assert small.wait_for_room(0.01, 50)
    gate.open()

    assert small.wait_for_room(WAIT, 200)
    small.stop(WAIT)


def test_a_request_larger_than_the_bound_is_taken_when_it_is_alone(database: Database) -> None:
    small = Writer(database, most_bytes=1000)
    small.start()

    small.ask(keep_name(database.ids), "ann", 5000, WAIT)

    small.stop(WAIT)
    assert kept_names(database) == ["ann"]


def test_a_cancelled_request_is_not_written(database: Database, writer: Writer, gate: Gate) -> None:
    gate.close(writer)
    future = writer.submit(keep_name(database.ids), "ann", 1)

    withdrawn = future.cancel()
    gate.open()
    writer.ask(keep_name(database.ids), "bob", 1, WAIT)

    assert withdrawn
    assert kept_names(database) == ["bob"]


def test_who_asks_waits_with_a_limit_and_withdraws(database: Database, writer: Writer, gate: Gate) -> None:
    gate.close(writer)

    with pytest.raises(Busy, match="withdrawn"):
        writer.ask(keep_name(database.ids), "ann", 1, 0.05)

    gate.open()
    writer.ask(keep_name(database.ids), "bob", 1, WAIT)
    assert kept_names(database) == ["bob"]


def test_who_asks_at_a_full_hand_over_waits_for_room(database: Database, gate: Gate) -> None:
    small = Writer(database, most_requests=1)
    small.start()
    gate.close(small)
    asked = threading.Thread(target=small.ask, args=(keep_name(database.ids), "ann", 1, WAIT))

    with pytest.raises(Busy):
        small.ask(keep_name(database.ids), "bob", 1, 0.05)
    asked.start()
    gate.open()
    asked.join(WAIT)
    small.stop(WAIT)

    assert kept_names(database) == ["ann"]


def test_a_request_that_was_taken_is_waited_for_as_long_again(database: Database, writer: Writer, gate: Gate) -> None:
    threading.Thread(target=lambda: (gate.entered.wait(WAIT), time.sleep(0.2), gate.open())).start()

    answer = writer.ask(keep_name(database.ids, load=gate._load), "ann", 1, 0.15)

    assert answer >= 1
    assert kept_names(database) == ["ann"]


def test_stopping_finishes_what_waits_and_takes_nothing_new(database: Database, gate: Gate) -> None:
    writer = Writer(database)
    writer.start()
    gate.close(writer)
    future = writer.submit(keep_name(database.ids), "ann", 1)

    stopping = threading.Thread(target=writer.stop, args=(WAIT,))
    stopping.start()
    while writer.ready():
        time.sleep(0.001)
    with pytest.raises(Stopping):
        writer.submit(keep_name(database.ids), "bob", 1)
    gate.open()
    stopping.join(WAIT)
    writer.stop(WAIT)

    assert future.result(0) >= 1
    assert kept_names(database) == ["ann"]


def test_what_still_waits_after_the_grace_time_is_told_so(database: Database, gate: Gate) -> None:
    writer = Writer(database)
    writer.start()
    in_hand = gate.close(writer)
    future = writer.submit(keep_name(database.ids), "ann", 1)

    writer.stop(0.05)

    with pytest.raises(Stopping):
        future.result(0)
    gate.open()
    in_hand.result(WAIT)
    writer.stop(WAIT)
    assert kept_names(database) == []


def test_the_writers_log_holds_no_text_of_an_error(
    database: Database, writer: Writer, capsys: pytest.CaptureFixture[str]
) -> None:
    def decide(draft: Any, name: str) -> Decision:
        raise ValueError("DOE^JOHN")

    with pytest.raises(ValueError, match="DOE"):
        writer.ask(keep_name(database.ids, decide=decide), "ann", 1, WAIT)

    shown = capsys.readouterr()
    assert "writer.decision_failed" in shown.out + shown.err
    assert "DOE" not in shown.out + shown.err
