"""The budget for input: shares per host, room to finish one longest claim, and waits in threads and on event loops."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from broker.memory_budget import MemoryBudget

LONGEST = 10


@pytest.fixture
def budget() -> MemoryBudget:
    """100 bytes, 40 of them for one host; the last ten of both for one claim at a time."""
    return MemoryBudget(100, LONGEST, 40)


def test_a_host_gets_its_share_and_others_have_the_rest(budget: MemoryBudget) -> None:
    first, second, other = budget.claim("a"), budget.claim("a"), budget.claim("b")

    assert first.grow_now(30)
    assert other.grow_now(30)

    assert second.grow_now(10)
    assert not first.grow_now(31)
    assert budget.held_bytes == 70


def test_one_half_message_can_always_be_finished_when_others_hold_everything(budget: MemoryBudget) -> None:
    halves = [budget.claim(host) for host in "abc" for _ in range(6)]
    for half in halves:
        assert half.grow_now(5)

    finished = 0
    for half in halves:
        if half.grow_now(LONGEST):
            finished += 1
            half.release()

    assert finished == len(halves)
    assert budget.held_bytes == 0


def test_only_one_claim_at_a_time_takes_what_is_kept_for_finishing(budget: MemoryBudget) -> None:
    first, second, third = (budget.claim("a") for _ in range(3))
    assert first.grow_now(30)

    assert second.grow_now(5)
    assert not third.grow_now(1)
    assert second.grow_now(10)

    second.release()
    assert third.grow_now(1)


def test_what_is_given_back_goes_to_those_who_wait_in_their_order(budget: MemoryBudget) -> None:
    holder = budget.claim("a")
    assert holder.grow_now(40)

    async def wait() -> list[int]:
        done: list[int] = []

        async def one(number: int) -> None:
            await budget.claim("a").grow(20)
            done.append(number)

        tasks = [asyncio.create_task(one(number)) for number in range(2)]
        await asyncio.sleep(0.01)
        assert done == []
        holder.release()
        await asyncio.wait_for(tasks[0], 5)
        await asyncio.wait_for(tasks[1], 5)
        return done

    assert asyncio.run(wait()) == [0, 1]


def test_a_wait_that_is_given_up_leaves_nothing_behind(budget: MemoryBudget) -> None:
    holder = budget.claim("a")
    assert holder.grow_now(40)

    async def give_up() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await budget.claim("a").grow(20)

    asyncio.run(give_up())
    began = time.monotonic()
    assert not budget.claim("a").grow_within(20, 0.05)
    assert time.monotonic() - began < 2.0
    holder.release()

    assert budget.held_bytes == 0


def test_a_thread_that_waits_is_served_by_another_that_gives_back(budget: MemoryBudget) -> None:
    holder, waiter = budget.claim("a"), budget.claim("a")
    assert holder.grow_now(40)
    threading.Timer(0.05, holder.release).start()

    with waiter:
        assert waiter.grow_within(20, 5.0)
        assert budget.held_bytes == 20

    assert budget.held_bytes == 0


def test_many_threads_never_hold_more_than_there_is(budget: MemoryBudget) -> None:
    too_much: list[int] = []

    def work(host: str) -> None:
        for _ in range(200):
            with budget.claim(host) as claim:
                for wanted in (4, 7, LONGEST):
                    assert claim.grow_within(wanted, 10.0)
                    if (held := budget.held_bytes) > 100:
                        too_much.append(held)

    threads = [threading.Thread(target=work, args=(host,)) for host in "aaaabbbbcccc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert too_much == []
    assert budget.held_bytes == 0
