"""The path language of attribute rows: from "AL1[*]-3.2|3.1" to the pieces of a message that it names.

Path: `[FAMILY:][OWNER/]SEG[sel]-field[rep].component.subcomponent`; alternatives after the dash are parted by `|`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from typing import Protocol

from broker.errors import SettingsError
from broker.hl7v2.escapes import unescape
from broker.hl7v2.reader import Delimiters
from broker.hl7v2.segments import Part, Segment

ALL = 0
"""Selector or repetition `*`."""
DELETED = '""'
"""How a sender takes a value back (HL7 2.5.1 2.5.3.1)."""
MOST_PARTS = 100
"""Components of a field, or subcomponents of a component, that are looked at; a path names none beyond 99."""
MOST_PIECES = 1000
"""Most repetitions and segments that one path gives; a message of 10 MB could name millions."""
FORM = '[FAMILY:][OWNER/]SEG[sel]-field[rep].component.subcomponent, for example PV1-19.1 or OBX[3.1="29463-7"]-5'

_PATH = re.compile(
    r"(?:(?P<family>[A-Z]{3}):)?(?:(?P<owner>[A-Z][A-Z0-9]{2})/)?(?P<segment>[A-Z][A-Z0-9]{2})"
    r"(?:\[(?P<selector>[^\]]+)\])?-(?P<places>.+)"
)
_PLACE = re.compile(
    r"(?P<field>[1-9]\d?)(?:\[(?P<repetition>\*|[1-9]\d?)\])?"
    r"(?:\.(?P<first>[1-9]\d?)(?:\.\.(?P<last>[1-9]\d?)|\.(?P<sub>[1-9]\d?))?)?"
)
_CONDITION = re.compile(r'(?P<field>[1-9]\d?)(?:\.(?P<component>[1-9]\d?))?="(?P<text>[^"]*)"')


@dataclass(frozen=True, slots=True)
class Place:
    """Where in a segment. repetition: from 1, ALL for each; last: end of a slice of components; 0: not given."""

    field: int
    repetition: int = 1
    component: int = 0
    last: int = 0
    subcomponent: int = 0


@dataclass(frozen=True, slots=True)
class Selector:
    """Which of several segments: the number-th, or ALL; with field: those whose field (component) equals the text."""

    number: int = 1
    field: int = 0
    component: int = 1
    text: str = ""

    @property
    def is_plain(self) -> bool:
        """The text holds no delimiter: a segment has it as it is, or with escapes."""
        return "^" not in self.text and "&" not in self.text


@dataclass(frozen=True)
class Path:
    """One HL7 source. places: alternatives, of which the first with a value counts, in each repetition."""

    text: str
    family: str
    owner: str
    segment: str
    selector: Selector
    places: tuple[Place, ...]

    @cached_property
    def simple(self) -> bool:
        """One piece of the first segment, as most paths name."""
        return len(self.places) == 1 and self.places[0].repetition != ALL and self.selector == Selector()

    @cached_property
    def fields(self) -> tuple[tuple[Place, Path], ...]:
        """Each place, with the path of the whole field that it stands in."""
        return tuple((p, replace(self, places=(Place(p.field, p.repetition),))) for p in self.places)


@dataclass(frozen=True, slots=True)
class Fact:
    """A value of the house: "@patient_issuer.1" is its first part; part 0: all of it."""

    text: str
    name: str
    part: int = 0


Source = Path | Fact

FACTS = ("patient_id", "patient_issuer", "other_patient_ids", "study_uid", "status", "study_start")


class Scope(Protocol):
    """The segments that one order sees: its own group's and the patient's."""

    @property
    def family(self) -> str: ...

    @property
    def delimiters(self) -> Delimiters: ...

    def segments(self, name: str, owner: str) -> Sequence[Segment]: ...


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of a message, still escaped.

    splitter  what parts it: the component separator for a field, the subcomponent separator for a component
    segment   where it stands, so that a transform may look beside it (the unit of an OBX)
    """

    raw: str
    splitter: str
    delimiters: Delimiters
    segment: Segment

    @property
    def deleted(self) -> bool:
        return self.raw == DELETED

    def text(self, formatted: bool = False) -> str:
        """All of it as text, in the usual delimiters, without empty parts at the end."""
        marks = self.delimiters
        raw = self.raw
        if (marks.component, marks.subcomponent) != ("^", "&"):
            raw = raw.translate({ord(marks.component): "\x01", ord(marks.subcomponent): "\x02"})
        shown = unescape(raw, marks, formatted).replace("\x01", "^").replace("\x02", "&")
        return shown.rstrip("^&") if self.splitter and self.splitter in self.raw else shown

    def parts(self) -> list[str]:
        """Its parts as text; a part that says `""` is empty, of a part with subcomponents the first counts."""
        if not self.splitter:
            return [self._plain(self.raw)]
        return [self._plain(part) for part in self.raw.split(self.splitter, MOST_PARTS)[:MOST_PARTS]]

    def part(self, number: int) -> str:
        """One part as text, from 1; "" when absent."""
        parts = self.raw.split(self.splitter, number)[:number] if self.splitter else [self.raw]
        return self._plain(parts[number - 1]) if number <= len(parts) else ""

    def piece(self, number: int) -> Piece:
        """One part as a piece of its own, from 1."""
        raw = self.raw.split(self.splitter, number)[:number] if self.splitter else [self.raw]
        below = self.delimiters.subcomponent if self.splitter == self.delimiters.component else ""
        return Piece(raw[number - 1] if number <= len(raw) else "", below, self.delimiters, self.segment)

    def _plain(self, raw: str) -> str:
        if not raw or raw == DELETED:
            return ""
        first = raw.split(self.delimiters.subcomponent, 1)[0]
        return "" if first == DELETED else unescape(first, self.delimiters).strip()


