"""The listener over real sockets, with an inbox that answers what it got."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from broker.errors import AlreadyRunning, SettingsError
from broker.hl7.frames import FrameLimits
from broker.hl7.listener import Hl7Listener, ListenerLimits

WAIT_SECONDS = 5.0


class EchoInbox:
    """Answers "<length>:<beginning>"; a message that starts with "wait" is answered when `release` is set."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.release = threading.Event()

    async def receive(self, raw: bytes, peer: str) -> bytes:
        if raw.startswith(b"wait"):
            self.reached.set()
            while not self.release.is_set():
                await asyncio.sleep(0.005)
        if raw.startswith(b"bug"):
            raise RuntimeError("a bug")
        return f"{len(raw)}:".encode() + raw[:20]

    async def refuse(self, head: bytes, peer: str, too_long: bool) -> bytes:
        return b"refused:" + head[:20]


@contextmanager
def listening(
    inbox: EchoInbox, *, connections: int = 50, idle: float = 30.0, message: float = 30.0, longest: int = 11_000_000
) -> Iterator[Hl7Listener]:
    limits = ListenerLimits(connections, FrameLimits(idle, message, longest))
    listener = Hl7Listener(inbox, "127.0.0.1", 0, limits)
    listener.start()
    try:
        yield listener
    finally:
        inbox.release.set()
        listener.stop(1.0)


@pytest.fixture
def inbox() -> EchoInbox:
    return EchoInbox()


@pytest.fixture
def listener(inbox: EchoInbox) -> Iterator[Hl7Listener]:
    with listening(inbox) as running:
        yield running


def connect(listener: Hl7Listener) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", listener.port), timeout=WAIT_SECONDS)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def block(content: bytes) -> bytes:
    return b"\x0b" + content + b"\x1c\x0d"


def answers(connection: socket.socket, number: int) -> list[bytes]:
    """The next answers, without frames."""
    data = b""
    while data.count(b"\x1c\x0d") < number:
        chunk = connection.recv(65536)
        assert chunk, "closed before the answer"
        data += chunk
    return [part.removeprefix(b"\x0b") for part in data.split(b"\x1c\x0d")[:-1]]


def is_closed(connection: socket.socket) -> bool:
    """True when the listener closed it without a byte."""
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


def test_a_message_in_small_pieces_is_answered_once(listener: Hl7Listener) -> None:
    with connect(listener) as connection:
        data = block(b"MSH|" + b"x" * 100)
        for start in range(0, len(data), 7):
            connection.sendall(data[start : start + 7])

        assert answers(connection, 1) == [b"104:MSH|xxxxxxxxxxxxxxxx"]


def test_many_messages_in_one_write_are_answered_in_order(listener: Hl7Listener) -> None:
    with connect(listener) as connection:
        connection.sendall(b"".join(block(str(number).encode() * 3) for number in range(200)))

        got = answers(connection, 200)

    assert [answer.partition(b":")[2] for answer in got] == [str(number).encode() * 3 for number in range(200)]


def test_a_sender_that_closed_its_side_gets_all_its_answers(listener: Hl7Listener) -> None:
    with connect(listener) as connection:
        connection.sendall(block(b"one") + block(b"two"))
        connection.shutdown(socket.SHUT_WR)

        assert answers(connection, 2) == [b"3:one", b"3:two"]
        assert is_closed(connection)


def test_garbage_before_a_message_does_not_cost_it(listener: Hl7Listener) -> None:
    with connect(listener) as connection:
        connection.sendall(bytes(range(0x20, 0xE8)) + block(b"one"))

        assert answers(connection, 1) == [b"3:one"]


def test_garbage_without_end_is_cut_off_and_others_are_served(listener: Hl7Listener) -> None:
    with connect(listener) as noisy, connect(listener) as other:
        with suppress(OSError):
            for _ in range(100):
                noisy.sendall(b"x" * 65536)
        assert is_closed(noisy)

        other.sendall(block(b"one"))

        assert answers(other, 1) == [b"3:one"]


def test_commit_blocks_get_no_answer(listener: Hl7Listener) -> None:
    with connect(listener) as connection:
        connection.sendall(block(b"\x06") + block(b"\x15") + block(b"one"))

        assert answers(connection, 1) == [b"3:one"]


def test_ten_megabytes_are_one_message(listener: Hl7Listener) -> None:
    with connect(listener) as connection:
        connection.sendall(block(b"x" * 10_000_000))

        assert answers(connection, 1)[0].startswith(b"10000000:")


def test_a_message_over_the_limit_is_refused_and_the_connection_goes_on(inbox: EchoInbox) -> None:
    with listening(inbox, longest=100_000) as listener, connect(listener) as connection:
        connection.sendall(block(b"MSH|" + b"x" * 300_000) + block(b"next"))

        assert answers(connection, 2) == [b"refused:MSH|xxxxxxxxxxxxxxxx", b"4:next"]


