"""A worklist identifier (PS3.4 K.4.1.1.3, K.6.1) -> what to match and what to return."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from struct import error as StructError
from struct import iter_unpack

from broker.dataset.reading import Item, charset_of, read_identifier, text_of
from broker.domain.matching import (
    All,
    AnyItem,
    AnyOf,
    Either,
    Equals,
    Like,
    Meaning,
    NameLike,
    Predicate,
    Station,
    fold,
    has_wildcard,
    is_universal,
    without_repeated_stars,
)
from broker.errors import BeyondBounds, UnreadableDataset
from broker.mapping.layout import BINARY
from broker.mapping.moments import Span, between, date_span, start_predicates, time_span
from broker.mapping.row import START_DATE, START_TIME, STATION, STATUS, Row
from broker.mapping.rows import RowSet
from broker.mapping.splice import Plan, plan

WILDCARD_VRS = frozenset({"AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT"})
"""VRs in which * and ? are wild cards (PS3.4 C.2.2.2.4); also where the worklist asks for single values only."""

SINGLE_VALUE_VRS = frozenset({"LT", "ST", "UR", "UT"})
"""VRs whose backslash is an ordinary character (PS3.5 6.2)."""

MOST_KEYS = 1_000
"""Elements and items of one identifier; scanners send less than a hundred."""

MOST_KEY_BYTES = 65_536
"""Of one key, except a list of UIDs."""

MOST_PATTERN = 1_024
"""Characters of a name, or of a key with wild cards, runs of stars counted as one: five times a whole person name."""

MOST_ALTERNATIVES = 100
"""Values of one key that is no UID; lists are defined for UIDs only (PS3.4 C.2.2.2.2)."""

_IDENTIFIER_LEVEL = frozenset({0x00080005, 0x00080201})
"""Specific Character Set and Timezone Offset From UTC are never matched (PS3.4 Table K.6-1a)."""


@dataclass(frozen=True, slots=True)
class WorklistQuery:
    """A query, read.

    tree              what a step must be like; `domain.matching` and `store.worklist` say what it means
    plan              how answers are made
    asked_station     the AE title that was asked for; None when none was, or a wild card
    calling_ae_title  who asks
    names_status      True when the query asks for a status, so that steps not listed by default may answer
    """

    tree: All
    plan: Plan
    asked_station: str | None
    calling_ae_title: str
    names_status: bool

    @property
    def station(self) -> str:
        """The station that an open step names in its answer."""
        return self.asked_station or self.calling_ae_title


def read_query(
    rows: RowSet,
    identifier: bytes,
    transfer_syntax_uid: str,
    calling_ae_title: str,
    *,
    absent_type_3: bool = False,
) -> WorklistQuery:
    """Read a C-FIND identifier.

    A key without a row, or whose row has match = "none", filters nothing (PS3.4 K.2.2.1.1.2). A key of several values
    that is no UID is read as alternatives: PS3.4 leaves it undefined.

    absent_type_3  type 3 attributes without a value are left out of answers
    raises         UnreadableDataset, with the offending tags, when the identifier does not parse, a sequence key holds
                   more than one item, or a date or time is none; BeyondBounds for too many keys or too long ones
    """
    asked = read_identifier(identifier, transfer_syntax_uid, MOST_KEYS)
    reader = _Reader(rows, charset_of(asked))
    parts = list(reader.keys(asked, ()))
    parts += start_predicates(reader.date, reader.time, START_TIME)
    return WorklistQuery(
        tree=All(tuple(parts)),
        plan=plan(rows, asked, transfer_syntax_uid, absent_type_3=absent_type_3),
        asked_station=reader.station,
        calling_ae_title=calling_ae_title,
        names_status=reader.names_status,
    )


class _Reader:
    """Turns the elements of an identifier into predicates, and notes what the query as a whole must know."""

    def __init__(self, rows: RowSet, charset: tuple[str, ...]) -> None:
        self._rows = rows
        self._charset = charset
        self.date: Span | None = None
        self.time: Span | None = None
        self.station: str | None = None
        self.names_status = False

    def keys(self, asked: Item, levels: tuple[int, ...]) -> Iterator[Predicate]:
        """Predicates of a dataset or item whose attributes stand at these levels, by row key."""
        for tag in sorted(asked):
            if not asked[tag]:
                continue
            row = self._rows.at((*levels, tag))
            if row is None or tag in _IDENTIFIER_LEVEL:
                continue
            if row.vr == "SQ":
                yield from self._sequence(asked, row)
            else:
                yield from self._attribute(asked, row, row.key)

    def _sequence(self, asked: Item, row: Row) -> Iterator[Predicate]:
        item = _only_item(asked, row.tag)
        if item is None or row.match == "none":
            return
        if row.members:
            parts = tuple(self._members(item, row))
            if parts:
                yield AnyItem(row.key, All(parts))
            return
        # The house's own sequences hold one item, whose attributes are rows of their own.
        yield from self.keys(item, row.levels)

    def _members(self, item: Item, row: Row) -> Iterator[Predicate]:
        """Predicates on one item, by the keyword inside the item."""
        known = {member.tag: member for member in row.members}
        for tag in sorted(item):
            member = known.get(tag)
            if member is None or member.match == "none" or not item[tag]:
                continue
            if member.vr != "SQ":
                yield from self._attribute(item, member, member.keyword)
                continue
            inner = _only_item(item, member.tag)
            parts = () if inner is None else tuple(self._members(inner, member))
            if parts:
                yield AnyItem(member.keyword, All(parts))

    def _attribute(self, asked: Item, row: Row, key: str) -> Iterator[Predicate]:
        values = self._values(asked, row)
        if not values or row.match == "none":
            return
        if key == START_DATE:
            self.date = date_span(_single(values, row.tag), row.tag)
            return
        if key == START_TIME:
            self.time = time_span(_single(values, row.tag), row.tag)
            return
        self.names_status |= key == STATUS
        if key == STATION:
            self.station = next((value for value in values if not has_wildcard(value)), None)
        if row.vr == "UI":
            yield AnyOf(key, frozenset(values))
            return
        parts = tuple(_predicate(key, row, value) for value in values)
        yield parts[0] if len(parts) == 1 else Either(parts)

    def _values(self, asked: Item, row: Row) -> list[str]:
        """The values of a key, trimmed, empty ones left out; none for a universal key."""
        if len(asked[row.tag]) > MOST_KEY_BYTES and row.vr != "UI":
            raise BeyondBounds("a key is too long", tags=(row.tag,))
        if row.vr in BINARY:
            values = _numbers(asked, row)
        else:
            text = text_of(asked, row.tag, row.vr, self._charset)
            values = [text] if row.vr in SINGLE_VALUE_VRS else [part.strip(" \x00") for part in text.split("\\")]
        if any("\x00" in value for value in values):
            raise UnreadableDataset("a key holds a control character", tags=(row.tag,))
        values = [value for value in values if value]
        if len(values) > MOST_ALTERNATIVES and row.vr != "UI":
            raise BeyondBounds("a key has too many values", tags=(row.tag,))
        if row.vr in WILDCARD_VRS:
            values = [_pattern(value, row) for value in values]
            if any(_asks_nothing(row, value) for value in values):
                return []
        return values


def _pattern(value: str, row: Row) -> str:
    """One value of a key that may have wild cards.

    One that is longer than any value could be breaks its VR (PS3.5 6.2), so the identifier is refused (PS3.4 K.4.1.1.4,
    A900H): databases would each do something else with it.
    """
    value = without_repeated_stars(value)
    if len(value) > MOST_PATTERN and (row.vr == "PN" or has_wildcard(value)):
        raise BeyondBounds("a name or a key with wild cards is too long", tags=(row.tag,))
    return value


def _predicate(key: str, row: Row, value: str) -> Predicate:
    """The predicate of one value, by VR: what a row calls single or wildcard is answered alike, liberally."""
    if key == STATION:
        return Station(value)
    if row.vr == "PN":
        return NameLike(key, fold(value))
    if row.vr == "DA":
        return between(key, date_span(value, row.tag), Meaning.DATE)
    if row.vr == "TM":
        return between(key, time_span(value, row.tag), Meaning.TIME)
    if row.vr in WILDCARD_VRS and has_wildcard(value):
        return Like(key, value)
    return Equals(key, value)


def _asks_nothing(row: Row, value: str) -> bool:
    # What begins with a letter or a digit asks something; most keys do, and folding is dear.
    return not value[0].isalnum() and is_universal(fold(value) if row.vr == "PN" else value)


def _single(values: list[str], tag: int) -> str:
    if len(values) > 1:
        raise UnreadableDataset("a date or time key has several values", tags=(tag,))
    return values[0]


def _only_item(asked: Item, tag: int) -> Item | None:
    """The one item of a sequence key; None when the sequence, or its item, is empty: a universal key."""
    items = asked[tag]
    if not items:
        return None
    if isinstance(items, bytes):
        raise UnreadableDataset("an attribute is no sequence", tags=(tag,))
    if len(items) > 1:
        raise UnreadableDataset("a sequence key holds more than one item", tags=(tag,))
    return items[0] or None


def _numbers(asked: Item, row: Row) -> list[str]:
    """Binary numbers as text; none when the value is empty."""
    value = asked[row.tag]
    try:
        return [str(number) for (number,) in iter_unpack(BINARY[row.vr], value)] if isinstance(value, bytes) else []
    except StructError:
        raise UnreadableDataset("a number cannot be read", tags=(row.tag,)) from None
