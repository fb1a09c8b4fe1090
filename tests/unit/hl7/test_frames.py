"""MLLP blocks out of a stream, however its bytes are cut."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.hl7.frames import CHUNK_BYTES, MAX_GARBAGE_BYTES, BrokenFrame, Fault, Frame, FrameLimits, FrameReader
from broker.memory_budget import Claim, MemoryBudget

LIMITS = FrameLimits(idle_seconds=5.0, message_seconds=5.0, message_bytes=200_000)
CONTENT = st.binary(max_size=40).filter(lambda raw: not set(raw) & {0x06, 0x0B, 0x0D, 0x15, 0x1C})


def block(content: bytes) -> bytes:
    return b"\x0b" + content + b"\x1c\x0d"


def with_stream(test: Callable[[asyncio.StreamReader], Awaitable[Any]]) -> Any:
    async def run() -> Any:
        return await test(asyncio.StreamReader(limit=CHUNK_BYTES))

    return asyncio.run(run())


def claim(total_bytes: int = 50_000_000) -> Claim:
    return MemoryBudget(total_bytes, longest_bytes=0, share_bytes=total_bytes).claim("host")


def frames_of(data: bytes, limits: FrameLimits = LIMITS, room: Claim | None = None) -> list[Frame]:
    """All blocks of a stream that then ends."""

    async def collect(stream: asyncio.StreamReader) -> list[Frame]:
        stream.feed_data(data)
        stream.feed_eof()
        reader = FrameReader(stream, limits, room or claim())
        found = []
        while (frame := await reader.next()) is not None:
            found.append(frame)
        return found

    return with_stream(collect)


@given(st.lists(CONTENT, max_size=5), st.lists(st.integers(1, 9), min_size=1, max_size=5))
def test_blocks_are_found_however_the_stream_is_cut(contents: list[bytes], sizes: list[int]) -> None:
    data = b"".join(block(content) for content in contents)

    async def collect(stream: asyncio.StreamReader) -> list[bytes]:
        reader = FrameReader(stream, LIMITS, claim())

        async def feed() -> None:
            position = turn = 0
            while position < len(data):
                size = sizes[turn % len(sizes)]
                stream.feed_data(data[position : position + size])
                position, turn = position + size, turn + 1
                await asyncio.sleep(0)
            stream.feed_eof()

        feeding = asyncio.create_task(feed())
        found = []
        while (frame := await reader.next()) is not None:
            found.append(frame.raw)
        await feeding
        return found

    assert with_stream(collect) == contents


def test_bytes_before_a_block_are_skipped() -> None:
    assert frames_of(b"\r\nnoise" + block(b"one") + b"\n\x1c\x0d" + block(b"two")) == [Frame(b"one"), Frame(b"two")]


def test_commit_blocks_are_no_messages() -> None:
    assert frames_of(block(b"\x06") + block(b"one") + block(b"\x15")) == [Frame(b"one")]


def test_an_empty_block_is_a_message_that_will_be_refused() -> None:
    assert frames_of(block(b"")) == [Frame(b"")]


def test_a_block_that_begins_again_gives_up_the_first_one() -> None:
    assert frames_of(b"\x0bMSH|half" + block(b"MSH|whole")) == [Frame(b"MSH|whole")]


def test_a_vertical_tab_in_a_text_begins_nothing() -> None:
    assert frames_of(block(b"MSH|one\x0btwo")) == [Frame(b"MSH|one\x0btwo")]


def test_too_much_garbage_ends_the_connection() -> None:
    with pytest.raises(BrokenFrame, match="garbage"):
        frames_of(b"x" * (MAX_GARBAGE_BYTES + CHUNK_BYTES + 1))


def test_a_stream_that_ends_inside_a_block_is_broken() -> None:
    with pytest.raises(BrokenFrame, match="half message"):
        frames_of(b"\x0bMSH|half")


def test_a_silent_stream_is_broken_when_the_idle_limit_is_over() -> None:
    async def wait(stream: asyncio.StreamReader) -> None:
        stream.feed_data(b"garbage")
        await FrameReader(stream, FrameLimits(0.01, 5.0, 1000), claim()).next()

    with pytest.raises(BrokenFrame, match="idle"):
        with_stream(wait)


def test_a_half_message_is_broken_when_its_limit_is_over() -> None:
    async def wait(stream: asyncio.StreamReader) -> None:
        stream.feed_data(b"\x0bMSH|half")
        await FrameReader(stream, FrameLimits(5.0, 0.01, 1000), claim()).next()

    with pytest.raises(BrokenFrame, match="half message"):
        with_stream(wait)


def test_a_message_that_is_too_long_is_told_by_its_beginning_and_the_next_one_is_read() -> None:
    long = b"MSH|" + b"x" * LIMITS.message_bytes

    too_long, next_one = frames_of(block(long) + block(b"next"))

    assert too_long.fault is Fault.TOO_LONG
    assert long.startswith(too_long.raw)
    assert next_one == Frame(b"next")


def test_a_message_of_just_the_longest_length_is_taken() -> None:
    longest = b"x" * LIMITS.message_bytes

    assert frames_of(block(longest)) == [Frame(longest)]
    assert frames_of(block(longest + b"x"))[0].fault is Fault.TOO_LONG


def test_a_long_message_for_which_there_is_no_memory_in_time_is_told_so_and_the_next_one_is_read() -> None:
    limits = FrameLimits(5.0, 0.05, 200_000)

    no_room, next_one = frames_of(block(b"MSH|" + b"x" * 150_000) + block(b"next"), limits, claim(CHUNK_BYTES))

    assert no_room.fault is Fault.NO_ROOM
    assert no_room.raw.startswith(b"MSH|")
    assert next_one == Frame(b"next")


def test_a_long_message_waits_for_memory_and_is_read_whole_once_there_is_some() -> None:
    content = b"MSH|" + b"x" * 150_000

    async def wait(stream: asyncio.StreamReader) -> Frame | None:
        budget = MemoryBudget(300_000, longest_bytes=0, share_bytes=300_000)
        other = budget.claim("other")
        assert other.grow_now(300_000)
        stream.feed_data(block(content))
        reading = asyncio.create_task(FrameReader(stream, LIMITS, budget.claim("host")).next())
        await asyncio.sleep(0.02)
        assert not reading.done()
        other.release()
        return await reading

    assert with_stream(wait) == Frame(content)


def test_memory_is_given_back_when_the_next_block_is_asked_for_and_at_the_end() -> None:
    async def hold(stream: asyncio.StreamReader) -> None:
        budget = MemoryBudget(300_000, longest_bytes=0, share_bytes=300_000)
        reader = FrameReader(stream, LIMITS, budget.claim("host"))
        stream.feed_data(block(b"x" * 150_000) + b"\x0bhalf")
        await reader.next()
        assert budget.held_bytes > 0

        reader.close()

        assert budget.held_bytes == 0

    with_stream(hold)
