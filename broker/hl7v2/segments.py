"""Where the segments of a message begin and end; a segment itself, and its fields, are made when they are asked for.

The law of this file: the cost of a message is proportional to its bytes, however many segments it has.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import overload

from broker.errors import TooMany

MOST_SEGMENTS = 200_000
"""Segments of one message: of 11 MB with a document in lines of 76 characters there are at most 145,000."""
MOST_NAMES = 256
"""Different names of segments in one message; the standard has 180."""
MOST_CHARACTERS = 100_000
"""Characters of one field that are looked at; the longest value of DICOM that has a limit has 10,240 (LT)."""
MOST_FIELDS = 100
"""Fields of one segment that are looked at; a path names none beyond 99."""
KEPT_SEGMENTS = 128
"""Up to this many segments are kept with their fields once they are made: some eighty rows read a message."""

_NAME = re.compile(r"[A-Z][A-Z0-9]{2}")
_RETURNS = re.compile("\r\r*")  # begins with a letter, which is searched for thirty times as fast as a class
_WINDOW = 1 << 18
"""Characters that are searched without letting other threads run."""


class Segment:
    """One segment; values are still escaped and hold the delimiters.

    name      three characters; "" for a line that is not a segment
    position  index in `message.segments`
    """

    __slots__ = ("_fields", "_of", "name", "position")

    def __init__(self, of: Segments, name: str, position: int) -> None:
        self.name = name
        self.position = position
        self._of = of
        self._fields: list[str] | None = None

    @property
    def ordinal(self) -> int:
        """n-th segment of this name in the message, from 1."""
        return self._of.ordinal(self.position)

    def may_hold(self, text: str, escape: str) -> bool:
        """False when it has this text nowhere, as it is or spelt with escapes; quicker than a look at a field."""
        return self._of.may_hold(self.position, self.position, text, escape)

    def field(self, number: int) -> str:
        """Raw text of a field by its HL7 number, also for MSH; "" when absent; at most MOST_CHARACTERS of it."""
        fields = self._fields
        if fields is None:
            if self._of.is_long(self.position):
                return self._of.field_of_long(self.position, number)
            fields = self._fields = self._of.fields(self.position)
        return fields[number] if number < len(fields) else ""


class Segments(Sequence[Segment]):
    """The segments of a message in order: nine bytes each, beside the text that they are cut from."""

    __slots__ = ("_begins", "_codes", "_ends", "_kept", "_known", "_names", "_separator", "_text")

    def __init__(self, text: str, separator: str) -> None:
        """Raises TooMany past MOST_SEGMENTS or MOST_NAMES, before more than these are kept."""
        self._text = text
        self._separator = separator
        self._begins = array("I")
        self._ends = array("I")
        self._codes = array("B")
        self._names = [""]
        self._known = {"": 0}
        self._cut()
        self._kept: list[Segment] = []
        if len(self._codes) <= KEPT_SEGMENTS:
            self._kept = [self._made(position) for position in range(len(self._codes))]

    def _cut(self) -> None:
        text, separator = self._text, self._separator
        begins, ends, codes = self._begins.append, self._ends.append, self._codes.append
        known = self._known
        for count, (begin, end) in enumerate(_lines(text, separator)):
            name = text[begin : begin + 3]
            if end - begin != 3 and text[begin + 3 : begin + 4] != separator:
                name = ""
            code = known.get(name)
            if code is None:
                code = self._add_name(name)
            if count == MOST_SEGMENTS:
                raise TooMany(f"more than {MOST_SEGMENTS} segments", place=self._place(name, code))
            begins(begin)
            ends(end)
            codes(code)

    def _add_name(self, name: str) -> int:
        if _NAME.fullmatch(name) is None:
            return 0
        if len(self._names) == MOST_NAMES:
            raise TooMany(f"more than {MOST_NAMES - 1} names of segments", place=f"{name}^1")
        self._names.append(name)
        self._known[name] = len(self._names) - 1
        return self._known[name]

    def _place(self, name: str, code: int) -> str:
        """ERR location of the segment that would be the next."""
        return f"{name}^{self._codes.count(code) + 1}" if code else ""

    def __len__(self) -> int:
        return len(self._codes)

    @overload
    def __getitem__(self, at: int) -> Segment: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[Segment]: ...
    def __getitem__(self, at: int | slice) -> Segment | Sequence[Segment]:
        if isinstance(at, slice):
            return [self[position] for position in range(len(self))[at]]
        return self._kept[at] if self._kept else self._made(range(len(self))[at])

    def __iter__(self) -> Iterator[Segment]:
        return iter(self._kept) if self._kept else map(self._made, range(len(self)))

    def _made(self, position: int) -> Segment:
        return Segment(self, self._names[self._codes[position]], position)

    def code(self, name: str) -> int:
        """The number of a name in this message; -1: no segment has it."""
        return self._known.get(name, -1)

    @property
    def codes(self) -> Sequence[int]:
        """Of each segment the number of its name: quicker to compare than names."""
        return self._codes

    def find(self, name: str, begin: int = 0) -> int:
        """Position of the first segment of this name from `begin` on; -1: there is none."""
        try:
            return self._codes.index(self._known[name], begin)
        except (KeyError, ValueError):
            return -1

    def named(self, name: str) -> Iterator[Segment]:
        """All segments of this name."""
        code = self.code(name)
        return (self[at] for at, here in enumerate(self._codes) if here == code)

    def ordinal(self, position: int) -> int:
        return self._codes[: position + 1].count(self._codes[position])

    def may_hold(self, first: int, last: int, text: str, escape: str) -> bool:
        """False when no segment from the first to the last position has this text, as it is or spelt with escapes."""
        begin, end = self._begins[first], self._ends[last]
        return self._text.find(text, begin, end) >= 0 or self._text.find(escape, begin, end) >= 0

    def size(self, positions: range) -> int:
        """Characters of segments that follow each other."""
        return self._ends[positions[-1]] - self._begins[positions[0]] if positions else 0

    def is_long(self, position: int) -> bool:
        return self._ends[position] - self._begins[position] > MOST_CHARACTERS

    def fields(self, position: int) -> list[str]:
        """Fields by their HL7 number; the name is number 0, MSH-1 the separator."""
        text = self._text[self._begins[position] : self._ends[position]]
        fields = text.split(self._separator, MOST_FIELDS)[:MOST_FIELDS]
        if text[:3] == "MSH":
            fields.insert(1, self._separator)
        return fields

    def field_of_long(self, position: int, number: int) -> str:
        """One field of a long segment, which is not split: that would copy all of its text."""
        begin, last = self._begins[position], self._ends[position]
        if self._names[self._codes[position]] == "MSH":
            if number == 1:
                return self._separator
            number -= number > 1
        for _ in range(number):
            end = self._text.find(self._separator, begin, last)
            if end < 0:
                return ""
            begin = end + 1
        end = self._text.find(self._separator, begin, min(last, begin + MOST_CHARACTERS))
        return self._text[begin : end if end >= 0 else min(last, begin + MOST_CHARACTERS)]


class Part(Sequence[Segment]):
    """Segments of a message, by their positions; made when they are looked at."""

    __slots__ = ("_of", "positions")

    def __init__(self, of: Segments, positions: Sequence[int]) -> None:
        self._of = of
        self.positions = positions

    def __len__(self) -> int:
        return len(self.positions)

    @overload
    def __getitem__(self, at: int) -> Segment: ...
    @overload
    def __getitem__(self, at: slice) -> Part: ...
    def __getitem__(self, at: int | slice) -> Segment | Part:
        if isinstance(at, slice):
            return Part(self._of, self.positions[at])
        return self._of[self.positions[at]]

    def __iter__(self) -> Iterator[Segment]:
        return map(self._of.__getitem__, self.positions)

    def may_hold(self, text: str, escape: str) -> bool:
        """False when none of the segments has this text, as it is or spelt with escapes."""
        return bool(self) and self._of.may_hold(self.positions[0], self.positions[-1], text, escape)


def _lines(text: str, separator: str) -> Iterator[tuple[int, int]]:
    """Beginning and end of each line that is not empty.

    Segments end with CR; LF and CRLF are taken too; an LF ends a segment only if a segment's name follows: texts may
    hold one.
    """
    begin = 0
    for end, follows in _ends(text, separator) if "\n" in text else _returns(text):
        if text[end] == "\n":
            while end > begin and text[end - 1] == "\n":  # of several, only the last precedes the name
                end -= 1
        if end > begin:
            yield begin, end
        begin = follows
    if len(text) > begin:
        yield begin, len(text)


def _returns(text: str) -> Iterator[tuple[int, int]]:
    return (found.span() for found in _RETURNS.finditer(text))


def _ends(text: str, separator: str) -> Iterator[tuple[int, int]]:
    """Where each end of a segment begins and ends, looked for in one window after the other."""
    pattern, at = _end_of_segment(separator), 0
    for window in range(0, len(text), _WINDOW):
        for found in pattern.finditer(text, max(at, window), window + _WINDOW + 5):
            if found.start() >= window + _WINDOW:
                break
            at = found.end()
            yield found.span()


@lru_cache(maxsize=8)
def _end_of_segment(separator: str) -> re.Pattern[str]:
    return re.compile(rf"\r\n?|\n(?=[A-Z][A-Z0-9][A-Z0-9]{re.escape(separator)})")
