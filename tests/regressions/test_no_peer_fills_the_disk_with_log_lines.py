"""What a peer can cause as often as it likes is told a few times a minute, with how often it happened.

Seen: two lines for each HTTP request that asks for another protocol, one for each request that is none, and one for
each HL7 connection that ends within a message: gigabytes in a day, from a peer that needs no right to do anything.
"""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.kit.mllp import START
from tests.kit.processes import ServedBroker

TIMES = 200
MOST_LINES = 60
UPGRADE = b"GET /health/live HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, close\r\nUpgrade: websocket\r\n\r\n"


@pytest.fixture
def broker(tmp_path) -> Iterator[ServedBroker]:
    data = tmp_path / "data"
    with ServedBroker(data, f"sqlite:///{data}/broker.db") as served:
        yield served


def say(port: int, data: bytes) -> None:
    with socket.create_connection(("127.0.0.1", port), 10.0) as connection:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(4_096):
            pass


def test_connections_and_requests_that_fail_leave_few_lines(broker):
    for _ in range(TIMES):
        say(broker.ports["hl7"], START + b"MSH|")
        say(broker.ports["http"], UPGRADE)
        say(broker.ports["http"], b"no request\r\n\r\n")

    closed, warned = broker.logged("hl7.connection_closed"), broker.logged("library.warning")
    places = Counter((line["logger"], line["where"]) for line in warned)

    assert 0 < len(closed) <= MOST_LINES
    assert {line["reason"] for line in closed} == {"half message"}
    assert 0 < len(places) == len(warned)
