"""Acknowledgement blocks of MLLP release 2 ask for no answer; a stream of them keeps nobody waiting and has an end.

Seen: ten connections that sent them without a pause, and an order of somebody else waited for more than a minute: each
connection had its turn until all that had come was read, 30,000 blocks at a time.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from tests.kit.brokers import RunningBroker, running
from tests.kit.messages import Case
from tests.kit.mllp import COMMIT_BLOCK, END, START, Sender

AT_ONCE = 10
BLOCKS = COMMIT_BLOCK * 100_000
MOST_SECONDS = 5.0
"""For an order of somebody else meanwhile; it takes some hundredths, and the machines of tests are slow."""


@pytest.fixture
def broker(database_url, tmp_path) -> Iterator[RunningBroker]:
    with running(tmp_path / "data", database_url) as started:
        yield started


def test_an_order_is_answered_while_others_send_nothing_else(broker):
    connections = [socket.create_connection(("127.0.0.1", broker.hl7_port), 30.0) for _ in range(AT_ONCE)]

    def flood(connection: socket.socket) -> None:
        try:
            while True:
                connection.sendall(BLOCKS)
        except OSError:
            pass

    threads = [threading.Thread(target=flood, args=(connection,)) for connection in connections]
    for thread in threads:
        thread.start()
    began = time.monotonic()
    with Sender(broker.hl7_port, 60.0, "127.0.0.2") as sender:
        answer = sender.send(Case().order())
    seconds = time.monotonic() - began
    for thread in threads:
        thread.join(30.0)

    assert answer.code == "AA"
    assert seconds < MOST_SECONDS
    assert not any(thread.is_alive() for thread in threads), "the broker closes connections that send nothing else"


def test_a_sender_that_acknowledges_each_answer_goes_on(broker):
    with Sender(broker.hl7_port) as sender:
        for _ in range(3):
            sender.write(COMMIT_BLOCK * 10 + START + Case().order() + END)
            answer = sender.read()

            assert answer is not None
            assert answer.code == "AA"
