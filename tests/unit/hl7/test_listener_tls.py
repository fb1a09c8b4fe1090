"""HL7 over TLS: the same answers inside, and no harm from what is no TLS or never gets through its handshake."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from broker.hl7 import listener as hl7_listener
from broker.hl7.frames import FrameLimits
from broker.hl7.listener import Hl7Listener, ListenerLimits
from broker.tls import TlsFiles, server_context
from tests.kit.certificates import Authority
from tests.unit.hl7.test_listener import EchoInbox, answers, block, is_closed

WAIT_SECONDS = 5.0
Open = Callable[..., Hl7Listener]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def files(authority: Authority) -> TlsFiles:
    own = authority.issue("broker")
    return TlsFiles(own.certificate, own.key, authority.certificate)


@pytest.fixture
def opened(files: TlsFiles) -> Iterator[Open]:
    with ExitStack() as stack:

        def make(files: TlsFiles = files, connections: int = 50) -> Hl7Listener:
            limits = ListenerLimits(connections, FrameLimits(30.0, 30.0, 11_000_000))
            listener = Hl7Listener(EchoInbox(), "127.0.0.1", 0, limits, server_context(files), "hl7_tls")
            listener.start()
            stack.callback(listener.stop, 1.0)
            return listener

        yield make


def plain(listener: Hl7Listener) -> socket.socket:
    return socket.create_connection(("127.0.0.1", listener.port), timeout=WAIT_SECONDS)


def secure(listener: Hl7Listener, context: ssl.SSLContext) -> ssl.SSLSocket:
    return context.wrap_socket(plain(listener), server_hostname="localhost")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_messages_are_answered_inside_tls(opened: Open, authority: Authority, version: ssl.TLSVersion) -> None:
    context = authority.client_context()
    context.minimum_version = context.maximum_version = version

    with secure(opened(), context) as connection:
        connection.sendall(block(b"one") + block(b"two" * 100_000))
        got = answers(connection, 2)

    assert got == [b"3:one", b"300000:" + (b"two" * 7)[:20]]


def test_a_client_that_speaks_at_once_loses_nothing(opened: Open, authority: Authority) -> None:
    listener = opened()

    for number in range(20):
        with secure(listener, authority.client_context()) as connection:
            connection.sendall(block(b"%d" % number))
            assert answers(connection, 1) == [b"%d:%d" % (len(str(number)), number)]


def test_plain_hl7_on_the_tls_port_is_closed_and_counted(opened: Open) -> None:
    listener = opened()

    with plain(listener) as connection:
        connection.sendall(block(b"MSH|"))
        closed = is_closed(connection)

    assert closed
    assert _counted(listener, "tls refused")


def test_a_handshake_that_never_ends_is_closed_and_harms_nobody(
    opened: Open, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hl7_listener, "HANDSHAKE_SECONDS", 0.5)
    listener = opened()

    with plain(listener) as silent, secure(listener, authority.client_context()) as connection:
        connection.sendall(block(b"hello"))
        answered = answers(connection, 1)
        closed = is_closed(silent)

    assert answered == [b"5:hello"]
    assert closed


def test_silent_handshakes_count_as_connections(opened: Open) -> None:
    listener = opened(connections=2)

    with plain(listener), plain(listener), plain(listener) as third:
        closed = is_closed(third)

    assert closed


def test_a_client_without_the_certificate_that_is_required_gets_no_answer(
    opened: Open, files: TlsFiles, authority: Authority, tmp_path: Path
) -> None:
    listener = opened(TlsFiles(files.certificate, files.key, files.authorities, "required"))
    stranger = Authority(tmp_path, "stranger").issue("client")
    known = authority.issue("client")

    assert _answered(listener, authority.client_context(known))
    assert not _answered(listener, authority.client_context())
    assert not _answered(listener, authority.client_context(stranger))


def _counted(listener: Hl7Listener, what: str) -> bool:
    """The client may see the end of its connection a moment before it is counted."""
    give_up_at = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < give_up_at:
        if listener.snapshot().connections.get(what) == 1:
            return True
        time.sleep(0.01)
    return False


def _answered(listener: Hl7Listener, context: ssl.SSLContext) -> bool:
    """In TLS 1.3 the refusal comes after the handshake."""
    try:
        with secure(listener, context) as connection:
            connection.sendall(block(b"hello"))
            return answers(connection, 1) == [b"5:hello"]
    except (OSError, AssertionError):
        return False
