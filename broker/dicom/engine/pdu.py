"""The PDUs of the upper layer (PS3.8 9.3): bytes in, PDUs out, and back. No socket, no clock.

Type and length are judged from the first six bytes, before anything is kept: what a peer makes us hold is at most one
PDU of a length that we have agreed to.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum
from struct import Struct
from typing import NamedTuple

ASSOCIATE_BYTES = 262_144
"""Longest A-ASSOCIATE-RQ: 128 contexts with all known transfer syntaxes each take about half of it."""

FIXED_BYTES = 4
"""Length of A-ASSOCIATE-RJ, A-RELEASE-RQ, A-RELEASE-RP and A-ABORT (PS3.8 9.3.4, 9.3.6 to 9.3.8)."""

MOST_PDVS = 1_000
"""Presentation data values in one P-DATA-TF; peers send one or two."""

SMALLEST_PDU_BYTES = 128
"""Shortest maximum length of a peer that we answer; below it an answer falls into hundreds of fragments."""

UNLIMITED_PDU_BYTES = 1_048_576
"""What we send at most in one PDU to a peer that states no maximum (0, PS3.8 D.1.1)."""

_HEAD = Struct(">BxI")
_PDV_HEAD = Struct(">IBB")
_DATA_HEAD = Struct(">BxIIBB")
_FIXED = Struct(">BxIxBBB")
COMMAND, LAST = 0x01, 0x02
"""Bits of the message control header (PS3.8 E.2)."""


class PduType(IntEnum):
    """First byte of a PDU (PS3.8 9.3.1)."""

    ASSOCIATE_RQ = 1
    ASSOCIATE_AC = 2
    ASSOCIATE_RJ = 3
    P_DATA = 4
    RELEASE_RQ = 5
    RELEASE_RP = 6
    ABORT = 7


class AbortReason(IntEnum):
    """Reason of an A-ABORT whose source is the service provider (PS3.8 9.3.8)."""

    NOT_SPECIFIED = 0
    UNRECOGNIZED_PDU = 1
    UNEXPECTED_PDU = 2
    UNRECOGNIZED_PARAMETER = 4
    UNEXPECTED_PARAMETER = 5
    INVALID_PARAMETER = 6


class Pdv(NamedTuple):
    """One presentation data value: a fragment of a command set or of a dataset (PS3.8 9.3.5.1, E.2)."""

    context_id: int
    is_command: bool
    is_last: bool
    data: bytes


class Pdu(NamedTuple):
    """A PDU that is whole. body: what follows the length (not of P-DATA-TF); pdvs: of P-DATA-TF."""

    type: PduType
    body: bytes = b""
    pdvs: tuple[Pdv, ...] = ()


class BadPdu(NamedTuple):
    """Bytes that are no PDU we take; nothing after them can be read. what: a word for logs and counters."""

    reason: AbortReason
    what: str


class PduReader:
    """Cuts what arrives into PDUs.

    maximum_bytes  longest P-DATA-TF, as we have announced it (PS3.8 D.1)
    """

    def __init__(self, maximum_bytes: int) -> None:
        self._maximum_bytes = maximum_bytes
        self._held = bytearray()
        self._broken = False

    @property
    def has_begun(self) -> bool:
        """True while a PDU has begun and is not whole."""
        return bool(self._held)

    def feed(self, data: bytes) -> list[Pdu | BadPdu]:
        """The PDUs that are whole now; a BadPdu is the last there ever is."""
        if self._broken:
            return []
        if not self._held:
            found, position = self._whole(data)
            if position < len(data) and not self._broken:
                self._held += data[position:]
            return found
        self._held += data
        with memoryview(self._held) as view:
            found, position = self._whole(view)
        if self._broken:
            self._held = bytearray()
        else:
            del self._held[:position]
        return found

    def _whole(self, data: bytes | memoryview) -> tuple[list[Pdu | BadPdu], int]:
        """What is whole, and the position after it."""
        found: list[Pdu | BadPdu] = []
        position = 0
        try:
            for pdu, position in self._cut(data):  # noqa: B007
                found.append(pdu)
        except _Broken as fault:
            self._broken = True
            found.append(fault.pdu)
        return found, position

    def _cut(self, data: bytes | memoryview) -> Iterator[tuple[Pdu, int]]:
        """Each whole PDU with the position after it. raises _Broken"""
        position, end = 0, len(data)
        while position < end:
            kind = data[position]
            if not PduType.ASSOCIATE_RQ <= kind <= PduType.ABORT:
                raise _Broken(AbortReason.UNRECOGNIZED_PDU, "tls" if kind == 0x16 else "unknown type")
            if end - position < _HEAD.size:
                return
            length = _HEAD.unpack_from(data, position)[1]
            self._judge(kind, length)
            start = position + _HEAD.size
            if end < start + length:
                return
            position = start + length
            if kind == PduType.P_DATA:
                yield Pdu(PduType.P_DATA, pdvs=tuple(_pdvs(data, start, position))), position
            else:
                yield Pdu(PduType(kind), bytes(data[start:position])), position

    def _judge(self, kind: int, length: int) -> None:
        if kind == PduType.P_DATA:
            right = _PDV_HEAD.size <= length <= self._maximum_bytes
        elif kind in (PduType.ASSOCIATE_RQ, PduType.ASSOCIATE_AC):
            right = length <= ASSOCIATE_BYTES
        else:
            right = length == FIXED_BYTES
        if not right:
            raise _Broken(AbortReason.INVALID_PARAMETER, "length")


class _Broken(Exception):
    def __init__(self, reason: AbortReason, what: str) -> None:
        super().__init__(what)
        self.pdu = BadPdu(reason, what)


def _pdvs(data: bytes | memoryview, position: int, end: int) -> Iterator[Pdv]:
    """The presentation data values of one P-DATA-TF. raises _Broken when their lengths do not add up."""
    count = 0
    while position < end:
        if end - position < _PDV_HEAD.size:
            raise _Broken(AbortReason.INVALID_PARAMETER, "pdv length")
        length, context_id, control = _PDV_HEAD.unpack_from(data, position)
        start, position = position + _PDV_HEAD.size, position + 4 + length
        count += 1
        if length < 2 or position > end or count > MOST_PDVS:
            raise _Broken(AbortReason.INVALID_PARAMETER, "pdv length")
        yield Pdv(context_id, bool(control & COMMAND), bool(control & LAST), bytes(data[start:position]))


def fragment_room(maximum_bytes: int) -> int:
    """Bytes of a message that one PDU takes, even as fragments have to be (PS3.8 Annex E).

    maximum_bytes  the peer's maximum length, 0: no limit (PS3.8 D.1.1)
    """
    return (min(maximum_bytes or UNLIMITED_PDU_BYTES, UNLIMITED_PDU_BYTES) - _PDV_HEAD.size) & ~1


def data_head(context_id: int, length: int, control: int = LAST) -> bytes:
    """What precedes a fragment in a P-DATA-TF with one value; without control: the only fragment of a dataset."""
    return _DATA_HEAD.pack(4, length + 6, length + 2, context_id, control)


def data_pdus(context_id: int, data: bytes, room: int, *, command: bool) -> list[bytes]:
    """A command set or a dataset as P-DATA-TF PDUs; buffers in order, so that nothing is copied. room: fragment_room"""
    kind = COMMAND if command else 0
    length = len(data)
    if length <= room:
        return [data_head(context_id, length, kind | LAST), data]
    buffers: list[bytes] = []
    for start in range(0, length, room):
        part = data[start : start + room]
        control = kind | LAST if start + room >= length else kind
        buffers += (data_head(context_id, len(part), control), part)
    return buffers


def reject_pdu(result: int, source: int, reason: int) -> bytes:
    """A-ASSOCIATE-RJ (PS3.8 9.3.4)."""
    return _FIXED.pack(PduType.ASSOCIATE_RJ, FIXED_BYTES, result, source, reason)


def abort_pdu(source: int, reason: int) -> bytes:
    """A-ABORT (PS3.8 9.3.8)."""
    return _FIXED.pack(PduType.ABORT, FIXED_BYTES, 0, source, reason)


RELEASE_RQ_PDU = _FIXED.pack(PduType.RELEASE_RQ, FIXED_BYTES, 0, 0, 0)
RELEASE_RP_PDU = _FIXED.pack(PduType.RELEASE_RP, FIXED_BYTES, 0, 0, 0)
