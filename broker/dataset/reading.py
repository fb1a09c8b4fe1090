"""Identifiers of peers' queries: checked to be whole before anything is made of them, and their text in Unicode.

A reader of our own: pydicom takes a hundred times as long for the few values that a query gives, and longer than the
store takes to find what was asked.
"""

from __future__ import annotations

from functools import lru_cache
from struct import Struct

from pydicom.datadict import dictionary_has_tag, dictionary_VR
from pydicom.uid import ExplicitVRBigEndian, ImplicitVRLittleEndian

from broker.dataset import charsets
from broker.dataset.charsets import TEXT
from broker.errors import BeyondBounds, UnreadableDataset

MOST_LEVELS = 16
"""Sequences inside sequences; no worklist or performed step has more than five."""

MOST_ELEMENTS = 100_000
"""Elements and items of one dataset; a performed step of thirty thousand images has as many."""

KNOWN_TAGS = 4_096
"""Tags whose VR is kept at hand; the whole dictionary has about five thousand."""

UNDEFINED = 0xFFFFFFFF
ITEM, ITEM_END, SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
SPECIFIC_CHARACTER_SET = 0x00080005

_PADDING = " \x00"
_CHARSET_BYTES = 17 * charsets.MOST_SETS

LONG_VRS = frozenset({b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"})
VRS = LONG_VRS | frozenset(
    {b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"DT", b"FD", b"FL", b"IS", b"LO", b"LT", b"PN", b"SH", b"SL", b"SS",
     b"ST", b"TM", b"UI", b"UL", b"US"}
)  # fmt: skip

Item = dict[int, "bytes | tuple[Item, ...]"]
"""Elements by tag: the value as sent, or the items of a sequence. A tag that comes twice holds its last value."""


def read_identifier(encoded: bytes, transfer_syntax_uid: str, most_elements: int = MOST_ELEMENTS) -> Item:
    """Read a dataset in Implicit or Explicit VR Little Endian, or in Explicit VR Big Endian.

    most_elements  elements and items that are made at most
    raises         UnreadableDataset when lengths, VRs or sequences do not add up; BeyondBounds
    """
    explicit = transfer_syntax_uid != ImplicitVRLittleEndian
    order = ">" if transfer_syntax_uid == ExplicitVRBigEndian else "<"
    return _Walk(encoded, order, most_elements).elements(0, len(encoded), explicit, 0)[0]


def charset_of(item: Item) -> tuple[str, ...]:
    """The names in a dataset's Specific Character Set; () when it has none."""
    value = _bytes(item, SPECIFIC_CHARACTER_SET)[:_CHARSET_BYTES]
    return charsets.names_of(value.decode("latin-1").strip(_PADDING).split("\\")) if value else ()


def text_of(item: Item, tag: int, vr: str, names: tuple[str, ...]) -> str:
    """An element's text as sent, without padding, whatever its value is worth; "" when absent, empty or no text.

    Bytes that mean nothing in the dataset's character sets are read as UTF-8 where they are that, else each as `?`,
    which is a wild card for any one character.
    """
    raw = _bytes(item, tag)
    try:
        text = charsets.decode(vr, raw, names) if vr in TEXT else raw.decode("ascii")
    except UnicodeError:
        text = _guessed(raw)
    return text.strip(_PADDING)


def _guessed(raw: bytes) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeError:
        return "".join(chr(byte) if byte < 0x80 else "?" for byte in raw)


def _bytes(item: Item, tag: int) -> bytes:
    value = item.get(tag)
    return value if isinstance(value, bytes) else b""


@lru_cache(maxsize=KNOWN_TAGS)
def vr_of(tag: int) -> str:
    """The VR that the dictionary has for a tag; UN for one that it does not have."""
    return dictionary_VR(tag) if dictionary_has_tag(tag) else "UN"


_HEADS = {
    order: (Struct(f"{order}HHL").unpack_from, Struct(f"{order}HH2sH").unpack_from, Struct(f"{order}L").unpack_from)
    for order in "<>"
}
"""Tag and length; tag, VR and short length; long length. By byte order."""


class _Walk:
    """Follows lengths through an encoded dataset and raises where they lead outside."""

    def __init__(self, encoded: bytes, order: str, most_elements: int) -> None:
        self._encoded = encoded
        self._left = most_elements
        # None takes less than eight bytes, so that short datasets need not be counted.
        self._counts = len(encoded) > 8 * most_elements
        self._tag_and_length, self._tag_vr_length, self._length = _HEADS[order]

    def elements(self, at: int, end: int, explicit: bool, level: int, delimited: bool = False) -> tuple[Item, int]:
        """Read elements up to `end`, or up to and over an item delimiter; also where it stopped."""
        found: Item = {}
        encoded, tag_and_length, counts = self._encoded, self._tag_and_length, self._counts
        while at < end:
            if end - at < 8:
                raise UnreadableDataset("the dataset ends inside an element")
            group, number, length = tag_and_length(encoded, at)
            tag = group << 16 | number
            if delimited and tag == ITEM_END:
                return found, at + 8
            if counts:
                self._count(tag)
            if group < 8 or group == 0xFFFE:
                raise UnreadableDataset("an element does not belong into a dataset", tags=(tag,))
            if explicit:
                vr, length, start = self._header(at, end, tag)
            else:
                vr, start = vr_of(tag), at + 8
            if vr == "SQ" or length == UNDEFINED:
                found[tag], at = self._sequence(tag, vr, length, start, end, explicit, level)
                continue
            at = start + length
            if at > end:
                raise UnreadableDataset("a value is longer than what is left of the dataset", tags=(tag,))
            if vr == "UN" and explicit and vr_of(tag) == "SQ":
                # PS3.5 6.2.2: a sequence sent as UN, by a relay that did not know it, is in Implicit VR.
                found[tag] = self._items(tag, start, at, False, level, delimited=False)[0]
            else:
                found[tag] = encoded[start:at]
        if delimited:
            raise UnreadableDataset("an item has no end")
        return found, at

    def _count(self, tag: int) -> None:
        self._left -= 1
        if self._left < 0:
            raise BeyondBounds("the dataset has too many elements", tags=(tag,))

    def _header(self, at: int, end: int, tag: int) -> tuple[str, int, int]:
        """VR, length and start of an explicit value."""
        _, _, vr, length = self._tag_vr_length(self._encoded, at)
        if vr not in VRS:
            raise UnreadableDataset("an element has no VR", tags=(tag,))
        if vr not in LONG_VRS:
            return vr.decode("ascii"), length, at + 8
        if end - at < 12:
            raise UnreadableDataset("the dataset ends inside an element", tags=(tag,))
        return vr.decode("ascii"), self._length(self._encoded, at + 8)[0], at + 12

    def _sequence(
        self, tag: int, vr: str, length: int, start: int, end: int, explicit: bool, level: int
    ) -> tuple[tuple[Item, ...], int]:
        """Items of a sequence, and where the next element begins."""
        if length == UNDEFINED:
            if vr not in ("SQ", "UN"):
                raise UnreadableDataset("a value has no length", tags=(tag,))
            # PS3.5 6.2.2: a value of unknown VR and undefined length is a sequence in Implicit VR.
            return self._items(tag, start, end, explicit and vr == "SQ", level, delimited=True)
        if start + length > end:
            raise UnreadableDataset("a value is longer than what is left of the dataset", tags=(tag,))
        return self._items(tag, start, start + length, explicit, level, delimited=False)

    def _items(
        self, of: int, at: int, end: int, explicit: bool, level: int, *, delimited: bool
    ) -> tuple[tuple[Item, ...], int]:
        """The items of a sequence, and where it ends. of: its tag"""
        found: list[Item] = []
        while at < end:
            if end - at < 8:
                raise UnreadableDataset("the dataset ends inside a sequence")
            group, number, length = self._tag_and_length(self._encoded, at)
            tag = group << 16 | number
            at += 8
            if delimited and tag == SEQUENCE_END:
                return tuple(found), at
            if tag != ITEM:
                raise UnreadableDataset("a sequence holds something that is no item", tags=(tag,))
            if level == MOST_LEVELS:
                raise BeyondBounds("sequences are nested too deep", tags=(of,))
            if self._counts:
                self._count(of)
            if length == UNDEFINED:
                item, at = self.elements(at, end, explicit, level + 1, delimited=True)
            elif at + length > end:
                raise UnreadableDataset("an item is longer than what is left of its sequence")
            else:
                item, at = self.elements(at, at + length, explicit, level + 1)
            found.append(item)
        if delimited:
            raise UnreadableDataset("a sequence has no end")
        return tuple(found), at
