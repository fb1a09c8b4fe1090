"""The rows of a profile together: found by key and by place, and what the rules need to know of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from hashlib import sha256
from json import dumps

from broker.domain.rules import RowFacts
from broker.errors import SettingsError
from broker.mapping.layout import Layout
from broker.mapping.paths import Path
from broker.mapping.row import (
    ACCESSION,
    FILLER,
    IDENTITY,
    MODALITY,
    PLACER,
    PROCEDURE_ID,
    PROTECTED,
    START_DATE,
    START_TIME,
    STATION,
    STATUS,
    STEP,
    STEP_ID,
    STUDY_UID,
    Row,
)

_SCHEDULING = frozenset({
    STEP, STATION, START_DATE, START_TIME, MODALITY, STEP_ID, STATUS, PROCEDURE_ID, STUDY_UID, PLACER, FILLER,
    f"{STEP}.ScheduledStationName", f"{STEP}.ScheduledProcedureStepLocation", "ReferencedStudySequence",
    "AdmissionID", "IssuerOfAdmissionIDSequence", "CurrentPatientLocation",
})  # fmt: skip
"""Values of a step or visit that are never descriptive: identity, time, place."""
_DESCRIPTIVE_VRS = frozenset({"LO", "LT", "PN", "SQ", "ST", "UC", "UT"})


MOVING_FACTS = frozenset({"status", "study_start"})


class RowSet:
    """The rows of a profile, in its order; raises SettingsError where rows do not fit together.

    also  further text that the hash is over: what else changes the elements (rows of single senders)
    """

    def __init__(self, rows: Iterable[Row], also: str = "") -> None:
        self.rows = tuple(rows)
        self.by_key: Mapping[str, Row] = {row.key: row for row in self.rows}
        self._also = also
        _check_together(self)

    @cached_property
    def hash(self) -> str:
        """Changes whenever the same message would give other elements."""
        parts = [[r.key, list(r.levels), r.vr, [s.text for s in r.sources], r.take, r.follows, r.transform, r.unit,
                  sorted(r.values.items()), r.default, r.returns, r.too_long] for r in self.rows]  # fmt: skip
        return sha256(dumps([parts, self._also], ensure_ascii=False).encode()).hexdigest()

    @cached_property
    def by_levels(self) -> Mapping[tuple[int, ...], Row]:
        """All attributes that can be returned, by place: rows, sequences that rows stand in, and members of items."""
        found: dict[tuple[int, ...], Row] = {}
        for row in self.rows:
            _add_with_members(found, row)
            for depth in range(1, len(row.levels)):
                levels = row.levels[:depth]
                if levels not in found and not any(r.levels == levels for r in self.rows):
                    key = ".".join(row.key.split(".")[:depth])
                    found[levels] = Row(key, levels, "SQ", "1", match="sequence")
        return found

    @cached_property
    def instants(self) -> frozenset[str]:
        """Keys of dates and times beside each other that are read from the same sources: together one instant."""
        dates = {(r.levels[:-1], r.sources): r for r in self.rows if r.transform == "date" and r.paths}
        times = {(r.levels[:-1], r.sources): r for r in self.rows if r.transform == "time" and r.paths}
        return frozenset(pair[place].key for place in dates.keys() & times.keys() for pair in (dates, times))

    @cached_property
    def read(self) -> Mapping[str, tuple[Row, ...]]:
        """Rows by owner whose values are read out of a message and taken as they are: all but identifiers."""
        read = [row for row in self.rows if row.paths and row.key not in IDENTITY]
        return {owner: tuple(row for row in read if row.owner == owner) for owner in ("patient", "visit", "step")}

    @cached_property
    def looks_at(self) -> Mapping[str, tuple[Path, ...]]:
        """By key: where in a message a row looks for its value, or the row that it follows."""
        return {row.key: (*row.paths, *(self.by_key[row.follows].paths if row.follows else ())) for row in self.rows}

    @cached_property
    def settled(self) -> tuple[Row, ...]:
        """Rows that may have a value though nobody sent one: facts and defaults; those that follow another are last."""
        return tuple(sorted((r for r in self.rows if r.facts or r.default), key=lambda row: bool(row.follows)))

    @cached_property
    def moving(self) -> tuple[Row, ...]:
        """Those that say a step's status or its study's start, and what follows them or they follow, which is last."""
        said = {r.key for r in self.rows if r.key == STATUS or any(fact.name in MOVING_FACTS for fact in r.facts)}
        said |= {row.key for row in self.rows if row.follows in said}
        said |= {self.by_key[key].follows for key in said if self.by_key[key].follows}
        return tuple(sorted((self.by_key[key] for key in said), key=lambda row: (bool(row.follows), row.key)))

    @cached_property
    def layout(self) -> Layout:
        """How the elements of a step lie in their stored form."""
        return Layout(self.by_levels)

    def at(self, levels: tuple[int, ...]) -> Row | None:
        """The attribute at a place (tags from the root); None when no row gives it."""
        return self.by_levels.get(levels)

    def owner(self, key: str) -> str:
        """Whose value a row's is: "patient", "visit" or "step"."""
        return self.by_key[key].owner

    def facts(self) -> RowFacts:
        """What the rules need to know of the rows."""
        type_1 = frozenset(row.key for row in self.rows if is_type_1(row))
        filled = IDENTITY | {STEP, STATION, START_DATE, START_TIME, MODALITY, STATUS}
        return RowFacts(
            descriptive=frozenset(row.key for row in self.rows if _is_descriptive(row)),
            type_1=type_1,
            held_without=frozenset(
                key for key in type_1 - filled
                if self.by_key[key].paths and not self.by_key[key].default and self.by_key[key].owner != "visit"
            ),
        )  # fmt: skip


