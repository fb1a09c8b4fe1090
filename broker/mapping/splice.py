"""A query and a stored step to an encoded answer: what was asked is cut out of the stored elements and joined."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from struct import pack, unpack_from
from typing import Any

from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from broker.domain.request import Value
from broker.mapping import charsets
from broker.mapping.convert import Converter, text_beyond_ascii
from broker.mapping.encode import encode_texts, opened
from broker.mapping.fit import LONG_TEXT, TEXT
from broker.mapping.layout import (
    BINARY,
    ELEMENT,
    HEAD,
    ITEM,
    OPENED_BYTES,
    Layout,
    Slot,
    assemble,
    element,
    unknown,
    walk,
)
from broker.mapping.reading import Item, charset_of
from broker.mapping.row import STATION, Row
from broker.mapping.rows import RowSet

PENDING = 0xFF00
PENDING_WITH_UNSUPPORTED_KEYS = 0xFF01
"""Matches are continuing, but one or more optional keys were not supported (PS3.4 Table K.4-1)."""

_IDENTIFIER_LEVEL = frozenset({0x00080005, 0x00080201})
"""Character set and time zone: no keys, never matched (PS3.4 Table K.6-1a)."""
_CHARACTER_SET = 0x00080005


@dataclass(frozen=True, slots=True)
class _Run:
    """Neighbouring slots, taken as they lie."""

    first: int
    end: int


@dataclass(frozen=True, slots=True)
class _KnownOnly:
    """A slot that is left out when its value is not known."""

    number: int


@dataclass(frozen=True, slots=True)
class _Station:
    """The station's slot, filled for an open step."""

    number: int
    tag: int


@dataclass(frozen=True, slots=True)
class _Chosen:
    """Some of the members of a sequence that rows stand in."""

    number: int
    tag: int
    parts: tuple[_Part, ...]


@dataclass(frozen=True, slots=True)
class _Items:
    """Some of the members of each item of a sequence. members: tag -> the members asked in it, None for all of it."""

    number: int
    tag: int
    known_only: bool
    members: Mapping[int, Any]


_Part = _Run | _KnownOnly | _Station | _Chosen | _Items


class Plan:
    """What one query asks of every step: made once, used for each answer. Build it with `plan`."""

    def __init__(
        self, layout: Layout, parts: tuple[_Part, ...], names: tuple[str, ...], explicit: bool, pending_status: int
    ) -> None:
        self.pending_status = pending_status
        self._layout = layout
        self._prefix = layout.prefix
        self._table = layout.table
        self._parts = parts
        self._explicit = explicit
        self._names = names
        self._asked = frozenset(_numbers(parts, layout))
        self._converter = Converter(layout.slots, explicit)
        self._encoder = charsets.encoder_of(names) if names not in ((), (charsets.UTF_8,)) else None

    def dataset(self, elements: bytes, station: str | None = None) -> bytes:
        """Encode the answer for one step.

        elements  stored form of the step (`encode`); one that was made by other rows is read by its tags
        station   AE title that an open step answers with
        returns   the dataset in the query's transfer syntax, tags ascending, (0008,0005) only when text needs it
        """
        if not elements.startswith(self._prefix):
            elements = relaid(self._layout, elements)
        offsets = self._table.unpack_from(elements, HEAD.size)
        body = b"".join(_cut(self._parts, elements, offsets, station))
        if elements[14:16] != b"\0\0" and not self._asked.isdisjoint(_marks(elements, self._table.size)):
            return self._beyond_ascii(body)
        return self._converter.explicit(body) if self._explicit else body

    def _beyond_ascii(self, body: bytes) -> bytes:
        if not text_beyond_ascii(self._converter, body):
            return self._converter.explicit(body) if self._explicit else body
        if self._encoder is not None:
            try:
                return self._charset("\\".join(self._names)) + self._converter.recoded(body, self._encoder)
            except UnicodeError:
                pass
        return self._charset(charsets.UTF_8) + (self._converter.explicit(body) if self._explicit else body)

    def _charset(self, names: str) -> bytes:
        value = encode_texts("CS", [names])
        return b"\x08\0\x05\0CS" + pack("<H", len(value)) + value if self._explicit else element(_CHARACTER_SET, value)


Shape = tuple[tuple[int, bool, "Shape | None"], ...]
"""What a query asks for, without the values: tags, ascending; whether each has a value; of a sequence the keys in its
item, None when it asks for all of it (PS3.4 K.2.2.1.2 note 4)."""

KEPT_PLANS = 256
"""Plans kept: a scanner asks in the same shape every time."""


def plan(rows: RowSet, asked: Item, transfer_syntax_uid: str, *, absent_type_3: bool = False) -> Plan:
    """Prepare the answers to a query.

    rows           rows of the site
    asked          the query's identifier
    transfer_syntax_uid  Implicit or Explicit VR Little Endian
    absent_type_3  True: a type 3 attribute without a value is left out, not returned with zero length
    raises         ValueError for another transfer syntax
    source         PS3.4 K.2.2.1.2, K.4.1.1.3.2
    """
    if transfer_syntax_uid not in (ImplicitVRLittleEndian, ExplicitVRLittleEndian):
        raise ValueError("answers are made in Implicit and Explicit VR Little Endian only")
    explicit = transfer_syntax_uid == ExplicitVRLittleEndian
    return _plan(rows, _shape(asked), charset_of(asked), explicit, absent_type_3)


