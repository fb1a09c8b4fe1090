"""What a query asks of the slots of a stored step, as parts to be cut out one after the other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from broker.dataset.reading import Item
from broker.mapping.layout import Slot
from broker.mapping.row import STATION, Row

IDENTIFIER_LEVEL = frozenset({0x00080005, 0x00080201})
"""Character set and time zone: no keys, never matched (PS3.4 Table K.6-1a)."""

Shape = tuple[tuple[int, bool, "Shape | None"], ...]
"""What a query asks for, without the values: tags, ascending; whether each has a value; of a sequence the keys in its
item, None when it asks for all of it (PS3.4 K.2.2.1.2 note 4)."""


@dataclass(frozen=True, slots=True)
class Run:
    """Neighbouring slots, taken as they lie."""

    first: int
    end: int


@dataclass(frozen=True, slots=True)
class KnownOnly:
    """A slot that is left out when its value is not known."""

    number: int


@dataclass(frozen=True, slots=True)
class Filled:
    """The station's slot, filled for an open step."""

    number: int
    tag: int


@dataclass(frozen=True, slots=True)
class Chosen:
    """Some of the members of a sequence that rows stand in. end: number of the slot after all its members."""

    number: int
    end: int
    tag: int
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Items:
    """Some of the members of each item of a sequence. members: tag -> the members asked in it, None for all of it."""

    number: int
    tag: int
    known_only: bool
    members: Mapping[int, Any]


Part = Run | KnownOnly | Filled | Chosen | Items


def shape_of(asked: Item) -> Shape:
    """The shape of a query's identifier."""
    return tuple((tag, _has_value(asked[tag]), _shape_inside(asked[tag])) for tag in sorted(asked))


def _shape_inside(value: bytes | tuple[Item, ...]) -> Shape | None:
    return shape_of(value[0]) if isinstance(value, tuple) and value and value[0] else None


def _has_value(value: bytes | tuple[Item, ...]) -> bool:
    if isinstance(value, bytes):
        return value.strip(b" \0") != b""
    return any(_has_value(inner) for item in value for inner in item.values())


class Planner:
    """Walks a query beside the slots; notes whether it asks for something that is not supported."""

    def __init__(self, absent_type_3: bool) -> None:
        self._absent_type_3 = absent_type_3
        self.unsupported = False

    def parts(self, slots: tuple[Slot, ...], asked: Shape) -> tuple[Part, ...]:
        by_tag = {slot.row.tag: slot for slot in slots}
        found: list[Part] = []
        for tag, has_value, inside in asked:
            slot = by_tag.get(tag)
            if slot is not None:
                found += self._part(slot, has_value, inside)
            else:
                self._unsupported_key(tag)
        return _merged(found)

    def _unsupported_key(self, tag: int) -> None:
        if tag & 0xFFFF and tag not in IDENTIFIER_LEVEL:
            self.unsupported = True

    def _part(self, slot: Slot, has_value: bool, inside: Shape | None) -> list[Part]:
        self._note_unmatched(slot.row, has_value)
        if inside is None or slot.row.vr != "SQ":
            return self._whole(slot)
        if slot.children:
            return [_whole_or_chosen(slot.number, slot.end, slot.row.tag, self.parts(slot.children, inside))]
        members = self._members(slot.row, inside)
        if _is_all_of(slot.row, members):
            return self._whole(slot)
        known_only = self._absent_type_3 and slot.row.returns == "3"
        return [Items(slot.number, slot.row.tag, known_only, members)]

    def _note_unmatched(self, row: Row, has_value: bool) -> None:
        """A value asked of an attribute that is not matched is ignored, and that is said (PS3.4 K.2.2.1.1.2)."""
        self.unsupported |= has_value and row.match == "none"

    def _whole(self, slot: Slot) -> list[Part]:
        if slot.row.key == STATION:
            return [Filled(slot.number, slot.row.tag)]
        if slot.children and any(self._is_special(inner) for inner in _below(slot)):
            parts = [part for child in slot.children for part in self._whole(child)]
            return [_whole_or_chosen(slot.number, slot.end, slot.row.tag, _merged(parts))]
        return [KnownOnly(slot.number)] if self._is_special(slot) else [Run(slot.number, slot.end)]

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


def _is_all_of(row: Row, asked: Mapping[int, Any]) -> bool:
    """Whether nothing that an item may hold is left out."""
    return all(
        member.tag in asked and (asked[member.tag] is None or _is_all_of(member, asked[member.tag]))
        for member in row.members
    )


def _whole_or_chosen(number: int, end: int, tag: int, parts: tuple[Part, ...]) -> Part:
    return Run(number, end) if parts == (Run(number + 1, end),) else Chosen(number, end, tag, parts)


def _below(slot: Slot) -> Iterator[Slot]:
    for child in slot.children:
        yield child
        yield from _below(child)


def _merged(parts: list[Part]) -> tuple[Part, ...]:
    """Runs that touch become one."""
    merged: list[Part] = []
    for part in parts:
        last = merged[-1] if merged else None
        if isinstance(part, Run) and isinstance(last, Run) and last.end == part.first:
            merged[-1] = Run(last.first, part.end)
        else:
            merged.append(part)
    return tuple(merged)


def without_filling(parts: tuple[Part, ...]) -> tuple[Part, ...]:
    """The same for a step that has stations of its own: theirs is a slot like others."""
    plain: list[Part] = []
    for part in parts:
        if isinstance(part, Filled):
            plain.append(Run(part.number, part.number + 1))
        elif isinstance(part, Chosen):
            plain.append(_whole_or_chosen(part.number, part.end, part.tag, without_filling(part.parts)))
        else:
            plain.append(part)
    return _merged(plain)


def numbers_of(parts: tuple[Part, ...]) -> Iterator[int]:
    """All slots that an answer may take text from."""
    for part in parts:
        if isinstance(part, Run):
            yield from range(part.first, part.end)
        elif isinstance(part, Chosen):
            yield from numbers_of(part.parts)
        else:
            yield part.number