def parse_source(text: str) -> Source:
    """Read one source of a row; raises SettingsError when it is neither a path nor a fact."""
    return _parse_fact(text) if text.startswith("@") else parse_path(text)


def parse_path(text: str) -> Path:
    """Read an HL7 path; raises SettingsError when it is none."""
    found = _PATH.fullmatch(text)
    if found is None:
        raise SettingsError("not an HL7 path", source=text, expected=FORM)
    places = tuple(_parse_place(part, text) for part in found["places"].split("|"))
    selector = _parse_selector(found["selector"], text)
    return Path(text, found["family"] or "", found["owner"] or "", found["segment"], selector, places)


def _parse_fact(text: str) -> Fact:
    name, _, part = text[1:].partition(".")
    if name not in FACTS or not (part == "" or part in ("1", "2", "3")):
        raise SettingsError("not a value of the house", source=text, expected=", ".join(f"@{fact}" for fact in FACTS))
    return Fact(text, name, int(part or 0))


def _parse_place(text: str, path: str) -> Place:
    found = _PLACE.fullmatch(text)
    if found is None:
        raise SettingsError("not a place in a segment", source=path, expected=FORM)
    repetition = ALL if found["repetition"] == "*" else int(found["repetition"] or 1)
    place = Place(
        int(found["field"]), repetition, int(found["first"] or 0), int(found["last"] or 0), int(found["sub"] or 0)
    )
    if place.last and place.last < place.component:
        raise SettingsError("a slice of components runs backwards", source=path, expected="a slice like 4..6")
    return place


def _parse_selector(text: str | None, path: str) -> Selector:
    if text is None:
        return Selector()
    if text == "*":
        return Selector(ALL)
    if text.isascii() and text.isdigit() and int(text) > 0:
        return Selector(int(text))
    found = _CONDITION.fullmatch(text)
    if found is None:
        raise SettingsError(
            "not a selector of segments", source=path, expected='a number, *, or a condition like 3.1="x"'
        )
    return Selector(ALL, int(found["field"]), int(found["component"] or 1), found["text"])


