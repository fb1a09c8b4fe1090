"""Peers that hold on, never read, or come in thousands; and one honest peer that is answered all the while."""

from __future__ import annotations

import os
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress

import pytest

from broker.dicom.census import MOST_WAITING
from broker.dicom.listener import DicomListener
from broker.tls import TlsFiles
from tests.kit.certificates import Authority
from tests.kit.raw_dicom import (
    ABORT_BY_USER,
    CT_IMAGE,
    RELEASE_RP,
    RELEASE_RQ,
    RawPeer,
    abort,
    associate_rq,
    command_set,
    data,
    echo_rq,
    find_rq,
    rejection,
)
from tests.kit.waiting import until
from tests.wire.engine.conftest import SmallServices

OpenDoor = Callable[..., DicomListener]
ANSWER_SECONDS = 1.0
MANY = int(os.environ.get("ABUSE_CONNECTIONS", "2000"))


@contextmanager
def an_honest_peer(port: int, context: ssl.SSLContext | None = None) -> Iterator[None]:
    """At another address: a C-ECHO again and again, answered within a second; and fresh associations, never refused."""
    slow, refused = [0.0], []
    done = threading.Event()
    kept = RawPeer(port, context, source="127.0.0.2").associate(calling="HONEST")

    def ask() -> None:
        while not done.wait(0.01):
            try:
                began = time.monotonic()
                assert kept.echo() == 0
                slow.append(time.monotonic() - began)
                with RawPeer(port, context, source="127.0.0.2").associate(calling="HONEST") as fresh:
                    assert fresh.echo() == 0
                    fresh.send(RELEASE_RQ)
                    assert fresh.pdu() == RELEASE_RP
            except (OSError, AssertionError) as error:
                refused.append(error)
                return

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join(30)
        kept.socket.close()
    assert refused == []
    assert max(slow) < ANSWER_SECONDS


def resident_mb() -> float:
    with open("/proc/self/status", encoding="ascii") as status:
        return next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmRSS"))


def counts(door: DicomListener) -> tuple[int, int]:
    seen = door.snapshot()
    assert seen is not None
    return seen.open, seen.waiting


def test_thousands_of_silent_connections_keep_nobody_out(open_door: OpenDoor) -> None:
    door = open_door(association_seconds=60.0)
    with an_honest_peer(door.port), ExitStack() as held:
        for _ in range(MANY):
            held.enter_context(socket.create_connection(("127.0.0.1", door.port), 20))

        until(lambda: counts(door)[1] <= MOST_WAITING + 5)
        assert threading.active_count() < MOST_WAITING + 50
    until(lambda: counts(door) == (0, 0))


def test_thousands_of_port_probes_cost_nothing(open_door: OpenDoor) -> None:
    door = open_door(associations=2)
    with an_honest_peer(door.port):
        for _ in range(MANY):
            socket.create_connection(("127.0.0.1", door.port), 20).close()

    until(lambda: counts(door) == (0, 0))
    assert door.snapshot().refused == {}  # type: ignore[union-attr]


def test_half_pdus_held_open_end_at_their_deadline(open_door: OpenDoor) -> None:
    door = open_door(association_seconds=0.5, message_seconds=0.5)
    with an_honest_peer(door.port), ExitStack() as held:
        before = [held.enter_context(RawPeer(door.port)) for _ in range(50)]
        inside = [held.enter_context(RawPeer(door.port).associate()) for _ in range(50)]
        for peer in before:
            peer.send(associate_rq()[:50])
        for peer in inside:
            peer.send(find_rq()[:40])

        assert {peer.rest() for peer in before} == {b""}  # AA-2: ARTIM has expired
        assert {peer.rest() for peer in inside} == {ABORT_BY_USER}
    assert door.snapshot().refused == {"no association request": 50, "half a message": 50}  # type: ignore[union-attr]