def test_a_connection_that_never_sends_is_closed(inbox: EchoInbox) -> None:
    with listening(inbox, idle=0.05) as listener, connect(listener) as connection:
        assert is_closed(connection)


def test_a_half_message_is_cut_off(inbox: EchoInbox) -> None:
    with listening(inbox, message=0.05) as listener, connect(listener) as connection:
        connection.sendall(b"\x0bMSH|half")

        assert is_closed(connection)


def test_a_waiting_message_does_not_slow_another_connection(listener: Hl7Listener, inbox: EchoInbox) -> None:
    with connect(listener) as slow, connect(listener) as quick:
        slow.sendall(block(b"wait"))
        assert inbox.reached.wait(WAIT_SECONDS)

        quick.sendall(block(b"one"))

        assert answers(quick, 1) == [b"3:one"]
        inbox.release.set()
        assert answers(slow, 1) == [b"4:wait"]


def test_a_connection_is_not_read_while_its_message_waits(listener: Hl7Listener, inbox: EchoInbox) -> None:
    with connect(listener) as connection:
        connection.sendall(block(b"wait"))
        assert inbox.reached.wait(WAIT_SECONDS)

        connection.setblocking(False)
        sent = 0
        with suppress(BlockingIOError):
            for _ in range(1000):
                sent += connection.send(b"\x0b" + b"x" * 65535)

        assert sent < 50_000_000


def test_more_connections_than_the_limit_are_closed(inbox: EchoInbox) -> None:
    with listening(inbox, connections=1) as listener, connect(listener) as first:
        first.sendall(block(b"one"))
        assert answers(first, 1) == [b"3:one"]

        with connect(listener) as second:
            assert is_closed(second)

        first.sendall(block(b"two"))
        assert answers(first, 1) == [b"3:two"]


def test_a_place_is_free_again_when_a_connection_has_ended(inbox: EchoInbox) -> None:
    with listening(inbox, connections=1) as listener:
        for _ in range(5):
            with connect(listener) as connection:
                connection.sendall(block(b"one"))
                assert answers(connection, 1) == [b"3:one"]
                connection.shutdown(socket.SHUT_WR)
                assert is_closed(connection)


def test_a_fault_of_ours_closes_only_its_own_connection(listener: Hl7Listener) -> None:
    with connect(listener) as broken, connect(listener) as other:
        broken.sendall(block(b"bug"))
        assert is_closed(broken)

        other.sendall(block(b"one"))

        assert answers(other, 1) == [b"3:one"]


def test_a_sender_that_vanishes_does_no_harm(listener: Hl7Listener, inbox: EchoInbox) -> None:
    with connect(listener) as vanishing:
        vanishing.sendall(block(b"wait"))
        assert inbox.reached.wait(WAIT_SECONDS)
        vanishing.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    inbox.release.set()

    with connect(listener) as other:
        other.sendall(block(b"one"))

        assert answers(other, 1) == [b"3:one"]


def test_stop_answers_what_is_in_hand_and_closes_the_rest(inbox: EchoInbox) -> None:
    with listening(inbox) as listener, connect(listener) as busy, connect(listener) as idle:
        idle.sendall(block(b"one"))
        assert answers(idle, 1) == [b"3:one"]
        busy.sendall(block(b"wait"))
        assert inbox.reached.wait(WAIT_SECONDS)

        stopping = threading.Thread(target=listener.stop, args=(WAIT_SECONDS,))
        stopping.start()
        assert is_closed(idle)
        inbox.release.set()

        assert answers(busy, 1) == [b"4:wait"]
        stopping.join(WAIT_SECONDS)
        assert not stopping.is_alive()
        assert not listener.ready()
        with pytest.raises(ConnectionRefusedError):
            connect(listener)


def test_stop_cuts_off_what_outlasts_the_grace_time(inbox: EchoInbox) -> None:
    with listening(inbox) as listener, connect(listener) as busy:
        busy.sendall(block(b"wait"))
        assert inbox.reached.wait(WAIT_SECONDS)

        listener.stop(0.05)

        assert is_closed(busy)


def test_stop_may_be_called_twice_and_before_start(inbox: EchoInbox) -> None:
    Hl7Listener(inbox, "127.0.0.1", 0).stop(0.1)
    with listening(inbox) as listener:
        assert listener.ready()
        listener.stop(0.1)
        listener.stop(0.1)


def test_a_port_in_use_is_told_with_its_number(listener: Hl7Listener, inbox: EchoInbox) -> None:
    second = Hl7Listener(inbox, "127.0.0.1", listener.port)

    with pytest.raises(AlreadyRunning, match=str(listener.port)):
        second.start()

    assert not second.ready()


def test_an_address_that_is_not_ours_is_told(inbox: EchoInbox) -> None:
    with pytest.raises(SettingsError, match="203.0.113.1"):
        Hl7Listener(inbox, "203.0.113.1", 0).start()