def _shape(asked: Item) -> Shape:
    return tuple((tag, _has_value(asked[tag]), _shape_inside(asked[tag])) for tag in sorted(asked))


def _shape_inside(value: bytes | tuple[Item, ...]) -> Shape | None:
    return _shape(value[0]) if isinstance(value, tuple) and value and value[0] else None


def _has_value(value: bytes | tuple[Item, ...]) -> bool:
    if isinstance(value, bytes):
        return value.strip(b" \0") != b""
    return any(_has_value(inner) for item in value for inner in item.values())


@lru_cache(maxsize=KEPT_PLANS)
def _plan(rows: RowSet, asked: Shape, names: tuple[str, ...], explicit: bool, absent_type_3: bool) -> Plan:
    planner = _Planner(absent_type_3)
    parts = planner.parts(rows.layout.roots, asked)
    status = PENDING_WITH_UNSUPPORTED_KEYS if planner.unsupported else PENDING
    return Plan(rows.layout, parts, names, explicit, status)


class _Planner:
    """Walks a query beside the slots; notes whether it asks for something that is not supported."""

    def __init__(self, absent_type_3: bool) -> None:
        self._absent_type_3 = absent_type_3
        self.unsupported = False

    def parts(self, slots: tuple[Slot, ...], asked: Shape) -> tuple[_Part, ...]:
        by_tag = {slot.row.tag: slot for slot in slots}
        found: list[_Part] = []
        for tag, has_value, inside in asked:
            slot = by_tag.get(tag)
            if slot is not None:
                found += self._part(slot, has_value, inside)
            else:
                self._unsupported_key(tag)
        return _merged(found)

    def _unsupported_key(self, tag: int) -> None:
        if tag & 0xFFFF and tag not in _IDENTIFIER_LEVEL:
            self.unsupported = True

    def _part(self, slot: Slot, has_value: bool, inside: Shape | None) -> list[_Part]:
        self._note_unmatched(slot.row, has_value)
        if inside is None or slot.row.vr != "SQ":
            return self._whole(slot)
        if slot.children:
            return [_Chosen(slot.number, slot.row.tag, self.parts(slot.children, inside))]
        known_only = self._absent_type_3 and slot.row.returns == "3"
        return [_Items(slot.number, slot.row.tag, known_only, self._members(slot.row, inside))]

    def _note_unmatched(self, row: Row, has_value: bool) -> None:
        """A value asked of an attribute that is not matched is ignored, and that is said (PS3.4 K.2.2.1.1.2)."""
        self.unsupported |= has_value and row.match == "none"

    def _whole(self, slot: Slot) -> list[_Part]:
        if slot.row.key == STATION:
            return [_Station(slot.number, slot.row.tag)]
        if slot.children and any(self._is_special(inner) for inner in _below(slot)):
            parts = [part for child in slot.children for part in self._whole(child)]
            return [_Chosen(slot.number, slot.row.tag, _merged(parts))]
        return [_KnownOnly(slot.number)] if self._is_special(slot) else [_Run(slot.number, slot.end)]

    def _is_special(self, slot: Slot) -> bool:
        return slot.row.key == STATION or (self._absent_type_3 and slot.row.returns == "3")

    def _members(self, row: Row, asked: Shape) -> Mapping[int, Any]:
        by_tag = {member.tag: member for member in row.members}
        found: dict[int, Any] = {}
        for tag, has_value, inside in asked:
            member = by_tag.get(tag)
            if member is None:
                self._unsupported_key(tag)
                continue
            self._note_unmatched(member, has_value)
            found[tag] = None if inside is None or member.vr != "SQ" else self._members(member, inside)
        return found


def _below(slot: Slot) -> Iterator[Slot]:
    for child in slot.children:
        yield child
        yield from _below(child)


def _merged(parts: list[_Part]) -> tuple[_Part, ...]:
    """Runs that touch become one."""
    merged: list[_Part] = []
    for part in parts:
        last = merged[-1] if merged else None
        if isinstance(part, _Run) and isinstance(last, _Run) and last.end == part.first:
            merged[-1] = _Run(last.first, part.end)
        else:
            merged.append(part)
    return tuple(merged)


def _numbers(parts: tuple[_Part, ...], layout: Layout) -> Iterator[int]:
    for part in parts:
        if isinstance(part, _Run):
            yield from range(part.first, part.end)
        elif isinstance(part, _Chosen):
            yield from _numbers(part.parts, layout)
        else:
            yield part.number


