"""Rows read on one order: which source counts, the transform, the map of words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from zoneinfo import ZoneInfo

from broker.domain.request import DELETE, Absent, Cause, Changes, Refusal, Value
from broker.mapping.fitting import MOST_VALUES, Fitter, Refused
from broker.mapping.groups import Group
from broker.mapping.paths import Path, find
from broker.mapping.row import START_DATE, START_TIME, Row
from broker.mapping.rows import RowSet
from broker.mapping.transforms import TRANSFORMS, Made, NoValue, Setting

_START = frozenset({START_DATE, START_TIME})


@dataclass(slots=True)
class OrderReader(Fitter):
    """Reads rows on the groups of one message."""

    rows: RowSet
    zone: ZoneInfo
    version: str
    _of_patient: dict[str, Value | Absent | None] = field(default_factory=dict)

    def changes(self, owner: str, group: Group) -> Changes:
        """What the message says of an owner's rows: a value, DELETE, or (left out) nothing; raises Refused."""
        found: dict[str, Value | Absent] = {}
        for row in self.rows.read[owner]:
            said = self._read(row, group) if group.is_alone else self._read_once(row, group)
            if said is DELETE and row.returns == "1":
                self.warn(row, "must have a value, is not deleted")
            elif said is not None:
                found[row.key] = said
        if START_DATE in found and START_TIME not in found:
            # A day without time starts at its beginning, also where an earlier message named a time.
            found[START_TIME] = "000000"
        return found

    def _read_once(self, row: Row, group: Group) -> Value | Absent | None:
        """Values from the patient's part are read for the first order that sees them, and kept for the others."""
        if not all(group.sees_the_patients(path.segment, path.owner) for path in self.rows.looks_at[row.key]):
            return self._read(row, group)
        if row.key not in self._of_patient:
            self._of_patient[row.key] = self._read(row, group)
        return self._of_patient[row.key]

    def _read(self, row: Row, group: Group) -> Value | Absent | None:
        deleted = False
        values: list[Made] = []
        for path in self._sources(row, group):
            pieces = find(path, group)
            if not pieces:
                continue
            live = [piece for piece in pieces if not piece.deleted]
            if not live:
                deleted = True
                continue
            made, emptied = self._made(row, live, group)
            deleted |= emptied
            values += made
            if values and row.take != "every":
                break
        if not values:
            return DELETE if deleted else None
        if len(values) > MOST_VALUES:
            self.warn(row, f"more than {MOST_VALUES} values, the others are left out")
        kept = values[: 1 if row.take == "first" else MOST_VALUES]
        if row.vr == "SQ":
            return kept
        return [str(value) for value in kept] if row.multi else str(kept[0])

    def _sources(self, row: Row, group: Group) -> Sequence[Path]:
        """The paths to try; a row that follows another one looks where that one found its value."""
        if not row.follows:
            return row.paths
        for index, source in enumerate(self.rows.by_key[row.follows].sources):
            if isinstance(source, Path) and any(not piece.deleted for piece in find(source, group)):
                chosen = row.sources[index : index + 1]
                return [path for path in chosen if isinstance(path, Path)]
        return []

    def _made(self, row: Row, pieces: list[Any], group: Group) -> tuple[list[Made], bool]:
        """Values that fit, and whether the words said that there is none."""
        if row.take == "first" and row.transform not in ("xpn", "lines"):
            pieces = pieces[:1]
        zone = self.zone if row.key in self.rows.instants else None
        try:
            made = TRANSFORMS[row.transform](pieces, Setting(row, zone, self.version))
        except NoValue as problem:
            if row.key in _START:
                raise Refused(Refusal(Cause.UNREADABLE, row.key, group.number, "no day and time")) from None
            self.warn(row, f"{problem.reason}, left out")
            return [], False
        if row.key == START_DATE and not made:
            raise Refused(Refusal(Cause.UNREADABLE, row.key, group.number, "the day is missing"))
        if row.vr == "SQ":
            return [item for item in made if isinstance(item, dict) and self.item_fits(row, item)], False
        words = [self._mapped(row, str(text)) for text in made]
        fitting = [text for word in words if word and (text := self.fitting(row, word, group.number))]
        return list(fitting), bool(made) and not any(words) and bool(row.values)

    def _mapped(self, row: Row, text: str) -> str:
        if not row.values:
            return text
        text = text.strip()
        return row.values.get(text, row.values.get("*", text))