def is_type_1(row: Row) -> bool:
    """Type 1 of the worklist item itself; inside other sequences it only says what an item holds."""
    return row.returns == "1" and row.vr != "SQ" and (len(row.levels) == 1 or row.key.startswith(f"{STEP}."))


def _is_descriptive(row: Row) -> bool:
    """Names, codes, comments, accession, physicians; never identity, state, times, place, patient."""
    if row.key == ACCESSION or row.key.startswith("IssuerOfAccessionNumberSequence"):
        return True
    root = row.key.split(".")[0]
    return (
        row.owner != "patient"
        and bool(row.paths)
        and row.vr in _DESCRIPTIVE_VRS
        and row.key not in _SCHEDULING
        and root not in _SCHEDULING - {STEP}
    )


def _check_together(rows: RowSet) -> None:
    for key in sorted(PROTECTED.keys() - rows.by_key.keys()):
        raise SettingsError("this row cannot be removed: required key or type 1 attribute", row=key, expected="keep it")
    places: dict[tuple[int, ...], str] = {}
    for row in rows.rows:
        if row.levels in places:
            raise SettingsError(
                "two rows for one attribute", row=row.key, expected=f"one of it and {places[row.levels]}"
            )
        places[row.levels] = row.key
        if row.follows and row.follows not in rows.by_key:
            raise SettingsError("a row follows one that does not exist", row=row.key, setting="follows",
                                value=row.follows, expected="the key of another row")  # fmt: skip
        if row.follows and rows.by_key[row.follows].follows:
            raise SettingsError("a row follows one that follows itself", row=row.key, setting="follows",
                                value=row.follows, expected=rows.by_key[row.follows].follows)  # fmt: skip
    for row in rows.rows:
        above = rows.by_key.get(row.key.rpartition(".")[0])
        if above is not None and above.sources:
            raise SettingsError(
                "the sequence above makes its own items", row=row.key, expected=f"no source in {above.key}"
            )


def _add_with_members(found: dict[tuple[int, ...], Row], row: Row) -> None:
    found[row.levels] = row
    for member in row.members:
        _add_with_members(found, member)
