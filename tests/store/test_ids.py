"""Numbers: never twice, not from two processes either, and a dry block says so."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from broker.errors import DatabaseUnavailable
from broker.store.database import Database, open_database
from broker.store.ids import FIRST_BLOCK, IdsExhausted, reserve


def test_numbers_begin_at_one_and_follow_each_other(database: Database) -> None:
    database.ids.top_up()

    assert [database.ids.next("orders") for _ in range(3)] == [1, 2, 3]


def test_each_counter_counts_for_itself(database: Database) -> None:
    database.ids.top_up()
    database.ids.next("orders")

    assert database.ids.next("patients") == 1
    assert database.ids.take("accession") == 1


def test_a_dry_block_is_said_and_filled_by_topping_up(database: Database) -> None:
    with pytest.raises(IdsExhausted):
        database.ids.next("orders")

    database.ids.top_up()

    assert database.ids.next("orders") == 1


def test_a_block_that_ran_dry_comes_back_larger(database: Database) -> None:
    database.ids.top_up()
    for _ in range(FIRST_BLOCK):
        database.ids.next("orders")
    with pytest.raises(IdsExhausted):
        database.ids.next("orders")

    database.ids.top_up()

    numbers = [database.ids.next("orders") for _ in range(8 * FIRST_BLOCK)]
    assert numbers == list(range(FIRST_BLOCK + 1, 9 * FIRST_BLOCK + 1))


def test_a_counter_that_nobody_knew_works_like_the_others(database: Database) -> None:
    assert [database.ids.take("something new") for _ in range(3)] == [1, 2, 3]


def test_a_restart_loses_numbers_but_gives_none_twice(database_url: str, tmp_path: Path) -> None:
    first = open_database(database_url, tmp_path, migrate=False)
    before = [first.ids.take("orders") for _ in range(5)]
    first.close()

    second = open_database(database_url, tmp_path, migrate=False)
    after = [second.ids.take("orders") for _ in range(5)]
    second.close()

    assert not set(before) & set(after)
    assert max(after) < 200


def test_threads_share_a_counter(database: Database) -> None:
    taken: list[int] = []

    def take() -> None:
        taken.extend([database.ids.take("objects") for _ in range(300)])

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert len(taken) == len(set(taken)) == 1200


def test_threads_that_find_a_block_dry_at_once_fill_it_once(database: Database) -> None:
    together = threading.Barrier(40, timeout=30)
    taken: list[int] = []

    def take() -> None:
        together.wait()
        taken.append(database.ids.take("instances"))

    threads = [threading.Thread(target=take) for _ in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert len(taken) == len(set(taken)) == 40
    assert max(taken) < 1000


def test_numbers_taken_while_blocks_are_filled_are_never_the_same(database: Database) -> None:
    names = ("orders", "patients")
    taken: dict[str, list[int]] = {name: [] for name in names}
    done = threading.Event()

    def fill() -> None:
        while not done.is_set():
            database.ids.top_up()

    def take(first: str, second: str) -> None:
        for _ in range(150):
            taken[first].append(database.ids.take(first))
            taken[second].append(database.ids.take(second))

    filling = threading.Thread(target=fill)
    taking = [threading.Thread(target=take, args=pair) for pair in (names, names[::-1]) * 3]
    for thread in (filling, *taking):
        thread.start()
    for thread in taking:
        thread.join(30)
    done.set()
    filling.join(30)

    assert [len(set(taken[name])) for name in names] == [900, 900]


def test_a_refill_that_fails_is_tried_again(database: Database, database_url: str, tmp_path: Path) -> None:
    hasty = open_database(database_url, tmp_path, migrate=False, lock_seconds=0.05)
    with database.write() as tx:
        reserve(tx, "orders", 1)
        with pytest.raises(DatabaseUnavailable):
            hasty.ids.top_up()

    hasty.ids.top_up()

    assert hasty.ids.next("orders") == 2
    hasty.close()


def test_two_processes_never_get_the_same_number(
    database: Database, other_process: Callable[[str], subprocess.Popen[str]]
) -> None:
    other = other_process("take")
    mine = [database.ids.take("orders") for _ in range(1000)]
    assert other.stdout is not None
    theirs = [int(number) for number in other.stdout.readline().split(",")]
    mine += [database.ids.take("orders") for _ in range(1000)]

    assert len(set(theirs)) == 1000
    assert len(set(mine)) == 2000
    assert not set(mine) & set(theirs)
