"""Dumps: datasets as text, one element a line, as DCMTK's dcmdump writes and its dump2dcm reads them; text to bytes.

Of an element that stands twice the first counts, as in dump2dcm. Values over several lines, which dcmdump writes and
dump2dcm does not take, are read; a value that dcmdump has shortened is left out, because its end is not known.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from struct import error as StructError
from struct import pack
from typing import NamedTuple

from pydicom._uid_dict import UID_dictionary
from pydicom.datadict import dictionary_has_tag, dictionary_VR

from broker.dataset.reading import ITEM, ITEM_END, MOST_ELEMENTS, MOST_LEVELS, SEQUENCE_END
from broker.errors import BeyondBounds, UnreadableDataset
from broker.mapping.layout import BINARY

MOST_LINES_OF_A_VALUE = 1_000
MOST_NUMBERS = 32_767
"""Numbers in one value: a short length (PS3.5 7.1.2) holds no more."""
SHORTENED = "a value was shortened by dcmdump (its option +L keeps all)"

_ELEMENT = re.compile(r"\s*\(([0-9A-Fa-f]{4}),([0-9A-Fa-f]{4})\)(?:\s+(\S{1,2})(?=\s|$))?\s*(.*)", re.DOTALL)
_END = re.compile(r"\]\s*(?:#|$)")
"""The end of a quoted value within its line: a bracket, and behind it nothing or a comment."""
_CUT_OFF = re.compile(r"\[.*\.\.\.\s+#")
_TEXT = frozenset({
    "AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UI", "UR", "UT",
})  # fmt: skip
_LONG = frozenset({"SQ", "UC", "UR", "UT"})
_UIDS = {facts[4]: uid for uid, facts in UID_dictionary.items() if facts[4]}
"""Keyword -> UID, for values like =ModalityWorklistInformationModelFind."""

_Elements = dict[int, bytes]


def looks_like_dump(raw: bytes) -> bool:
    """True when the first line that is neither empty nor a comment begins with a tag."""
    for line in raw[:4096].splitlines():
        text = line.strip()
        if text and not text.startswith(b"#"):
            return _ELEMENT.match(text.decode("latin-1")) is not None
    return False


def encode_dump(raw: bytes) -> tuple[bytes, tuple[str, ...]]:
    """The dataset of a dump in Explicit VR Little Endian, text as it stood, and what was left out, in words.

    raises  UnreadableDataset when a line is no element, or sequences and items do not close
    """
    builder = _Builder()
    for count, (tag, vr, value) in enumerate(_elements(raw)):
        if count == MOST_ELEMENTS:
            raise BeyondBounds("the dump has too many elements")
        builder.take(tag, vr, value)
    return builder.finish(), tuple(builder.notes)


def _elements(raw: bytes) -> Iterator[tuple[int, str, _Written]]:
    """Tag, VR ("" when none is written) and value of each element, a value over several lines in one."""
    # Bytes know no other ends of lines than these; text would also end at parts of letters.
    lines = (line.decode("latin-1") for line in raw.splitlines())
    for line in lines:
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        found = _ELEMENT.fullmatch(line)
        if found is None:
            raise UnreadableDataset("a line of the dump is no element")
        group, number, vr, value = found.groups()
        written = _whole(value, lines) if value.startswith("[") else _Written(_unquoted(value), is_quoted=False)
        yield int(group + number, 16), vr or "", written


class _Written(NamedTuple):
    """A value as it is written. text: without brackets and comment; None for one that dcmdump has shortened."""

    text: str | None
    is_quoted: bool


def _unquoted(value: str) -> str:
    plain = value.partition("#")[0].strip()
    return "" if plain == "(no value available)" else plain


def _whole(first: str, lines: Iterator[str]) -> _Written:
    """A quoted value up to its closing bracket; first: its line from the opening one on."""
    gathered: list[str] = []
    line = first[1:]
    while (end := _END.search(line)) is None:
        if not gathered and _CUT_OFF.match(first):
            return _Written(None, is_quoted=True)
        gathered.append(line)
        following = next(lines, None)
        if following is None or len(gathered) == MOST_LINES_OF_A_VALUE:
            raise UnreadableDataset("a value of the dump has no end")
        line = following
    return _Written("\r\n".join([*gathered, line[: end.start()]]), is_quoted=True)


@dataclass(slots=True)
class _Open:
    """A sequence that is open: its tag, its finished items, and the elements of the item that is open."""

    tag: int
    items: list[bytes] = field(default_factory=list)
    elements: _Elements | None = None


class _Builder:
    """Puts elements together, sequence in sequence."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self._root: _Elements = {}
        self._open: list[_Open] = []

    def take(self, tag: int, vr: str, value: _Written) -> None:
        if tag == ITEM:
            self._begin_item()
        elif tag == ITEM_END:
            self._end_item()
        elif tag == SEQUENCE_END:
            self._end_sequence()
        elif tag >> 16 < 8:
            return  # meta header: what a dump says of its encoding no longer holds
        elif vr == "SQ" or (vr not in _TEXT and vr not in BINARY and _known_vr(tag) == "SQ"):
            if len(self._open) == MOST_LEVELS:
                raise BeyondBounds("sequences are nested too deep", tags=(tag,))
            self._open.append(_Open(tag))
        else:
            self._put(tag, vr if vr in _TEXT or vr in BINARY else _known_vr(tag), value)

    def finish(self) -> bytes:
        if self._open:
            raise UnreadableDataset("the dump ends inside a sequence")
        return _joined(self._root)

    def _here(self) -> _Elements:
        if not self._open:
            return self._root
        elements = self._open[-1].elements
        if elements is None:
            raise UnreadableDataset("a sequence of the dump holds something that is no item")
        return elements

    def _begin_item(self) -> None:
        if not self._open or self._open[-1].elements is not None:
            raise UnreadableDataset("an item of the dump stands in no sequence")
        self._open[-1].elements = {}

    def _end_item(self) -> None:
        if not self._open or self._open[-1].elements is None:
            raise UnreadableDataset("an item of the dump ends that has not begun")
        body = _joined(self._open[-1].elements)
        self._open[-1].items.append(pack("<HHI", ITEM >> 16, ITEM & 0xFFFF, len(body)) + body)
        self._open[-1].elements = None

    def _end_sequence(self) -> None:
        if not self._open or self._open[-1].elements is not None:
            raise UnreadableDataset("a sequence of the dump ends that is not open")
        done = self._open.pop()
        self._here().setdefault(done.tag, _element(done.tag, "SQ", b"".join(done.items)))

    def _put(self, tag: int, vr: str, written: _Written) -> None:
        if vr not in _TEXT and vr not in BINARY:
            return  # bulk data and tags nobody knows: no row could take them
        if written.text is None:
            if SHORTENED not in self.notes:
                self.notes.append(SHORTENED)
            return
        try:
            self._here().setdefault(tag, _element(tag, vr, _value(vr, written.text, written.is_quoted)))
        except (ValueError, OverflowError, StructError):
            raise UnreadableDataset("a value of the dump does not fit its VR", tags=(tag,)) from None


def _known_vr(tag: int) -> str:
    return dictionary_VR(tag).split(" or ")[0] if dictionary_has_tag(tag) else ""


def _value(vr: str, text: str, is_quoted: bool) -> bytes:
    if not is_quoted and vr == "UI" and text.startswith("="):
        text = _UIDS.get(text[1:], "")
    if vr in BINARY:
        kind = float if vr in ("FL", "FD") else int
        return b"".join(pack(BINARY[vr], kind(part)) for part in text.split("\\", MOST_NUMBERS) if part)
    return text.encode("latin-1")


def _element(tag: int, vr: str, value: bytes) -> bytes:
    if len(value) % 2:
        value += b"\0" if vr == "UI" else b" "
    head = pack("<HH2s", tag >> 16, tag & 0xFFFF, vr.encode("ascii"))
    return head + (pack("<HI", 0, len(value)) if vr in _LONG else pack("<H", len(value))) + value


def _joined(elements: _Elements) -> bytes:
    return b"".join(elements[tag] for tag in sorted(elements))