def test_bytes_one_by_one_do_not_stretch_a_deadline(open_door: OpenDoor) -> None:
    door = open_door(association_seconds=0.6, message_seconds=0.6)
    with RawPeer(door.port) as before, RawPeer(door.port).associate() as inside:
        began = time.monotonic()
        ended: dict[RawPeer, float] = {}
        for one, two in zip(associate_rq(), find_rq()[:-1] + bytes(500), strict=False):
            for peer, byte in ((before, one), (inside, two)):
                try:
                    peer.send(bytes([byte]))
                except OSError:
                    ended.setdefault(peer, time.monotonic() - began)
            if len(ended) == 2:
                break
            time.sleep(0.02)

    assert set(ended) == {before, inside}
    assert max(ended.values()) < 2.0


def test_a_dataset_that_trickles_ends_with_the_messages_deadline(open_door: OpenDoor, services: SmallServices) -> None:
    door = open_door(message_seconds=0.6, association_seconds=0.6)
    with RawPeer(door.port).associate() as peer:
        peer.send(find_rq()[:-20])
        peer.send(data(3, b"", command=False, last=False))
        began = time.monotonic()
        while time.monotonic() - began < 5.0:
            try:
                peer.send(data(3, b"\0\0", command=False, last=False))
            except OSError:
                break
            time.sleep(0.05)

        assert time.monotonic() - began < 2.5


def test_peers_that_never_read_are_dropped_and_hold_little(open_door: OpenDoor, services: SmallServices) -> None:
    services.answers = 10_000_000
    door = open_door(message_seconds=1.0)
    before = resident_mb()
    with an_honest_peer(door.port), ExitStack() as held:
        for _ in range(20):
            held.enter_context(RawPeer(door.port, receive_buffer=4_096).associate()).send(find_rq())
        most = before
        deadline = time.monotonic() + 30
        while door.snapshot().refused.get("unread answers", 0) < 20:  # type: ignore[union-attr]
            assert time.monotonic() < deadline
            most = max(most, resident_mb())
            time.sleep(0.01)

        assert most - before < 60
    assert services.ended.is_set()


def test_places_are_stated_in_total_and_per_host_and_come_back(open_door: OpenDoor) -> None:
    door = open_door(associations=4, associations_per_host=3)
    with ExitStack() as held:
        mine = [held.enter_context(RawPeer(door.port).associate()) for _ in range(3)]
        too_many = held.enter_context(RawPeer(door.port))
        too_many.send(associate_rq())
        assert too_many.rest() == rejection(2, 3, 2)

        held.enter_context(RawPeer(door.port, source="127.0.0.2").associate())
        full = held.enter_context(RawPeer(door.port, source="127.0.0.3"))
        full.send(associate_rq())
        assert full.rest() == rejection(2, 3, 1)

        mine[0].socket.close()
        until(lambda: counts(door)[0] == 3)
        assert held.enter_context(RawPeer(door.port)).associate().echo() == 0


def test_a_thousand_idle_associations_are_held_and_all_answered(open_door: OpenDoor) -> None:
    door = open_door(associations=1_500)
    before, threads = resident_mb(), threading.active_count()
    with ExitStack() as held:
        peers = [held.enter_context(RawPeer(door.port).associate()) for _ in range(1_000)]
        assert counts(door) == (1_000, 0)
        assert threading.active_count() - threads == 1_000
        busy = time.process_time()
        time.sleep(0.3)
        assert time.process_time() - busy < 0.1

        with an_honest_peer(door.port):
            assert {peer.echo() for peer in peers[::50]} == {0}
        assert resident_mb() - before < 120  # both sides of every connection are in this process
    until(lambda: counts(door) == (0, 0))


def test_an_object_that_is_large_leaves_memory_flat(open_door: OpenDoor, services: SmallServices) -> None:
    size, piece = 256 << 20, data(7, bytes(131_000), command=False, last=False)
    with RawPeer(open_door().port).associate() as peer:
        peer.send(data(7, command_set(0x0001, 1, CT_IMAGE, dataset=True, instance="1.2.3"), command=True))
        before, most, sent = resident_mb(), 0.0, 0
        while sent < size:
            peer.send(piece)
            sent += 131_000
            most = max(most, resident_mb())
        peer.send(data(7, b"end!", command=False))

        assert peer.status() == 0
    assert services.stored == [sent + 4]
    assert most - before < 20


