"""Random conversations with a live door: whatever a peer says in whatever order, it gets an answer or an end."""

from __future__ import annotations

import os
import random
import socket
import struct
import threading
import time
from collections.abc import Callable
from io import BytesIO

import pytest
from structlog.testing import capture_logs

from broker.archive.header import parse
from broker.dataset.attributes import read_attributes
from broker.dicom.listener import STACK_BYTES, DicomListener
from broker.errors import UnreadableDataset
from tests.kit.raw_dicom import (
    ABORT_BY_USER,
    CT_IMAGE,
    PERFORMED,
    RELEASE_RP,
    RELEASE_RQ,
    WORKLIST,
    RawPeer,
    associate_rq,
    cancel_rq,
    command_set,
    data,
    echo_rq,
    find_rq,
    rejection,
)
from tests.wire.engine.conftest import SmallServices

OpenDoor = Callable[..., DicomListener]
pytestmark = pytest.mark.soak
CONVERSATIONS = int(os.environ.get("FUZZ_CONVERSATIONS", "400"))

SAID = [
    associate_rq(),
    associate_rq(maximum_bytes=0),
    associate_rq(calling="STRANGER"),
    echo_rq(),
    find_rq(),
    find_rq()[:-10],
    cancel_rq(),
    data(3, command_set(0x0020, 1, WORKLIST, dataset=True), command=True),
    data(3, b"\x08\x00\x50\x00\x00\x00\x00\x00", command=False),
    data(5, command_set(0x0140, 2, PERFORMED, dataset=True, instance="1.2.3"), command=True),
    data(5, bytes(3_000), command=False, last=False),
    data(5, bytes(30), command=False),
    data(7, command_set(0x0001, 3, CT_IMAGE, dataset=True, instance="1.2.3"), command=True),
    data(7, bytes(100_000), command=False, last=False),
    data(7, b"", command=False),
    data(99, command_set(0x0030, 1), command=True),
    RELEASE_RQ,
    RELEASE_RP,
    ABORT_BY_USER,
    rejection(1, 1, 1),
    b"\x04\x00\x00\x00\x00\x06\x00\x00\x00\x09\x01\x03",
    b"\x09",
]


def converse(peer: RawPeer, chance: random.Random) -> bytes:
    """Say things, sometimes damaged or cut; then stop speaking and hear everything that is answered."""
    if chance.random() < 0.8:
        peer.send(associate_rq())
    for _ in range(chance.randrange(12)):
        words = bytearray(chance.choice(SAID))
        if chance.random() < 0.15:
            words[chance.randrange(len(words))] = chance.randrange(256)
        cut = chance.randrange(len(words)) if chance.random() < 0.1 else len(words)
        peer.send(bytes(words[:cut]))
    peer.socket.shutdown(socket.SHUT_WR)
    return peer.rest()


def kinds(answer: bytes) -> list[int]:
    """Types of the PDUs that were answered; fails when they are not whole."""
    found, position = [], 0
    while position < len(answer):
        found.append(answer[position])
        position += 6 + int.from_bytes(answer[position + 2 : position + 6], "big")
    assert position == len(answer)
    return found


@pytest.mark.parametrize("seed", range(4))
def test_every_conversation_ends_in_whole_pdus_and_leaves_nothing_behind(
    open_door: OpenDoor, services: SmallServices, seed: int
) -> None:
    door = open_door(association_seconds=2.0, message_seconds=2.0)
    chance = random.Random(seed)
    with capture_logs() as logs:
        for _ in range(CONVERSATIONS // 4):
            with RawPeer(door.port) as peer:
                try:
                    answer = converse(peer, chance)
                except OSError:
                    continue
                heard = kinds(answer)
            assert set(heard) <= {2, 3, 4, 6, 7}
            assert heard[1:].count(2) + heard[1:].count(3) == 0
            assert not set(heard[:-1]) & {3, 6, 7}, "something was said after the last word"

        with RawPeer(door.port).associate() as honest:
            assert honest.echo() == 0

    wrong = [
        entry for entry in logs if entry["event"] in ("dicom.engine_failed", "dicom.failed", "dicom.accept_failed")
    ]
    assert wrong == []
    deadline = time.monotonic() + 10
    while (seen := door.snapshot()) and (seen.open or seen.waiting):
        assert time.monotonic() < deadline, "a place was not given back"
        time.sleep(0.01)


IMPLICIT = "1.2.840.10008.1.2"
READERS: dict[str, Callable[[bytes], object]] = {
    "a performed step": lambda dataset: read_attributes(dataset, IMPLICIT),
    "a stored object": lambda dataset: parse(BytesIO(dataset), IMPLICIT, len(dataset) * 4),
}


@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
def test_a_dataset_nested_without_end_is_refused_on_half_the_small_stack(read: Callable[[bytes], object]) -> None:
    level = struct.pack("<HHI", 0x0040, 0x0275, 0xFFFFFFFF) + struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)
    outcomes: list[str] = []

    def read_all() -> None:
        for depth in (200, 400, 50_000):
            try:
                read(level * depth)
            except UnreadableDataset:
                outcomes.append("refused")

    before = threading.stack_size(STACK_BYTES // 2)
    thread = threading.Thread(target=read_all)
    thread.start()
    threading.stack_size(before)
    thread.join(30)

    assert outcomes == ["refused"] * 3
