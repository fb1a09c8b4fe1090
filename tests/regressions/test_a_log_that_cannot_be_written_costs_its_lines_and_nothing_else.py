"""Standard error that is closed, full, without a reader, or never emptied: every request is answered all the same."""

from __future__ import annotations

import fcntl
import os
import signal
import threading
import time

import pytest

from tests.kit.messages import Case
from tests.kit.mllp import Sender
from tests.kit.processes import ServedBroker

ORDERS = 150
PIPE_BYTES = 4096
SECONDS = 10.0


def expect_service(broker, orders=ORDERS):
    """Orders, queries, a performed step and an image, each answered as it should be, in a few seconds."""
    case = Case()
    with Sender(broker.ports["hl7"]) as sender:
        codes = [sender.send(case.order()).code, *(sender.send(Case().order()).code for _ in range(orders - 1))]
    scanner = broker.scanner()

    assert codes == ["AA"] * orders
    assert [broker.scanner(f"CT{number}").echo() for number in range(8)] == [0x0000] * 8
    item = broker.item(case)
    assert item.AccessionNumber == case.accession
    assert scanner.start(item)[1] == 0x0000
    assert scanner.store(scanner.take(item)) == [0x0000]
    assert broker.health() == 200


@pytest.fixture(params=["1", "2"], ids=["", "two-processes"])
def broker(request, database_url, tmp_path):
    """Not yet started."""
    processes = () if request.param == "1" else ("--dicom-processes", "2")
    made = ServedBroker(tmp_path / "data", database_url, "--log", "json", *processes)
    yield made
    made.kill()


@pytest.mark.parametrize("to", ["2>/dev/full", "2>&-"])
def test_a_full_disk_and_a_closed_descriptor(broker, to):
    broker.through_shell(f'exec "$@" {to}')
    broker.start()

    expect_service(broker)

    assert broker.metric("log_lines_lost_total") >= ORDERS
    assert broker.stop() < 5.0
    assert broker.process.returncode == 0


def test_a_pipe_that_nobody_empties(broker, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    held = os.open(tmp_path / "pipe", os.O_RDWR)
    fcntl.fcntl(held, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    broker.through_shell(f'exec "$@" 2>{tmp_path}/pipe')
    broker.start()

    expect_service(broker)

    assert broker.stop() < 5.0
    assert broker.process.returncode == 0
    os.close(held)


def test_a_reader_that_goes_away_and_one_that_comes_back(broker, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    reading = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    broker.through_shell(f'exec "$@" 2>{tmp_path}/pipe')
    broker.start()
    os.close(reading)

    expect_service(broker)
    time.sleep(1.5)  # a report of each process
    lost = broker.metric("log_lines_lost_total")
    told = _lines_while(tmp_path / "pipe", lambda: expect_service(broker, orders=5))

    assert lost >= ORDERS + 8
    assert sum(line.count('"event": "log.lines_lost"') for line in told) >= 1
    assert any('"event": "hl7.message"' in line for line in told)
    assert broker.stop() < 5.0


def test_children_serve_on_while_the_main_process_is_stopped(database_url, tmp_path):
    """The pipe of their reports fills up; nobody waits for it, and they hear the main process again."""
    with ServedBroker(tmp_path / "data", database_url, "--log", "json", "--dicom-processes", "2") as broker:
        case = Case()
        broker.send(case.order())
        os.kill(broker.process.pid, signal.SIGSTOP)
        try:
            time.sleep(3.0)
            assert broker.item(case).AccessionNumber == case.accession
        finally:
            os.kill(broker.process.pid, signal.SIGCONT)

        assert broker.health() == 200
        assert broker.stop() < 5.0


def _lines_while(pipe, work):
    """What comes out of a pipe while something is done."""
    reading = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    os.set_blocking(reading, True)
    got = bytearray()

    def read():
        while chunk := os.read(reading, PIPE_BYTES):
            got.extend(chunk)

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    work()
    time.sleep(0.5)
    return got.decode().splitlines()