def test_a_peer_that_leaves_inside_its_object_leaves_the_door_open(
    open_door: OpenDoor, services: SmallServices
) -> None:
    door = open_door()
    for _ in range(20):
        with RawPeer(door.port).associate() as peer:
            peer.send(data(7, command_set(0x0001, 1, CT_IMAGE, dataset=True, instance="1.2.3"), command=True))
            peer.send(data(7, bytes(100_000), command=False, last=False))

    until(lambda: counts(door) == (0, 0))
    assert services.stored == []
    assert RawPeer(door.port).associate().echo() == 0


def test_a_release_and_a_close_at_once_end_quietly(open_door: OpenDoor) -> None:
    door = open_door()
    for last_words in (RELEASE_RQ, ABORT_BY_USER, RELEASE_RQ + ABORT_BY_USER, echo_rq(), find_rq()):
        for _ in range(20):
            with RawPeer(door.port).associate() as peer:
                peer.send(last_words)

    until(lambda: counts(door) == (0, 0))
    assert RawPeer(door.port).associate().echo() == 0


def test_a_peer_that_stays_after_the_release_is_closed(open_door: OpenDoor, monkeypatch: pytest.MonkeyPatch) -> None:
    door = open_door(association_seconds=0.3)
    with RawPeer(door.port).associate() as peer:
        peer.send(RELEASE_RQ)

        assert peer.rest() == RELEASE_RP


def test_an_abort_that_crosses_a_release_is_taken(open_door: OpenDoor) -> None:
    door = open_door(association_seconds=0.3)
    with RawPeer(door.port).associate() as peer:
        peer.send(RELEASE_RQ + ABORT_BY_USER)

        assert peer.rest() in (b"", RELEASE_RP)
    until(lambda: counts(door) == (0, 0))


@pytest.mark.parametrize(
    "garbage", [b"\x09" * 100_000, associate_rq() * 50, b"\x04\x00\xff\xff\xff\xff" + bytes(200_000)]
)
def test_a_flood_after_the_end_changes_nothing(open_door: OpenDoor, garbage: bytes) -> None:
    door = open_door()
    with RawPeer(door.port).associate() as peer:
        with suppress(OSError):
            peer.send(garbage)
        assert peer.rest()[:10] in (abort(1), abort(2), abort(6))
    until(lambda: counts(door) == (0, 0))


# TLS


def test_handshakes_that_never_end_are_closed_at_their_deadline(
    open_door: OpenDoor, tls_files: TlsFiles, authority: Authority
) -> None:
    door = open_door(tls_files, association_seconds=0.8)
    with an_honest_peer(door.port, authority.client_context()), ExitStack() as held:
        silent = [held.enter_context(socket.create_connection(("127.0.0.1", door.port), 20)) for _ in range(50)]
        for connection in silent[::2]:
            connection.sendall(b"\x16\x03\x01\x02\x00\x01")

        began = time.monotonic()
        assert [connection.recv(100) for connection in silent] == [b""] * 50
        assert time.monotonic() - began < 3.0


def test_plain_dicom_on_the_tls_port_ends_at_once(open_door: OpenDoor, tls_files: TlsFiles) -> None:
    door = open_door(tls_files)
    with RawPeer(door.port) as peer:
        began = time.monotonic()
        peer.send(associate_rq())

        assert peer.rest()[:1] in (b"", b"\x15")  # nothing, or a TLS alert
        assert time.monotonic() - began < 2.0
    assert door.snapshot().refused == {"tls handshake": 1}  # type: ignore[union-attr]


def test_tls_on_the_plain_port_ends_at_once(open_door: OpenDoor, authority: Authority) -> None:
    door = open_door()
    began = time.monotonic()

    with pytest.raises(ssl.SSLError):
        RawPeer(door.port, authority.client_context())

    assert time.monotonic() - began < 2.0
    until(lambda: door.snapshot().refused == {"tls": 1})  # type: ignore[union-attr]
