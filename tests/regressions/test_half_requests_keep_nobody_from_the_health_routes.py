"""Places at the HTTP door: whatever is open there, /health and /metrics are answered.

Seen: 210 half requests, and /health/live was 503 for everybody.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from http.client import HTTPConnection

import pytest

from tests.kit.brokers import RunningBroker, running

PATHS = ("/health/live", "/health/ready", "/metrics")
HALF = b"GET /health/live HTTP/1.1\r\nHos"
LONGEST_HEADER_SECONDS = 7.0


@pytest.fixture
def broker(database_url, tmp_path) -> Iterator[RunningBroker]:
    with running(tmp_path / "data", database_url) as started:
        yield started


@pytest.fixture
def alone(tmp_path) -> Iterator[RunningBroker]:
    """On SQLite only, where the store takes no part."""
    with running(tmp_path / "data", f"sqlite:///{tmp_path}/data/broker.db") as started:
        yield started


def connected(broker: RunningBroker, source: str = "127.0.0.1") -> socket.socket:
    return socket.create_connection(("127.0.0.1", broker.http_port), 5, (source, 0))


def status(broker: RunningBroker, path: str, source: str = "127.0.0.1") -> int:
    connection = HTTPConnection("127.0.0.1", broker.http_port, timeout=3, source_address=(source, 0))
    connection.request("GET", path)
    try:
        return connection.getresponse().status
    finally:
        connection.close()


@pytest.mark.parametrize("sent", [HALF, b""])
def test_a_thousand_half_requests_do_not_keep_their_own_host_or_another_out(broker, sent):
    with ExitStack() as held:
        for _ in range(1_000):
            held.enter_context(connected(broker)).sendall(sent)

        own = [status(broker, path) for path in PATHS]
        others = [status(broker, path, "127.0.0.2") for path in PATHS]

    assert own == others == [200, 200, 200]


def test_answers_that_nobody_reads_keep_nobody_out(broker):
    with ExitStack() as held:
        for _ in range(500):
            one = held.enter_context(socket.socket())
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2_048)
            one.connect(("127.0.0.1", broker.http_port))
            one.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" * 3)

        found = {path: status(broker, path, "127.0.0.2") for path in PATHS}

    assert set(found.values()) == {200}


def test_a_header_that_trickles_is_cut(alone):
    began = time.monotonic()
    with connected(alone) as slow, suppress(OSError):
        slow.settimeout(0.25)
        slow.sendall(b"GET / HTTP/1.1\r\nX: ")
        while time.monotonic() - began < 2 * LONGEST_HEADER_SECONDS:
            slow.sendall(b"x")
            try:
                if slow.recv(1) == b"":
                    break
            except TimeoutError:
                continue

    assert time.monotonic() - began < LONGEST_HEADER_SECONDS


def test_a_body_without_end_is_cut(alone):
    sent = 0
    with connected(alone) as endless, suppress(OSError):
        endless.sendall(b"POST /health/live HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\n")
        while sent < 100_000_000:
            endless.sendall(b"x" * 65_536)
            sent += 65_536

    assert sent < 20_000_000
    assert status(alone, "/health/live") == 200
