"""A process that has no descriptor left: its doors pause, the log stays short, and who is connected is served.

Seen: the accept loops wrote up to 15,000 log lines a second on a full core.
"""

from __future__ import annotations

import os
import resource
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from tests.kit.messages import Case
from tests.kit.mllp import Sender
from tests.kit.processes import ServedBroker
from tests.kit.raw_dicom import RawPeer

FLOOD = 200
LOOK_SECONDS = 2.0
MOST_LINES = 30
DOORS = ("hl7", "dicom", "http")


@contextmanager
def limited(pids: list[int], free: int) -> Iterator[None]:
    """Meanwhile each process may open so many descriptors more than it has."""
    before = {pid: resource.prlimit(pid, resource.RLIMIT_NOFILE) for pid in pids}
    for pid in pids:
        wanted = len(os.listdir(f"/proc/{pid}/fd")) + free
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (wanted, before[pid][1]))
    try:
        yield
    finally:
        for pid in pids:
            resource.prlimit(pid, resource.RLIMIT_NOFILE, before[pid])


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def flood(stack: ExitStack, port: int, count: int = FLOOD) -> None:
    """Connections from the neighbour that are never read; some are refused at once."""
    for _ in range(count):
        one = stack.enter_context(socket.socket())
        one.bind(("127.0.0.3", 0))
        one.settimeout(0.2)
        with suppress(OSError):
            one.connect(("127.0.0.1", port))


def lines_about_descriptors(broker: ServedBroker, door: str) -> list[str]:
    """A thread that waits in accept() has its descriptor already: it closes one newcomer after the other instead."""
    refused = [line for line in broker.logged(f"{door}.connection_refused") if line["reason"] == "no descriptors"]
    return [line["event"] for line in [*broker.logged(f"{door}.cannot_accept"), *refused]]


@pytest.mark.parametrize("processes", ["0", "2"])
def test_floods_of_all_doors_leave_health_and_the_connected_served(database_url, tmp_path, processes):
    options = ("--log", "json", "--dicom-processes", processes)
    with ServedBroker(tmp_path / "data", database_url, *options) as broker, ExitStack() as held:
        pids = [broker.process.pid, *broker.door_pids().values()]
        sender = held.enter_context(Sender(broker.ports["hl7"]))
        scanner = held.enter_context(RawPeer(broker.ports["dicom"])).associate()
        assert (sender.send(Case().order()).code, scanner.echo()) == ("AA", 0)

        with limited(pids, free=100):
            for door in DOORS:
                flood(held, broker.ports[door])

            assert (broker.health("live"), broker.health("ready")) == (200, 200)
            assert (sender.send(Case().order()).code, scanner.echo()) == ("AA", 0)
            assert broker.send(Case().order()).code == "AA"
        lines = broker.printed().count("\n")

    assert lines < 3 * FLOOD  # an association or a connection that was made may have a line of its own


def test_a_door_that_cannot_accept_waits_and_says_it_once(tmp_path):
    url = f"sqlite:///{tmp_path}/data/broker.db"
    with ServedBroker(tmp_path / "data", url, "--log", "json") as broker, ExitStack() as held:
        pid = broker.process.pid
        sender = held.enter_context(Sender(broker.ports["hl7"]))
        assert sender.send(Case().order()).code == "AA"

        with limited([pid], free=0):
            for door in DOORS:
                flood(held, broker.ports[door], 20)
            lines, busy = broker.printed().count("\n"), cpu_seconds(pid)
            time.sleep(LOOK_SECONDS)
            said = {door: lines_about_descriptors(broker, door) for door in DOORS}
            lines, busy = broker.printed().count("\n") - lines, cpu_seconds(pid) - busy
            assert sender.send(Case().order()).code == "AA"
        held.close()

        assert all(said.values())
        assert all(said[door].count(event) == 1 for door in DOORS for event in said[door])
        assert lines < MOST_LINES
        assert busy < LOOK_SECONDS / 4
        assert broker.send(Case().order()).code == "AA"
        assert broker.health() == 200


def test_with_few_open_files_the_start_serves_fewer_and_says_so(tmp_path):
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    url = f"sqlite:///{tmp_path}/data/broker.db"
    broker = ServedBroker(tmp_path / "data", url, "--log", "json")
    with few_files(256), broker:
        told = broker.logged("app.few_open_files")
        assert broker.send(Case().order()).code == "AA"

    assert hard > 256
    assert [line["limit"] for line in told] == [256]
    assert sum(told[0][name] for name in ("hl7_connections", "dicom_associations", "http_connections")) < 256


@contextmanager
def few_files(limit: int) -> Iterator[None]:
    """Processes that are started meanwhile may open so many files, and cannot raise it."""
    started = ServedBroker.spawn

    def spawn(self: ServedBroker) -> None:
        started(self)
        assert self.process is not None
        resource.prlimit(self.process.pid, resource.RLIMIT_NOFILE, (limit, limit))

    ServedBroker.spawn = spawn  # type: ignore[method-assign]
    try:
        yield
    finally:
        ServedBroker.spawn = started  # type: ignore[method-assign]
