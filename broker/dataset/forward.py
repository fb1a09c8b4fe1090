"""A few attributes of a dataset of any size, read forward from a stream: the others are skipped unread.

Law: nothing is read twice, recursion follows the wanted sequences only, and what is kept is bounded before it is made.
Lenient where archives have to be: a skipped element may be anything that has a length.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from struct import Struct
from typing import BinaryIO, Protocol

from broker.dataset.reading import ITEM, ITEM_END, LONG_VRS, SEQUENCE_END, UNDEFINED, VRS, Item
from broker.errors import BeyondBounds, UnreadableDataset

WINDOW_BYTES = 8_192
"""Bytes read at once: most headers of images fit."""

STEP_BYTES = 65_536
"""Bytes that are deflated, or come out, in one step."""

Wanted = Mapping[int, "Wanted | None"]
"""Tags that are read. None: a value; else a sequence, and what is read in its items."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much is read at most.

    read_bytes   of the stream, and of what it unfolds to; what is passed by does not count where a stream can seek
    elements     elements and items that are looked at
    levels       sequences inside sequences, also of those that are passed by
    items        of one sequence; further ones are passed by
    value_bytes  of one value; what is longer is cut
    """

    read_bytes: int
    elements: int = 100_000
    levels: int = 64
    items: int = 100
    value_bytes: int = 4_096


class Source(Protocol):
    """Bytes by their position, which never goes back before that of the call before."""

    def at(self, position: int, size: int) -> bytes:
        """As many bytes as asked for; fewer at the end."""


class PlainSource:
    """The bytes of a stream that can seek, from its current position."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._begin = stream.tell()

    def at(self, position: int, size: int) -> bytes:
        self._stream.seek(self._begin + position)
        return self._stream.read(size)


class DeflatedSource:
    """What a deflated stream (RFC 1951) unfolds to, step by step; skipped bytes are not kept.

    raises  UnreadableDataset; BeyondBounds once it has unfolded to more than most_bytes
    """

    def __init__(self, stream: BinaryIO, most_bytes: int) -> None:
        self._stream = stream
        self._left = most_bytes
        self._inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        self._held = b""
        self._begin = 0

    def at(self, position: int, size: int) -> bytes:
        while self._begin + len(self._held) < position + size:
            self._forget_before(position)
            more = self._next()
            if not more:
                break
            self._held += more
        self._forget_before(position)
        return self._held[:size]

    def _forget_before(self, position: int) -> None:
        gone = min(max(0, position - self._begin), len(self._held))
        self._begin += gone
        self._held = self._held[gone:]

    def _next(self) -> bytes:
        """The next inflated bytes; b"" at the end."""
        out = b""
        try:
            while not out and not self._inflater.eof:
                folded = self._inflater.unconsumed_tail or self._stream.read(STEP_BYTES)
                if not folded:
                    break
                out = self._inflater.decompress(folded, STEP_BYTES)
        except zlib.error:
            raise UnreadableDataset("the deflated dataset cannot be read") from None
        self._left -= len(out)
        if self._left < 0:
            raise BeyondBounds("the header is too long")
        return out