def _cut(parts: tuple[_Part, ...], elements: bytes, offsets: tuple[int, ...], station: str | None) -> list[bytes]:
    chunks: list[bytes] = []
    for part in parts:
        if type(part) is _Run:
            chunks.append(elements[offsets[part.first] : offsets[part.end]])
        elif type(part) is _Chosen:
            chunks += _cut_chosen(part, elements, offsets, station)
        else:
            chunk = elements[offsets[part.number] : offsets[part.number + 1]]  # type: ignore[union-attr]
            chunks.append(_single(part, chunk, station))
    return chunks


def _cut_chosen(part: _Chosen, elements: bytes, offsets: tuple[int, ...], station: str | None) -> list[bytes]:
    head = elements[offsets[part.number] : offsets[part.number + 1]]
    if len(head) < OPENED_BYTES:
        return [head]
    inner = _cut(part.parts, elements, offsets, station)
    return [opened(part.tag, sum(map(len, inner))), *inner]


def _single(part: _Part, chunk: bytes, station: str | None) -> bytes:
    if isinstance(part, _Station):
        return element(part.tag, encode_texts("AE", [station])) if not chunk and station else chunk
    if isinstance(part, _Items):
        return _cut_items(part, chunk)
    return chunk if len(chunk) > ELEMENT.size else b""


def _cut_items(part: _Items, chunk: bytes) -> bytes:
    if len(chunk) <= ELEMENT.size:
        return b"" if part.known_only else chunk
    return element(part.tag, _filtered(chunk[ELEMENT.size :], part.members))


def _filtered(items: bytes, members: Mapping[int, Any]) -> bytes:
    kept = []
    for _, item in walk(items):
        body = b"".join(
            element(tag, value if members[tag] is None else _filtered(value, members[tag]))
            for tag, value in walk(item)
            if tag in members
        )
        kept.append(ITEM + pack("<I", len(body)) + body)
    return b"".join(kept)


def _marks(elements: bytes, table_bytes: int) -> tuple[int, ...]:
    count = int.from_bytes(elements[14:16], "little")
    return unpack_from(f"<{count}H", elements, HEAD.size + table_bytes)


def relaid(layout: Layout, elements: bytes) -> bytes:
    """A stored form that other rows made, laid out anew by its tags; what it lacks is unknown.

    raises  ValueError when it is no stored form, or of a version we do not know
    """
    if elements.startswith(layout.prefix):
        return elements
    if len(elements) < HEAD.size or not elements.startswith(layout.prefix[:4]):
        raise ValueError("not the stored form of a step")
    _, _, _, slots, marks = HEAD.unpack_from(elements)
    begin = HEAD.size + 4 * (slots + 1) + 2 * marks
    pieces: list[bytes] = []
    found_marks: list[int] = []
    _relay(layout.roots, dict(walk(elements[begin:])), pieces, found_marks)
    return assemble(layout, pieces, found_marks)


def _relay(slots: tuple[Slot, ...], found: Mapping[int, bytes], pieces: list[bytes], marks: list[int]) -> None:
    for slot in slots:
        value = found.get(slot.row.tag)
        if not value:
            pieces.append(unknown(slot))
            pieces += [b""] * (slot.end - slot.number - 1)
        elif slot.children:
            here = len(pieces)
            pieces.append(b"")
            _relay(slot.children, dict(walk(next(walk(value))[1])), pieces, marks)
            pieces[here] = opened(slot.row.tag, sum(map(len, pieces[here + 1 :])))
        else:
            pieces.append(element(slot.row.tag, value))
            if not value.isascii() and (slot.row.vr in TEXT or slot.row.vr == "SQ"):
                marks.append(slot.number)


def value_of(rows: RowSet, elements: bytes, key: str) -> Value | None:
    """One value of a stored step, for matching and display; None when it is unknown or no row has the key.

    returns  text; a list of texts for an attribute that may have several; a list of items (keyword -> value)
    """
    layout = rows.layout
    slot = layout.by_key.get(key)
    if slot is None:
        return None
    elements = relaid(layout, elements)
    offsets = layout.table.unpack_from(elements, HEAD.size)
    if slot.children:
        if offsets[slot.number + 1] - offsets[slot.number] < OPENED_BYTES:
            return None
        keys = [(child.row.keyword, value_of(rows, elements, child.row.key)) for child in slot.children]
        return [{keyword: value for keyword, value in keys if value}]
    return _decoded(slot.row, elements[offsets[slot.number] + ELEMENT.size : offsets[slot.end]])


def _decoded(row: Row, value: bytes) -> Value | None:
    if not value:
        return None
    if row.vr == "SQ":
        by_tag = {member.tag: member for member in row.members}
        return [
            {by_tag[tag].keyword: _decoded(by_tag[tag], v) for tag, v in walk(i) if tag in by_tag}
            for _, i in walk(value)
        ]
    if row.vr in BINARY:
        texts = [str(number) for number in unpack_from(BINARY[row.vr], value)]
    else:
        text = value.decode("utf-8", "replace").rstrip("\0 ")
        texts = [text] if row.vr in LONG_TEXT else text.split("\\")
    return texts if row.multi else texts[0]