def find(path: Path, scope: Scope) -> list[Piece]:
    """The pieces a path names in an order, at most MOST_PIECES; those without a value are left out.

    A piece that the sender deleted is among them, and says so.
    """
    if path.family and path.family != scope.family:
        return []
    found = scope.segments(path.segment, path.owner)
    if not found:
        return []
    if path.simple:
        place = path.places[0]
        return _pieces(place, found[0], place.repetition - 1, scope.delimiters)
    chosen = _selected(path, found, scope)
    pieces = (piece for segment in chosen for piece in _in_segment(path, segment, scope.delimiters))
    return list(islice(pieces, MOST_PIECES))


def _selected(path: Path, found: Sequence[Segment], scope: Scope) -> Iterable[Segment]:
    chosen = path.selector
    if chosen.field:
        if isinstance(found, Part) and chosen.is_plain and not found.may_hold(chosen.text, scope.delimiters.escape):
            return ()
        return (segment for segment in found if _fits(chosen, segment, scope.delimiters))
    if chosen.number == ALL:
        return found
    return found[chosen.number - 1 : chosen.number]


def _fits(chosen: Selector, segment: Segment, delimiters: Delimiters) -> bool:
    if chosen.is_plain and not segment.may_hold(chosen.text, delimiters.escape):
        return False
    pieces = _pieces(Place(chosen.field, 1, chosen.component), segment, 0, delimiters)
    return any(piece.text() == chosen.text for piece in pieces)


def _in_segment(path: Path, segment: Segment, delimiters: Delimiters) -> Iterator[Piece]:
    """In each repetition, the first of the alternatives that has a value."""
    fields = [segment.field(place.field) for place in path.places]
    if not any(fields):
        return
    repetitions = [field.split(delimiters.repetition, MOST_PIECES)[:MOST_PIECES] for field in fields]
    if any(place.repetition == ALL for place in path.places):
        wanted: Sequence[int] = range(max(map(len, repetitions)))
    else:
        wanted = (path.places[0].repetition - 1,)
    for index in wanted:
        for place, raws in zip(path.places, repetitions, strict=True):
            found = _within(place, raws[index] if index < len(raws) else "", segment, delimiters)
            if found:
                yield found[0]
                break


def _pieces(place: Place, segment: Segment, index: int, delimiters: Delimiters) -> list[Piece]:
    """The piece at a place in the index-th repetition (from 0), in a list that is empty when it has no value."""
    raw = segment.field(place.field)
    if index or delimiters.repetition in raw:
        repetitions = raw.split(delimiters.repetition, index + 1)
        raw = repetitions[index] if index < len(repetitions) else ""
    return _within(place, raw, segment, delimiters)


def _within(place: Place, raw: str, segment: Segment, delimiters: Delimiters) -> list[Piece]:
    """What a place names inside one repetition."""
    if not raw:
        return []
    splitter = delimiters.component
    if place.component and raw != DELETED:
        raw, splitter = _component(place, raw, delimiters)
    if not raw.strip(f" {delimiters.component}{delimiters.subcomponent}"):
        return []
    return [Piece(raw, splitter, delimiters, segment)]


def _component(place: Place, raw: str, delimiters: Delimiters) -> tuple[str, str]:
    components = raw.split(delimiters.component, MOST_PARTS)[:MOST_PARTS]
    if place.last:
        return delimiters.component.join(components[place.component - 1 : place.last]), delimiters.component
    chosen = components[place.component - 1] if place.component <= len(components) else ""
    if place.subcomponent and chosen != DELETED:
        parts = chosen.split(delimiters.subcomponent, MOST_PARTS)[:MOST_PARTS]
        return (parts[place.subcomponent - 1] if place.subcomponent <= len(parts) else ""), ""
    return chosen, delimiters.subcomponent
