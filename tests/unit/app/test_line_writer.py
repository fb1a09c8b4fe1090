"""Lines to descriptors that take none: nobody waits, what is lost is counted, and told once lines can be written."""

from __future__ import annotations

import fcntl
import os
import resource
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from broker.line_writer import MOST_LINES, LineWriter

PIPE_BYTES = 4096
SECONDS = 5.0


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """A short pipe: where it is read, where it is written."""
    ends = os.pipe()
    fcntl.fcntl(ends[1], fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    yield ends
    for end in ends:
        with suppress(OSError):
            os.close(end)


def writer(descriptor: int) -> LineWriter:
    return LineWriter(descriptor, "utf-8", "lost {}".format)


def all_of(reading: int, lines: LineWriter) -> str:
    """Empty a pipe until nothing more comes."""
    os.set_blocking(reading, False)
    got = bytearray()
    while True:
        done = lines.flush(0)
        try:
            got += os.read(reading, PIPE_BYTES)
        except BlockingIOError:
            if done:
                return got.decode()
            time.sleep(0.001)


def test_lines_come_out_whole_and_in_their_order(pipe: tuple[int, int]) -> None:
    lines = writer(pipe[1])
    for number in range(200):
        lines.put(f"line {number}")

    assert lines.flush(SECONDS)
    assert os.read(pipe[0], PIPE_BYTES).decode().splitlines() == [f"line {number}" for number in range(200)]
    assert lines.lost == 0


def test_a_pipe_that_nobody_empties_holds_up_nobody_and_what_it_cost_is_told_afterwards(pipe: tuple[int, int]) -> None:
    lines = writer(pipe[1])
    began = time.monotonic()
    for number in range(MOST_LINES + 5_000):
        lines.put(f"line {number}")
    seconds = time.monotonic() - began

    assert seconds < SECONDS
    assert not lines.flush(0.05)
    lost = lines.lost
    assert 0 < lost < 5_000 + MOST_LINES
    told = all_of(pipe[0], lines).splitlines()
    assert [line for line in told if line.startswith("lost")] == [f"lost {lost}"]
    assert len(told) == MOST_LINES + 5_000 - lost + 1


def test_a_reader_that_has_gone_costs_lines_and_nothing_else(pipe: tuple[int, int]) -> None:
    lines = writer(pipe[1])
    os.close(pipe[0])

    lines.put("nobody reads this")

    assert lines.flush(SECONDS)
    assert lines.lost == 1


@pytest.mark.parametrize("place", ["/dev/full", "closed"])
def test_a_full_disk_and_a_closed_descriptor_cost_lines_and_nothing_else(place: str) -> None:
    descriptor = os.open("/dev/null" if place == "closed" else place, os.O_RDONLY if place == "closed" else os.O_WRONLY)
    lines = writer(descriptor)

    lines.put("one")
    lines.put("two")

    assert lines.flush(SECONDS)
    assert lines.lost == 2
    os.close(descriptor)


def test_a_descriptor_that_does_not_block_is_waited_for_by_the_thread_alone(pipe: tuple[int, int]) -> None:
    os.set_blocking(pipe[1], False)
    lines = writer(pipe[1])
    lines.put("x" * 3 * PIPE_BYTES)

    assert all_of(pipe[0], lines) == "x" * 3 * PIPE_BYTES + "\n"
    assert lines.lost == 0


def test_half_a_line_does_not_run_into_the_next(tmp_path: Path) -> None:
    """A disk that fills in the middle of a line, and has room again."""
    file = tmp_path / "log"
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    lines = writer(descriptor)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, limits[1]))
    try:
        lines.put("a line of more than ten characters")
        lines.flush(SECONDS)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    lines.put("whole")

    assert lines.flush(SECONDS)
    assert file.read_text().splitlines() == ["a line of ", "lost 1", "whole"]
    os.close(descriptor)


def test_characters_that_the_encoding_lacks_are_escaped(pipe: tuple[int, int]) -> None:
    lines = LineWriter(pipe[1], "ascii", "lost {}".format)

    lines.put("MÜLLER \udc80")

    assert lines.flush(SECONDS)
    assert os.read(pipe[0], PIPE_BYTES) == b"M\\xdcLLER \\udc80\n"
