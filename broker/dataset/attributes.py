"""Attributes of a peer's dataset as plain text: each read once, in the character sets of its own item."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from broker.dataset import charsets
from broker.dataset.charsets import TEXT
from broker.dataset.reading import SPECIFIC_CHARACTER_SET, Item, charset_of, read_identifier
from broker.dataset.values import moment_of, plain
from broker.errors import BeyondBounds, UnreadableDataset

MOST_VALUE_BYTES = 4_096
"""Bytes of one attribute that are looked at: what is longer is cut to a column a hundredth as long, or refused."""

_PADDING = " \0"
_IMPLICIT, _EXPLICIT = str(ImplicitVRLittleEndian), str(ExplicitVRLittleEndian)


class Attribute(NamedTuple):
    """One attribute as the dictionary has it (PS3.6 6). vr: as which it is read, whatever VR it is sent with."""

    keyword: str
    tag: int
    vr: str


def attribute(keyword: str) -> Attribute:
    """An attribute of the dictionary. raises KeyError when it has none of that name"""
    tag = tag_for_keyword(keyword)
    if tag is None:
        raise KeyError(keyword)
    return Attribute(keyword, tag, dictionary_VR(tag))


class Attributes:
    """A dataset, or an item of one, as its reader wants it."""

    __slots__ = ("_charset", "_item", "_sequences", "_texts")

    def __init__(self, item: Item, charset: tuple[str, ...] = ()) -> None:
        """charset: of the dataset around the item, which holds where the item has none of its own (PS3.5 7.5.3)"""
        self._item = item
        self._charset = charset_of(item) if SPECIFIC_CHARACTER_SET in item else charset
        self._texts: dict[int, str] = {}
        self._sequences: dict[int, tuple[Attributes, ...]] = {}

    def __contains__(self, wanted: Attribute) -> bool:
        return wanted.tag in self._item

    def has_value(self, wanted: Attribute) -> bool:
        """True when there is text, or an item where the attribute is a sequence."""
        return self.count(wanted) > 0 if wanted.vr == "SQ" else self.text(wanted) != ""

    def text(self, wanted: Attribute) -> str:
        """A value, several joined by backslash; "" when absent, empty or a sequence. No control characters."""
        known = self._texts.get(wanted.tag)
        if known is None:
            value = self._item.get(wanted.tag)
            known = as_text(value, wanted.vr, self._charset) if value and isinstance(value, bytes) else ""
            self._texts[wanted.tag] = known
        return known

    def items(self, wanted: Attribute) -> tuple[Attributes, ...]:
        """The items of a sequence; none when it is absent, empty or no sequence."""
        known = self._sequences.get(wanted.tag)
        if known is None:
            value = self._item.get(wanted.tag)
            known = tuple(Attributes(one, self._charset) for one in value) if isinstance(value, tuple) else ()
            self._sequences[wanted.tag] = known
        return known

    def count(self, wanted: Attribute) -> int:
        """How many items a sequence has."""
        value = self._item.get(wanted.tag)
        return len(value) if isinstance(value, tuple) else 0

    def moment(self, date: Attribute, time: Attribute) -> str:
        """Date and time as YYYYMMDDHHMMSS; "" when the date is unknown or unreadable. A missing time is midnight."""
        return moment_of(self.text(date), self.text(time))


def read_attributes(dataset: bytes, transfer_syntax_uid: str) -> Attributes:
    """Read a dataset in Implicit or Explicit VR Little Endian.

    One that is encoded in the other of the two is understood all the same.

    raises  UnreadableDataset when lengths, VRs or sequences do not add up; BeyondBounds
    """
    try:
        return Attributes(read_identifier(dataset, transfer_syntax_uid))
    except BeyondBounds:
        raise
    except UnreadableDataset:
        head = dataset[4:6]  # of the first element: its VR, or half of its length
        found = _EXPLICIT if head.isalpha() and head.isupper() else _IMPLICIT
        if found == transfer_syntax_uid:
            raise
        return Attributes(read_identifier(dataset, found))


def as_text(raw: bytes, vr: str, charset: tuple[str, ...]) -> str:
    """A value as `Attributes.text` has it; of a long one the beginning."""
    raw = raw[:MOST_VALUE_BYTES].rstrip(b" \0")
    value = charsets.readable(vr, raw, charset) if vr in TEXT else raw.decode("latin-1")
    if (trim := _TRIMMED.get(vr)) is not None:
        value = trim(value) if "\\" not in value else "\\".join(map(trim, value.split("\\")))
    return plain(value)


def _without_padding(value: str) -> str:
    return value.rstrip(_PADDING)


def _without_empty_groups(name: str) -> str:
    return name.rstrip("=")


_TRIMMED: Mapping[str, Callable[[str], str]] = {
    "AE": str.strip, "LO": _without_padding, "PN": _without_empty_groups, "SH": _without_padding,
    "UC": _without_padding, "UI": str.strip,
}  # fmt: skip
"""What goes from each of several values (PS3.5 6.2)."""
