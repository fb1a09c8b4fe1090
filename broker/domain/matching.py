"""The law of worklist matching (PS3.4 K.2.2.1, C.2.2.2) as a tree of predicates, and its meaning in Python.

A tree is made once from a query (`mapping.query`) and read twice: here, and by `store.worklist`, which turns the
indexed parts into SQL. A value that is unknown fails every predicate; a universal key makes no predicate at all.
`%` and `_` mean nothing special; `*` is any run of characters, `?` exactly one, and neither can be escaped.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from functools import lru_cache
from typing import Protocol

from broker.domain.request import Value
from broker.domain.rules import Station as KnownStation

START = "start"
"""Virtual key: scheduled start as YYYYMMDDHHMMSS, which date and time ranges are joined on."""


MOST_NAME_CHARACTERS = 1_000
"""Of a name that count; the standard allows 64 in each of its three groups (PS3.5 6.2)."""

MOST_MARKS = 30
"""Combining marks on one letter that count: what Unicode calls stream-safe has no more (UAX #15-D3)."""

KEPT_PATTERNS = 256
"""Wild card keys kept in the form that compares: one is compared with step after step."""


class Meaning(Enum):
    """How `Between` reads a stored value before it compares text."""

    TEXT = "text"
    DATE = "date"
    TIME = "time"


@dataclass(frozen=True, slots=True)
class All:
    """Every part holds; without parts: everything matches."""

    parts: tuple[Predicate, ...] = ()


@dataclass(frozen=True, slots=True)
class Either:
    """At least one part holds: a key with several values (undefined by PS3.4 for most VRs; read as alternatives)."""

    parts: tuple[Predicate, ...]


@dataclass(frozen=True, slots=True)
class Equals:
    """Single value matching: case-sensitive, spaces at both ends meaningless."""

    key: str
    value: str


@dataclass(frozen=True, slots=True)
class AnyOf:
    """List of UID matching: equal to one of the values."""

    key: str
    values: frozenset[str]


@dataclass(frozen=True, slots=True)
class Like:
    """Wildcard matching: case-sensitive."""

    key: str
    pattern: str


@dataclass(frozen=True, slots=True)
class NameLike:
    """Person name matching on folded text (`fold`), with or without wild cards.

    A pattern with `=` is compared group by group; an empty group of it asks nothing. A pattern without `=` is compared
    with the alphabetic group when it is ASCII once folded, else with every group of the stored name.
    """

    key: str
    folded_pattern: str


@dataclass(frozen=True, slots=True)
class Between:
    """Range matching, both ends included; None: open end. Ends are full length, as `meaning` writes stored values."""

    key: str
    low: str | None
    high: str | None
    meaning: Meaning = Meaning.TEXT


@dataclass(frozen=True, slots=True)
class Station:
    """Scheduled Station AE Title, single or with wild cards.

    modalities  what the asked station is known to do (`with_known_stations`); empty: unknown, excludes no open step
    """

    ae_title: str
    modalities: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class AnyItem:
    """Sequence matching: all keys hold in one and the same item. The keys of `item` are keywords inside the item."""

    key: str
    item: All


Predicate = All | Either | Equals | AnyOf | Like | NameLike | Between | Station | AnyItem


class MatchView(Protocol):
    """A scheduled step as matching sees it."""

    @property
    def stations(self) -> tuple[str, ...]:
        """Stations it is planned on; empty: open to every station that does its modality."""

    @property
    def modality(self) -> str | None: ...

    def value(self, key: str) -> Value | None:
        """The stored value of a row key, or of START; None when unknown."""


def matches(tree: Predicate, step: MatchView) -> bool:
    """True when the step answers the query."""
    if isinstance(tree, All):
        return all(matches(part, step) for part in tree.parts)
    if isinstance(tree, Either):
        return any(matches(part, step) for part in tree.parts)
    if isinstance(tree, Station):
        return _station_matches(tree, step)
    if isinstance(tree, AnyItem):
        items = step.value(tree.key)
        return isinstance(items, list) and any(isinstance(i, Mapping) and _item_matches(tree.item, i) for i in items)
    return _any_value(step.value(tree.key), _test_of(tree))


def with_known_stations(tree: Predicate, known: Mapping[str, KnownStation]) -> Predicate:
    """The same tree, each asked station carrying the modalities that the site's profile names for it."""
    if isinstance(tree, All):
        return All(tuple(with_known_stations(part, known) for part in tree.parts))
    if isinstance(tree, Either):
        return Either(tuple(with_known_stations(part, known) for part in tree.parts))
    if isinstance(tree, Station) and tree.ae_title in known:
        return replace(tree, modalities=frozenset(known[tree.ae_title].modalities))
    return tree


def is_universal(pattern: str) -> bool:
    """True for a key that asks nothing: empty, or `*` alone (PS3.4 C.2.2.2.3, C.2.2.2.4 note 1)."""
    return not pattern.strip().strip("*")


def has_wildcard(pattern: str) -> bool:
    return "*" in pattern or "?" in pattern


def without_repeated_stars(pattern: str) -> str:
    """The same pattern, with one `*` for each run of them."""
    return _STARS.sub("*", pattern) if "**" in pattern else pattern


_STARS = re.compile(r"\*+")


def fold(name: str) -> str:
    """A person name without case and accents, spaces around components and empty components at the end removed.

    Two names are the same for matching when their folds are equal. Wild cards pass unchanged. Of a name that is longer
    than MOST_NAME_CHARACTERS the beginning counts.
    """
    name = name[:MOST_NAME_CHARACTERS]
    bare = name.lower() if name.isascii() else _without_accents(name)
    folded = ["^".join([part.strip() for part in group.split("^")]).rstrip("^") for group in bare.split("=")]
    return "=".join(folded).rstrip("=")


def _without_accents(name: str) -> str:
    if len(name) > MOST_MARKS:
        name = _stream_safe(name)
    decomposed = unicodedata.normalize("NFD", unicodedata.normalize("NFD", name).casefold())
    # Combining marks of other scripts are vowels or consonants of their own and stay.
    bare = "".join(char for char in decomposed if not "\u0300" <= char <= "\u036f").translate(_PLAIN_LETTERS)
    return unicodedata.normalize("NFC", bare)


def _stream_safe(name: str) -> str:
    """Without the marks of a run beyond MOST_MARKS: normalizing takes the square of a run."""
    kept: list[str] = []
    run = 0
    for char in name:
        run = run + 1 if unicodedata.combining(char) else 0
        if run <= MOST_MARKS:
            kept.append(char)
    return "".join(kept)


_PLAIN_LETTERS = str.maketrans({"ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "æ": "ae", "œ": "oe", "ı": "i"})
"""Letters that readers take for an accented one but that Unicode does not decompose."""


def wildcard_matches(pattern: str, text: str) -> bool:
    """True when `pattern` (with * and ?) covers all of `text`; time is at most pattern length x text length."""
    return _comparing(pattern).fullmatch(text) is not None


@lru_cache(maxsize=KEPT_PATTERNS)
def _comparing(pattern: str) -> re.Pattern[str]:
    """The pattern as a regular expression that never goes back before a part between two stars once it is found."""
    first, *others = (".".join(map(re.escape, part.split("?"))) for part in pattern.split("*"))
    if not others:
        return re.compile(first, re.DOTALL)
    *between, last = others
    found = "".join(f"(?>.*?{part})" for part in between if part)
    return re.compile(f"{first}{found}.*{last}", re.DOTALL)


def name_matches(folded_pattern: str, folded_name: str) -> bool:
    """True when a folded key finds a folded name; the rule for groups stands at `NameLike`."""
    groups = folded_name.split("=")
    if "=" in folded_pattern:
        asked = folded_pattern.split("=")
        groups += [""] * (len(asked) - len(groups))
        return all(_group_matches(part, group) for part, group in zip(asked, groups, strict=False))
    if folded_pattern.isascii():
        return _group_matches(folded_pattern, groups[0])
    return any(_group_matches(folded_pattern, group) for group in groups)


def _group_matches(pattern: str, group: str) -> bool:
    return is_universal(pattern) or (bool(group) and wildcard_matches(pattern, group))


def comparable(value: str, meaning: Meaning) -> str:
    """A stored value in the form that range ends have; "" when it is none.

    Dates are YYYYMMDD (old form YYYY.MM.DD too), times HHMMSS.FFFFFF with missing parts as zero (10:15 = 10:15:00).
    """
    if meaning is Meaning.DATE:
        return value.strip().replace(".", "")
    if meaning is Meaning.TIME:
        clock, _, fraction = value.strip().replace(":", "").partition(".")
        return f"{clock:0<6}.{fraction:0<6}" if clock else ""
    return value.strip()


def _station_matches(asked: Station, step: MatchView) -> bool:
    if not step.stations:
        return not asked.modalities or step.modality in asked.modalities
    return any(wildcard_matches(asked.ae_title, title) for title in step.stations)


def _item_matches(tree: Predicate, item: Mapping[str, Value]) -> bool:
    if isinstance(tree, All):
        return all(_item_matches(part, item) for part in tree.parts)
    if isinstance(tree, Either):
        return any(_item_matches(part, item) for part in tree.parts)
    if isinstance(tree, Station):
        return False
    if isinstance(tree, AnyItem):
        items = item.get(tree.key)
        return isinstance(items, list) and any(isinstance(i, Mapping) and _item_matches(tree.item, i) for i in items)
    return _any_value(item.get(tree.key), _test_of(tree))


def _any_value(value: Value | None, test: Callable[[str], bool]) -> bool:
    """Of a multi-valued attribute any value may match; an empty one is unknown and never does."""
    values = value if isinstance(value, list) else [value]
    return any(isinstance(one, str) and bool(one.strip()) and test(one) for one in values)


def _test_of(leaf: Equals | AnyOf | Like | NameLike | Between) -> Callable[[str], bool]:
    if isinstance(leaf, Equals):
        return lambda value: value.strip() == leaf.value
    if isinstance(leaf, AnyOf):
        return lambda value: value.strip() in leaf.values
    if isinstance(leaf, Like):
        return lambda value: wildcard_matches(leaf.pattern, value.strip())
    if isinstance(leaf, NameLike):
        return lambda value: name_matches(leaf.folded_pattern, fold(value))
    return lambda value: _between(leaf, comparable(value, leaf.meaning))


def _between(leaf: Between, value: str) -> bool:
    if not value:
        return False
    return (leaf.low is None or leaf.low <= value) and (leaf.high is None or value <= leaf.high)
