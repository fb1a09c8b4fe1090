"""An answer in Implicit VR, UTF-8 to Explicit VR or to another character set, element by element."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from struct import pack

from broker.dataset.charsets import TEXT, Encoder
from broker.mapping.encode import padded
from broker.mapping.layout import ELEMENT, ITEM, Slot, tag_bytes
from broker.mapping.row import Row

_LONG = frozenset({"SQ", "UC", "UR", "UT"})
"""Representations whose explicit element has a 32-bit length behind two reserved bytes (PS3.5 7.1.2)."""


@dataclass(frozen=True, slots=True)
class _Form:
    """How one attribute is written. head: tag and VR, for VRs that are not short the reserved bytes too."""

    head: bytes
    vr: str
    short: bool
    inside: Mapping[bytes, _Form]


class Converter:
    """Knows the VR of every attribute that an answer may hold."""

    def __init__(self, slots: Iterable[Slot], explicit: bool) -> None:
        self._explicit = explicit
        self._forms = _forms(slot for slot in slots if len(slot.row.levels) == 1)

    def explicit(self, body: bytes) -> bytes:
        """The same elements in Explicit VR Little Endian."""
        return b"".join(_explicit(body, self._forms))

    def recoded(self, body: bytes, encoder: Encoder) -> bytes:
        """The same elements in another character set (and VR encoding); UnicodeError when it is too small."""
        return _recoded(body, self._forms, encoder, self._explicit)

    def texts(self, body: bytes) -> bool:
        """True when some text of the elements is not ASCII; what made the step need a set may not have been asked."""
        return _beyond_ascii(body, self._forms)


def _forms(slots: Iterable[Slot]) -> dict[bytes, _Form]:
    forms = {}
    for slot in slots:
        inside = _forms(slot.children) if slot.children else _member_forms(slot.row.members)
        forms[slot.tag_bytes] = _form(slot.row, inside)
    return forms


def _member_forms(members: Iterable[Row]) -> dict[bytes, _Form]:
    return {tag_bytes(member.tag): _form(member, _member_forms(member.members)) for member in members}


def _form(row: Row, inside: Mapping[bytes, _Form]) -> _Form:
    long = row.vr in _LONG
    return _Form(tag_bytes(row.tag) + row.vr.encode() + (b"\0\0" if long else b""), row.vr, not long, inside)


def _explicit(data: bytes, forms: Mapping[bytes, _Form]) -> list[bytes]:
    chunks: list[bytes] = []
    at, end = 0, len(data)
    while at < end:
        form = forms[data[at : at + 4]]
        begin = at + 8
        if form.vr == "SQ":
            at = begin + int.from_bytes(data[at + 4 : begin], "little")
            items = _explicit_items(data[begin:at], form.inside)
            chunks += (form.head, pack("<I", len(items)), items)
        elif form.short:
            # Tag, VR, the lower half of the length, and the value, which begins at the same place as before.
            length = data[at + 4 : at + 6]
            at = begin + int.from_bytes(length, "little")
            chunks += (form.head, length, data[begin:at])
        else:
            length = data[at + 4 : begin]
            at = begin + int.from_bytes(length, "little")
            chunks += (form.head, length, data[begin:at])
    return chunks


def _explicit_items(data: bytes, forms: Mapping[bytes, _Form]) -> bytes:
    chunks: list[bytes] = []
    at = 0
    while at < len(data):
        length = int.from_bytes(data[at + 4 : at + 8], "little")
        body = b"".join(_explicit(data[at + 8 : at + 8 + length], forms))
        chunks += (ITEM, pack("<I", len(body)), body)
        at += 8 + length
    return b"".join(chunks)


def _recoded(data: bytes, forms: Mapping[bytes, _Form], encoder: Encoder, explicit: bool) -> bytes:
    chunks: list[bytes] = []
    at = 0
    while at < len(data):
        form = forms[data[at : at + 4]]
        length = ELEMENT.unpack_from(data, at)[2]
        value = data[at + 8 : at + 8 + length]
        at += 8 + length
        if form.vr == "SQ":
            value = _recoded_items(value, form.inside, encoder, explicit)
        elif form.vr in TEXT and not value.isascii():
            value = padded(form.vr, encoder(form.vr, value.decode().rstrip(" ")))
        short = explicit and form.short
        chunks += (form.head if explicit else form.head[:4], pack("<H" if short else "<I", len(value)), value)
    return b"".join(chunks)


def _recoded_items(data: bytes, forms: Mapping[bytes, _Form], encoder: Encoder, explicit: bool) -> bytes:
    chunks: list[bytes] = []
    at = 0
    while at < len(data):
        length = int.from_bytes(data[at + 4 : at + 8], "little")
        body = _recoded(data[at + 8 : at + 8 + length], forms, encoder, explicit)
        chunks += (ITEM, pack("<I", len(body)), body)
        at += 8 + length
    return b"".join(chunks)


def _beyond_ascii(data: bytes, forms: Mapping[bytes, _Form]) -> bool:
    at = 0
    while at < len(data):
        form = forms[data[at : at + 4]]
        length = ELEMENT.unpack_from(data, at)[2]
        value = data[at + 8 : at + 8 + length]
        at += 8 + length
        if form.vr == "SQ":
            if _items_beyond_ascii(value, form.inside):
                return True
        elif form.vr in TEXT and not value.isascii():
            return True
    return False


def _items_beyond_ascii(data: bytes, forms: Mapping[bytes, _Form]) -> bool:
    at = 0
    while at < len(data):
        length = int.from_bytes(data[at + 4 : at + 8], "little")
        if _beyond_ascii(data[at + 8 : at + 8 + length], forms):
            return True
        at += 8 + length
    return False
