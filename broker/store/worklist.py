"""What the worklist asks the store: steps that a predicate tree may match, in pages, earliest first.

Keys that have a column are answered here; the others, and those a column can only narrow down, are handed back for the
caller to check. No collation is relied on: text columns compare by code point, a prefix is a range, and `%` and `_` of
a key are escaped.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, exists, literal, or_, select, true, tuple_

from broker.domain.matching import (
    START,
    All,
    AnyItem,
    AnyOf,
    Between,
    Either,
    Equals,
    Like,
    NameLike,
    Predicate,
    Station,
    has_wildcard,
)
from broker.domain.order import StepState
from broker.store.one_of import is_any, many
from broker.store.tables import scheduled_stations, scheduled_steps

_STEP = "ScheduledProcedureStepSequence"
_NAME = "PatientName"

COLUMNS: Mapping[str, ColumnElement[Any]] = {
    "PatientID": scheduled_steps.c.match_patient_id,
    _NAME: scheduled_steps.c.match_patient_name,
    "AccessionNumber": scheduled_steps.c.match_accession,
    "RequestedProcedureID": scheduled_steps.c.match_procedure_id,
    "StudyInstanceUID": scheduled_steps.c.match_study_uid,
    f"{_STEP}.ScheduledProcedureStepID": scheduled_steps.c.step_id,
    f"{_STEP}.Modality": scheduled_steps.c.modality,
    f"{_STEP}.ScheduledProcedureStepStatus": scheduled_steps.c.state,
    START: scheduled_steps.c.start_at,
}
"""Keys that have a column; every other key filters what these left."""

LAST_CHARACTER = "\U0010ffff"


@dataclass(frozen=True, slots=True)
class StoredStep:
    """A step as the worklist needs it. any_station: it is open to every station its modality fits."""

    id: int
    start_at: str
    modality: str | None
    any_station: bool
    elements: bytes


@dataclass(frozen=True, slots=True)
class Page:
    """Steps in order; more may follow only when `full`.

    left_over  what the caller still has to check on each step
    """

    steps: list[StoredStep]
    full: bool
    left_over: All


def page_of_steps(
    tx: Connection, tree: Predicate, states: Collection[StepState] | None, after: StoredStep | None, limit: int
) -> Page:
    """The next steps that may match, at most `limit`, ordered by start and id; held ones are never among them.

    states  which to list; None: the tree says it
    after   the last step of the page before
    """
    compiler = _Compiler(tx)
    parts = tree.parts if isinstance(tree, All) else (tree,)
    compiled = [(part, *compiler.compile(part)) for part in parts]
    query: Select[Any] = select(
        scheduled_steps.c.id,
        scheduled_steps.c.start_at,
        scheduled_steps.c.modality,
        scheduled_steps.c.any_station,
        scheduled_steps.c.elements,
    )
    query = query.where(scheduled_steps.c.held.is_(None), scheduled_steps.c.start_at.is_not(None))
    query = query.where(*(clause for _, clause, _ in compiled))
    if states is not None:
        ordered = sorted(state.value for state in states)
        query = query.where(or_(*(scheduled_steps.c.state == state for state in ordered)))
    if after is not None:
        place = tuple_(scheduled_steps.c.start_at, scheduled_steps.c.id)
        query = query.where(place > tuple_(literal(after.start_at), literal(after.id)))
    query = query.order_by(scheduled_steps.c.start_at, scheduled_steps.c.id).limit(limit)
    steps = [StoredStep(*row) for row in tx.execute(query, compiler.parameters)]
    return Page(steps, len(steps) == limit, All(tuple(part for part, _, exact in compiled if not exact)))


class _Compiler:
    """Predicates to SQL: each becomes a condition that no matching step fails, and says whether it is exact."""

    def __init__(self, tx: Connection) -> None:
        self._tx = tx
        self.parameters: dict[str, Any] = {}

    def compile(self, part: Predicate) -> tuple[ColumnElement[bool], bool]:
        if isinstance(part, All):
            return self._several(part.parts, and_)
        if isinstance(part, Either):
            return self._several(part.parts, or_)
        if isinstance(part, Station):
            return _station(part), True
        if isinstance(part, AnyItem):
            return true(), False
        column = COLUMNS.get(part.key)
        if column is None:
            return true(), False
        if isinstance(part, NameLike):
            return _name(column, part.folded_pattern)
        if isinstance(part, AnyOf):
            name = f"values_{len(self.parameters)}"
            self.parameters[name] = many(self._tx, part.values)
            return is_any(self._tx.dialect.name, column, name), True
        return _plain(column, part), part.key != _NAME

    def _several(self, parts: tuple[Predicate, ...], join: Any) -> tuple[ColumnElement[bool], bool]:
        compiled = [self.compile(part) for part in parts]
        return join(*(clause for clause, _ in compiled)), all(exact for _, exact in compiled)


def _plain(column: ColumnElement[Any], part: Equals | Like | Between) -> ColumnElement[bool]:
    if isinstance(part, Equals):
        return column == part.value
    if isinstance(part, Like):
        return _like(column, part.pattern)
    ends = []
    if part.low is not None:
        ends.append(column >= part.low)
    if part.high is not None:
        ends.append(column <= part.high)
    return and_(true(), *ends)


def _station(asked: Station) -> ColumnElement[bool]:
    """Planned on it, or open and not excluded; EXISTS, for a list of ids begins with all that the station ever did."""
    title = scheduled_stations.c.ae_title
    named = _like(title, asked.ae_title) if has_wildcard(asked.ae_title) else title == asked.ae_title
    planned = exists().where(scheduled_stations.c.step_id == scheduled_steps.c.id, named)
    open_to_it: ColumnElement[bool] = scheduled_steps.c.any_station
    if asked.modalities:
        fits = or_(*(scheduled_steps.c.modality == modality for modality in sorted(asked.modalities)))
        open_to_it = and_(open_to_it, fits)
    return or_(planned.correlate(scheduled_steps), open_to_it)


def _name(column: ColumnElement[Any], pattern: str) -> tuple[ColumnElement[bool], bool]:
    """A folded name key; the rule for groups stands at `NameLike`."""
    if "=" in pattern:
        return true(), False
    if not pattern.isascii():
        # It may stand in any group.
        return column.like(f"%{_escaped(pattern)}%", escape="\\"), False
    prefix = _prefix(pattern)
    if not has_wildcard(pattern):
        return or_(column == pattern, _begins(column, f"{pattern}=")), True
    if pattern.rstrip("*") == prefix:
        return _begins(column, prefix), True
    # A wild card of LIKE may run over the end of the group.
    return and_(_begins(column, prefix), column.like(f"{_escaped(pattern)}%", escape="\\")), False


def _like(column: ColumnElement[Any], pattern: str) -> ColumnElement[bool]:
    prefix = _prefix(pattern)
    begins = _begins(column, prefix)
    if pattern.rstrip("*") == prefix:
        return begins
    return and_(begins, column.like(_escaped(pattern), escape="\\"))


def _begins(column: ColumnElement[Any], prefix: str) -> ColumnElement[bool]:
    """`column` begins with `prefix`, as a range that an index answers."""
    if not prefix:
        return column != ""
    following = _following(prefix)
    return column >= prefix if following is None else and_(column >= prefix, column < following)


def _following(prefix: str) -> str | None:
    """The least text greater than all that begin with `prefix`; None when there is none."""
    kept = prefix.rstrip(LAST_CHARACTER)
    if not kept:
        return None
    code = ord(kept[-1]) + 1
    # U+D800 to U+DFFF are no characters.
    return kept[:-1] + chr(0xE000 if code == 0xD800 else code)


def _prefix(pattern: str) -> str:
    """What stands before the first wild card."""
    ends = [at for at in (pattern.find("*"), pattern.find("?")) if at >= 0]
    return pattern[: min(ends)] if ends else pattern


def _escaped(pattern: str) -> str:
    """A pattern of ours as one of LIKE."""
    escaped = "".join(f"\\{char}" if char in "\\%_" else char for char in pattern)
    return escaped.replace("*", "%").replace("?", "_")
