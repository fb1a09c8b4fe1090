"""Rows read on one order: which source counts, the transform, the map of words, and what fits the VR."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any
from zoneinfo import ZoneInfo

from broker.domain.request import DELETE, Absent, Cause, Changes, Refusal, Value
from broker.mapping import fit
from broker.mapping.groups import Group
from broker.mapping.paths import Path, find
from broker.mapping.row import IDENTITY, MODALITY, START_DATE, START_TIME, Row
from broker.mapping.rows import RowSet
from broker.mapping.terms import MODALITIES
from broker.mapping.transforms import TRANSFORMS, Made, NoValue, Setting

MOST_VALUES = 100
"""Values, or items, of one attribute."""
REPLACEMENT = "\ufffd"
"""What stands for bytes that mean nothing in the message's character set."""
_START = frozenset({START_DATE, START_TIME})


class Refused(Exception):
    """A value refuses the whole message."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.text)
        self.refusal = refusal


@dataclass(slots=True)
class OrderReader:
    """Reads rows on the groups of one message; warnings gather here, in words that hold no values."""

    rows: RowSet
    zone: ZoneInfo
    version: str
    warnings: list[str] = field(default_factory=list)

    def changes(self, rows: Iterable[Row], group: Group) -> Changes:
        """What the message says of these rows: a value, DELETE, or (left out) nothing; raises Refused."""
        found: dict[str, Value | Absent] = {}
        for row in rows:
            if row.key in IDENTITY or not row.paths:
                continue
            said = self._read(row, group)
            if said is DELETE and row.returns == "1":
                self.warn(row, "must have a value, is not deleted")
            elif said is not None:
                found[row.key] = said
        if START_DATE in found and START_TIME not in found:
            # A day without time starts at its beginning, also where an earlier message named a time.
            found[START_TIME] = "000000"
        return found

    def warn(self, row: Row, text: str) -> None:
        warning = f"{row.key}: {text}"
        if warning not in self.warnings:
            self.warnings.append(warning)

    def _read(self, row: Row, group: Group) -> Value | Absent | None:
        deleted = False
        values: list[Made] = []
        for path in self._sources(row, group):
            pieces = find(path, group)
            live = [piece for piece in pieces if not piece.deleted]
            if not live:
                deleted |= bool(pieces)
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

    def _sources(self, row: Row, group: Group) -> list[Path]:
        """The paths to try; a row that follows another one looks where that one found its value."""
        if not row.follows:
            return list(row.paths)
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
            return [item for item in made if isinstance(item, dict) and self._item_fits(row, item)], False
        words = [self._mapped(row, str(text)) for text in made]
        fitting = [text for word in words if word and (text := self._fitting(row, word, group))]
        return list(fitting), bool(made) and not any(words) and bool(row.values)

    def _mapped(self, row: Row, text: str) -> str:
        if not row.values:
            return text
        text = text.strip()
        return row.values.get(text, row.values.get("*", text))

    def _fitting(self, row: Row, raw: str, group: Group) -> str:
        """The text as the VR takes it; "" when it is left out."""
        if REPLACEMENT in raw:
            self.warn(row, "some characters are not in the declared character set")
        text = fit.clean(row.vr, raw)
        problem = fit.check(row.vr, text) if text else None
        if problem is fit.Problem.UNREADABLE:
            self.warn(row, f"not a value of {row.vr}, left out")
            return ""
        if problem is fit.Problem.TOO_LONG:
            return self._shortened(row, text, group)
        if row.key == MODALITY and text and text not in MODALITIES:
            self.warn(row, "not a modality that the standard knows, kept as sent")
        return text

    def _shortened(self, row: Row, text: str, group: Group) -> str:
        if row.too_long == "reject":
            raise Refused(Refusal(Cause.TOO_LONG, row.key, group.number))
        if row.too_long == "drop":
            self.warn(row, "too long, left out")
            return ""
        self.warn(row, "too long, cut")
        return fit.cut(row.vr, text)

    def _item_fits(self, row: Row, item: dict[str, Any]) -> bool:
        """Every member of an item must fit its VR; an item that lost one would say something else."""
        vrs = {member.keyword: member.vr for member in row.members}
        for keyword, raw in item.items():
            item[keyword] = fit.clean(vrs[keyword], raw)
            if fit.check(vrs[keyword], item[keyword]) or not item[keyword]:
                self.warn(row, f"{keyword} does not fit, item left out")
                return False
        return bool(item)
