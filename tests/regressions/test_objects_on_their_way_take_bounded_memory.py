"""Half objects of many associations: what is received is written, not held, however small the fragments are."""

from __future__ import annotations

import struct
import time
from contextlib import ExitStack

import pytest

from tests.kit.processes import ServedBroker
from tests.kit.raw_dicom import CT_IMAGE, RawPeer, command_set, data

HALF_BYTES = 1_000_000
HELD_BYTES = 65_536
WAIT_SECONDS = 30.0
MOST_BYTES = 64_000_000
"""Half of what the halves weigh; a thread, a stack and a PDU of each association are less."""


def memory_bytes(broker: ServedBroker) -> int:
    """Resident memory of the broker's process."""
    with open(f"/proc/{broker.process.pid}/statm") as told:
        return int(told.read().split()[1]) * 4096


def begun(broker: ServedBroker) -> RawPeer:
    peer = RawPeer(broker.ports["dicom"]).associate()
    command = command_set(0x0001, 1, CT_IMAGE, dataset=True, instance="1.2.3.3")
    peer.send(data(7, command, command=True))
    return peer


def one_pdu(fragment: bytes, count: int) -> bytes:
    """A P-DATA-TF with many values of a dataset that is not at its end."""
    body = (struct.pack(">IBB", len(fragment) + 2, 7, 0) + fragment) * count
    return b"\x04\0" + struct.pack(">I", len(body)) + body


def parts(broker: ServedBroker) -> list[int]:
    """Sizes of the objects that are not whole."""
    return [file.stat().st_size for file in (broker.data / "objects").rglob("*.part")]


def wait_until_written(broker: ServedBroker, count: int) -> None:
    limit = time.monotonic() + WAIT_SECONDS
    while sum(size > HALF_BYTES - 2 * HELD_BYTES for size in parts(broker)) < count:
        assert time.monotonic() < limit, parts(broker)
        time.sleep(0.1)


@pytest.mark.parametrize(("fragment", "count", "associations"), [(bytes(100_000), 1, 150), (b"\x08\0", 900, 5)])
def test_half_objects_are_on_disk_and_not_in_memory(tmp_path, fragment: bytes, count: int, associations: int) -> None:
    pdu = one_pdu(fragment, count)
    with ServedBroker(tmp_path / "data", f"sqlite:///{tmp_path}/data/broker.db") as broker, ExitStack() as held:
        peers = [held.enter_context(begun(broker)) for _ in range(associations)]
        before = memory_bytes(broker)

        for peer in peers:
            peer.send(pdu * (HALF_BYTES // (len(fragment) * count)))
        wait_until_written(broker, associations)

        assert memory_bytes(broker) - before < MOST_BYTES
