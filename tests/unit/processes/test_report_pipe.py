"""Reports go into a pipe that may be full: nobody waits, and what arrives is whole."""

from __future__ import annotations

import os
import time

import pytest

from broker.dicom.census import PeerSeen, Snapshot
from broker.processes.report import Report, ReportPipe

PEERS = tuple(PeerSeen(f"CT{number}", "127.0.0.1", 0, 0.0) for number in range(1_000))
LARGE = Report(True, Snapshot(0, 0, PEERS, {}, {}, {}), log_lines_lost=7)


def test_a_pipe_that_nobody_empties_is_not_waited_for() -> None:
    reading, writing = os.pipe()
    pipe = ReportPipe(writing)
    began = time.monotonic()
    for _ in range(20):
        pipe.send(LARGE)
    assert time.monotonic() - began < 2.0

    got = b""
    os.set_blocking(reading, False)
    for _ in range(10):
        pipe.send(LARGE)
        got += os.read(reading, 1 << 20)

    *lines, _ = got.split(b"\n")
    assert len(lines) > 2
    assert {Report.read(line).log_lines_lost for line in lines} == {7}
    os.close(reading)
    os.close(writing)


def test_a_last_word_is_waited_for_but_not_for_ever() -> None:
    reading, writing = os.pipe()
    pipe = ReportPipe(writing)
    began = time.monotonic()

    for _ in range(3):
        pipe.send(LARGE, 0.1)

    assert 0.1 <= time.monotonic() - began < 2.0
    os.close(reading)
    with pytest.raises(BrokenPipeError):
        pipe.send(LARGE, 0.1)
    os.close(writing)
