"""Encoded datasets of peers: checked to be whole before anything is made of them, and their text in Unicode."""

from __future__ import annotations

from io import BytesIO
from struct import Struct

from pydicom.datadict import dictionary_has_tag, dictionary_VR
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset as pydicom_read
from pydicom.uid import ImplicitVRLittleEndian

from broker.errors import UnreadableDataset
from broker.mapping import charsets
from broker.mapping.fit import TEXT

MOST_LEVELS = 16
"""Sequences inside sequences; no worklist or performed step has more than five."""

UNDEFINED = 0xFFFFFFFF
ITEM, ITEM_END, SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
SPECIFIC_CHARACTER_SET = 0x00080005

_PADDING = " \x00"

_LONG_VRS = frozenset({b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"})
_VRS = _LONG_VRS | frozenset(
    {b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"DT", b"FD", b"FL", b"IS", b"LO", b"LT", b"PN", b"SH", b"SL", b"SS",
     b"ST", b"TM", b"UI", b"UL", b"US"}
)  # fmt: skip
_TAG_AND_LENGTH = Struct("<HHL").unpack_from
_TAG_VR_LENGTH = Struct("<HH2sH").unpack_from
_LENGTH = Struct("<L").unpack_from


def read_dataset(encoded: bytes, transfer_syntax_uid: str) -> Dataset:
    """Read a dataset in Implicit or Explicit VR Little Endian.

    Values are converted when they are asked for, and may raise then; `text_of` never does.

    raises  UnreadableDataset when lengths, VRs or sequences do not add up
    """
    implicit = transfer_syntax_uid == ImplicitVRLittleEndian
    _Walk(encoded).elements(0, len(encoded), not implicit, 0)
    try:
        return pydicom_read(BytesIO(encoded), implicit, True)
    except Exception:
        # Whatever it was, it is the peer's dataset; the library's text may quote values.
        raise UnreadableDataset("the dataset cannot be read") from None


def charset_of(dataset: Dataset) -> tuple[str, ...]:
    """The names in a dataset's Specific Character Set; () when it has none."""
    return charsets.names_of(_bytes(dataset, SPECIFIC_CHARACTER_SET).decode("latin-1").strip(_PADDING).split("\\"))


def text_of(dataset: Dataset, tag: int, vr: str, names: tuple[str, ...]) -> str:
    """An element's text as sent, without padding, whatever its value is worth; "" when absent or empty.

    Bytes that mean nothing in the dataset's character sets are read as UTF-8 where they are that, else each as `?`,
    which is a wild card for any one character.
    """
    raw = _bytes(dataset, tag)
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


def _bytes(dataset: Dataset, tag: int) -> bytes:
    element = dataset.get_item(tag)
    raw = getattr(element, "value", None)
    return raw if isinstance(raw, bytes) else b""


class _Walk:
    """Follows lengths through an encoded dataset and raises where they lead outside."""

    def __init__(self, encoded: bytes) -> None:
        self._encoded = encoded

    def elements(self, at: int, end: int, explicit: bool, level: int, delimited: bool = False) -> int:
        """Walk elements up to `end`, or up to and over an item delimiter; returns where it stopped."""
        if level > MOST_LEVELS:
            raise UnreadableDataset("sequences are nested too deep")
        while at < end:
            if end - at < 8:
                raise UnreadableDataset("the dataset ends inside an element")
            group, number, length = _TAG_AND_LENGTH(self._encoded, at)
            tag = group << 16 | number
            if delimited and tag == ITEM_END:
                return at + 8
            if group < 8 or group == 0xFFFE:
                raise UnreadableDataset("an element does not belong into a dataset", tags=(tag,))
            vr, length, start = self._header(at, end, tag, explicit)
            at = self._value(tag, vr, length, start, end, explicit, level)
        if delimited:
            raise UnreadableDataset("an item has no end")
        return at

    def _header(self, at: int, end: int, tag: int, explicit: bool) -> tuple[bytes, int, int]:
        """VR, length and start of the value."""
        if not explicit:
            known = dictionary_VR(tag).encode() if dictionary_has_tag(tag) else b"UN"
            return known, _TAG_AND_LENGTH(self._encoded, at)[2], at + 8
        _, _, vr, length = _TAG_VR_LENGTH(self._encoded, at)
        if vr not in _VRS:
            raise UnreadableDataset("an element has no VR", tags=(tag,))
        if vr not in _LONG_VRS:
            return vr, length, at + 8
        if end - at < 12:
            raise UnreadableDataset("the dataset ends inside an element", tags=(tag,))
        return vr, _LENGTH(self._encoded, at + 8)[0], at + 12

    def _value(self, tag: int, vr: bytes, length: int, start: int, end: int, explicit: bool, level: int) -> int:
        """Walk over a value; returns where the next element begins."""
        if length == UNDEFINED:
            if vr not in (b"SQ", b"UN"):
                raise UnreadableDataset("a value has no length", tags=(tag,))
            # PS3.5 6.2.2: a value of unknown VR and undefined length is a sequence in Implicit VR.
            return self._items(start, end, explicit and vr == b"SQ", level, delimited=True)
        if start + length > end:
            raise UnreadableDataset("a value is longer than what is left of the dataset", tags=(tag,))
        if vr == b"SQ":
            self._items(start, start + length, explicit, level, delimited=False)
        return start + length

    def _items(self, at: int, end: int, explicit: bool, level: int, *, delimited: bool) -> int:
        while at < end:
            if end - at < 8:
                raise UnreadableDataset("the dataset ends inside a sequence")
            group, number, length = _TAG_AND_LENGTH(self._encoded, at)
            tag = group << 16 | number
            at += 8
            if delimited and tag == SEQUENCE_END:
                return at
            if tag != ITEM:
                raise UnreadableDataset("a sequence holds something that is no item", tags=(tag,))
            if length == UNDEFINED:
                at = self.elements(at, end, explicit, level + 1, delimited=True)
            elif at + length > end:
                raise UnreadableDataset("an item is longer than what is left of its sequence")
            else:
                at = self.elements(at, at + length, explicit, level + 1)
        if delimited:
            raise UnreadableDataset("a sequence has no end")
        return at
