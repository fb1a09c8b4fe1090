"""Small inputs that once stopped the broker: kilobytes to ten megabytes, each with the door that it goes through."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass

from tests.kit.messages import Case
from tests.kit.mllp import Sender
from tests.kit.raw_dicom import CT_IMAGE, IMPLICIT, PERFORMED, WORKLIST, RawPeer, command_set, data

DEFLATED = "1.2.840.10008.1.2.1.99"
EXPLICIT = "1.2.840.10008.1.2.1"
PDU_BYTES = 16_000
STUDY, SERIES, INSTANCE = "1.2.3.1", "1.2.3.2", "1.2.3.3"
ITEM = struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)
END_OF_ITEM = struct.pack("<HHI", 0xFFFE, 0xE00D, 0)
END_OF_SEQUENCE = struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
MARKS = "e" + "\u0301\u0323" * 100_000
"""A name of 200,000 combining marks, which Unicode's normal form sorts."""


@dataclass(frozen=True)
class Harm:
    """One input. send: it has been sent and answered, or its connection has ended, when this returns (port, source)."""

    name: str
    door: str
    send: Callable[[int, str], None]


def implicit(group: int, number: int, value: bytes) -> bytes:
    """An element in Implicit VR Little Endian (PS3.5 A.1)."""
    return struct.pack("<HHI", group, number, len(value) + len(value) % 2) + value + b"\0" * (len(value) % 2)


def explicit(group: int, number: int, vr: bytes, value: bytes) -> bytes:
    """An element in Explicit VR Little Endian with a 32-bit length (PS3.5 7.1.2)."""
    return struct.pack("<HH2sHI", group, number, vr, 0, len(value)) + value


def image(middle: bytes, patient_name: bytes = b"Doe^Jane") -> bytes:
    """An object's dataset in Implicit VR Little Endian; middle: elements of groups 0018 and above, in order."""
    return b"".join(
        (
            implicit(0x0008, 0x0016, CT_IMAGE.encode()),
            implicit(0x0008, 0x0018, INSTANCE.encode()),
            implicit(0x0008, 0x0060, b"CT"),
            implicit(0x0010, 0x0010, patient_name),
            implicit(0x0010, 0x0020, b"P1"),
            middle,
            implicit(0x0020, 0x000D, STUDY.encode()),
            implicit(0x0020, 0x000E, SERIES.encode()),
        )
    )


def nested(depth: int) -> bytes:
    """A sequence within itself, `depth` times, with undefined lengths."""
    begin = struct.pack("<HHI", 0x0018, 0x9346, 0xFFFFFFFF) + ITEM
    return begin * depth + (END_OF_ITEM + END_OF_SEQUENCE) * depth


def in_pdus(context_id: int, content: bytes, *, command: bool) -> bytes:
    """P-DATA-TFs for a message part of any length."""
    parts = [content[at : at + PDU_BYTES] for at in range(0, len(content), PDU_BYTES)] or [b""]
    last = len(parts) - 1
    return b"".join(data(context_id, part, command=command, last=at == last) for at, part in enumerate(parts))


def request(field: int, context_id: int, sop_class: str, dataset: bytes, **more: str) -> bytes:
    """A DIMSE request with its dataset."""
    command = command_set(field, 1, sop_class, dataset=True, **more)
    return in_pdus(context_id, command, command=True) + in_pdus(context_id, dataset, command=False)


def _hl7(message: bytes) -> Callable[[int, str], None]:
    def send(port: int, source: str) -> None:
        with Sender(port, timeout_seconds=60.0, source=source) as sender:
            sender.send(message)

    return send


def _dicom(content: bytes, syntax: str = IMPLICIT) -> Callable[[int, str], None]:
    classes = tuple((uid, [syntax]) for uid in (WORKLIST, PERFORMED, CT_IMAGE))

    def send(port: int, source: str) -> None:
        with RawPeer(port, source=source) as peer:
            peer.socket.settimeout(60.0)
            peer.associate(contexts=classes)
            peer.send(content)
            peer.pdu()

    return send


def _order_with(extra: str) -> bytes:
    case = Case()
    return case.order() + extra.encode()


def _groups(count: int) -> bytes:
    return _order_with("OBR|\rOBX|\r" * count)


def _short_segments(size: int) -> bytes:
    return _order_with("A\r" * (size // 2))


def _deflated(count: int) -> bytes:
    body = explicit(0x0008, 0x0016, b"UN", CT_IMAGE.encode() + b"\0") + explicit(0x0010, 0x0010, b"UN", b"a\\" * count)
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return packer.compress(body) + packer.flush()


def harms() -> list[Harm]:
    """All of them, as they were seen."""
    find, create, store = (WORKLIST, 0x0020, 1), (PERFORMED, 0x0140, 3), (CT_IMAGE, 0x0001, 5)
    marks = MARKS.encode()

    def to(target: tuple[str, int, int], dataset: bytes, syntax: str = IMPLICIT) -> Callable[[int, str], None]:
        sop_class, field, context_id = target
        more = {} if sop_class == WORKLIST else {"instance": INSTANCE}
        return _dicom(request(field, context_id, sop_class, dataset, **more), syntax)

    charset = implicit(0x0008, 0x0005, b"ISO_IR 192")
    return [
        Harm("100,000 line feeds in a note", "hl7", _hl7(_order_with("NTE|1||" + "\n" * 100_000 + "x\r"))),
        Harm("20,000 groups with their observation", "hl7", _hl7(_groups(20_000))),
        Harm("10 MB of one-letter segments", "hl7", _hl7(_short_segments(10_000_000))),
        Harm("a name of 200,000 marks as a key", "dicom", to(find, charset + implicit(0x0010, 0x0010, marks))),
        Harm("a name of 200,000 marks in an N-CREATE", "dicom", to(create, charset + implicit(0x0010, 0x0010, marks))),
        Harm("a name of 200,000 marks in an image", "dicom", to(store, charset + image(b"", marks))),
        Harm("a sequence within itself 400 times", "dicom", to(store, image(nested(400)))),
        Harm("a sequence within itself 5,000 times", "dicom", to(store, image(nested(5_000)))),
        Harm("five million values of one name", "dicom", to(store, image(b"", b"\\" * 5_000_000))),
        Harm("ten million values, deflated", "dicom", to(store, _deflated(10_000_000), DEFLATED)),
        Harm("a wildcard key of 100 KB", "dicom", to(find, implicit(0x0010, 0x0010, b"a*" * 50_000))),
    ]