class ForwardReader:
    """Reads elements one after the other; VRs that are missing or wrong are taken as other readers take them."""

    def __init__(self, source: Source, *, explicit: bool, little_endian: bool, bounds: Bounds) -> None:
        order = "<" if little_endian else ">"
        self._source = source
        self._bounds = bounds
        self._explicit = explicit
        self._implicit_head = Struct(f"{order}HHL").unpack_from
        self._explicit_head = Struct(f"{order}HH2sH").unpack_from
        self._length = Struct(f"{order}L").unpack_from
        self._window = b""
        self._begin = 0  # position of the window
        self._at = 0  # of the next element, from the window's beginning
        self._bytes_left = bounds.read_bytes
        self._elements_left = bounds.elements

    def read(self, wanted: Wanted, last_tag: int) -> Item:
        """The wanted elements of the dataset, up to the first tag beyond last_tag.

        raises  BeyondBounds; UnreadableDataset when a sequence does not add up
        """
        # A dataset that is not in the announced encoding differs from its first element on.
        return self._elements(wanted, self._looks_explicit(), None, last_tag)

    def _elements(self, wanted: Wanted, explicit: bool, end: int | None, last_tag: int = 0xFFFFFFFF) -> Item:
        """Elements up to a position, an item's delimiter, or the end of the stream."""
        found: Item = {}
        while end is None or self._begin + self._at < end:
            head = self._head(explicit)
            if head is None:
                break
            tag, vr, length = head
            if tag > last_tag or tag == ITEM_END:
                break
            if tag not in wanted:
                self._pass_by(explicit, vr, length)
            elif (members := wanted[tag]) is None:
                found[tag] = self._value(explicit, vr, length, tag)
            else:
                found[tag] = self._sequence(members, explicit, vr, length, tag)
        return found

    def _head(self, explicit: bool) -> tuple[int, bytes, int] | None:
        """Tag, VR (b"" where it is implicit) and length of the next element; None when there is no whole one."""
        at = self._at
        if len(self._window) < at + 12:
            self._open_window(WINDOW_BYTES)
            at = 0
            if len(self._window) < 8:
                return None
        self._count()
        self._at = at + 8
        if explicit:
            group, number, vr, length = self._explicit_head(self._window, at)
            if vr in LONG_VRS:
                if len(self._window) < at + 12:
                    return None
                self._at = at + 12
                length = self._length(self._window, at + 8)[0]
            if vr in VRS or b"AA" <= vr <= b"ZZ":
                return group << 16 | number, vr, length
        group, number, length = self._implicit_head(self._window, at)
        return group << 16 | number, b"", length

    def _value(self, explicit: bool, vr: bytes, length: int, tag: int) -> bytes:
        """The beginning of a value; b"" for one without length, which is a sequence."""
        if length == UNDEFINED:
            self._pass_by(explicit, vr, length)
            return b""
        kept = min(length, self._bounds.value_bytes)
        if len(self._window) < self._at + kept:
            self._open_window(max(kept, WINDOW_BYTES))
            if len(self._window) < kept:
                raise UnreadableDataset("a value is longer than what is left of the dataset", tags=(tag,))
        value = self._window[self._at : self._at + kept]
        self._at += length
        return value

    def _sequence(self, members: Wanted, explicit: bool, vr: bytes, length: int, tag: int) -> bytes | tuple[Item, ...]:
        """The wanted elements of its items; b"" when the element is not a sequence."""
        if vr not in (b"", b"SQ", b"UN"):
            self._pass_by(explicit, vr, length)
            return b""
        # PS3.5 6.2.2: a sequence sent as UN, by a relay that did not know it, is in Implicit VR.
        explicit = explicit and vr == b"SQ"
        end = None if length == UNDEFINED else self._begin + self._at + length
        found: list[Item] = []
        while end is None or self._begin + self._at < end:
            head = self._head(False)
            if head is None:
                raise UnreadableDataset("the dataset ends inside a sequence", tags=(tag,))
            kind, _, item_length = head
            if kind == SEQUENCE_END:
                break
            if kind != ITEM:
                raise UnreadableDataset("a sequence holds something that is no item", tags=(tag,))
            if len(found) == self._bounds.items:
                self._pass_by_item(explicit, item_length)
                continue
            item_end = None if item_length == UNDEFINED else self._begin + self._at + item_length
            # An item may be in Implicit VR in a dataset that is not.
            found.append(self._elements(members, explicit and self._looks_explicit(), item_end))
            self._go_to(item_end)
        self._go_to(end)
        return tuple(found)

    def _looks_explicit(self) -> bool:
        """Whether the first element has a VR; without an element, what was announced."""
        if len(self._window) < self._at + 6:
            self._open_window(WINDOW_BYTES)
        vr = self._window[self._at + 4 : self._at + 6]
        return vr.isalpha() and vr.isupper() if len(vr) == 2 else self._explicit

    def _pass_by(self, explicit: bool, vr: bytes, length: int) -> None:
        if length != UNDEFINED:
            self._at += length
        else:
            self._pass_by_sequence([explicit and vr != b"UN"])

    def _pass_by_item(self, explicit: bool, length: int) -> None:
        if length != UNDEFINED:
            self._at += length
        else:
            self._pass_by_sequence([explicit], inside_item=True, ends_with_item=True)

    def _pass_by_sequence(
        self, open_ones: list[bool], *, inside_item: bool = False, ends_with_item: bool = False
    ) -> None:
        """Skip a sequence or an item of undefined length, up to its own delimiter.

        open_ones  of each open sequence, whether its elements say their VR
        """
        while open_ones:
            head = self._head(inside_item and open_ones[-1])
            if head is None:
                raise UnreadableDataset("a sequence has no end")
            tag, vr, length = head
            if tag == ITEM_END:
                inside_item = False
                if ends_with_item and len(open_ones) == 1:
                    return
            elif tag == SEQUENCE_END and not inside_item:
                open_ones.pop()
                inside_item = True
            elif inside_item and length == UNDEFINED:
                if len(open_ones) == self._bounds.levels:
                    raise BeyondBounds("sequences are nested too deep", tags=(tag,))
                open_ones.append(open_ones[-1] and vr != b"UN")
                inside_item = False
            elif inside_item:
                self._at += length
            elif tag != ITEM:
                raise UnreadableDataset("a sequence holds something that is no item", tags=(tag,))
            elif length == UNDEFINED:
                inside_item = True
            else:
                self._at += length

    def _go_to(self, position: int | None) -> None:
        if position is not None:
            self._at = position - self._begin

    def _count(self) -> None:
        self._elements_left -= 1
        if self._elements_left < 0:
            raise BeyondBounds("the header has too many elements")

    def _open_window(self, size: int) -> None:
        """Move the window so that it begins at the next element."""
        self._begin += self._at
        self._at = 0
        self._window = self._source.at(self._begin, size)
        self._bytes_left -= len(self._window)
        if self._bytes_left < 0:
            raise BeyondBounds("the header is too long")
