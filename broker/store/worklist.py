"""What the worklist asks the store: steps that a predicate tree may match, in pages, earliest first.

Keys that have a column are answered here; the others, and those a column can only narrow down, are handed back for the
caller to check. No collation is relied on: text columns compare by code point, a prefix is a range, and `%` and `_` of
a key are escaped.

A tree is first parted into its shape (which columns are compared how) and the values it compares with. SQL is made once
for each shape and kept as text: making it costs several times what it takes to find five steps.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import count
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Connection,
    Dialect,
    Integer,
    Select,
    and_,
    bindparam,
    exists,
    literal_column,
    or_,
    select,
    text,
    true,
    tuple_,
)

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
from broker.domain.order import LISTED, StepState
from broker.store.columns import LISTED_STEPS
from broker.store.one_of import is_any, many
from broker.store.postgres import AS_BYTES
from broker.store.tables import scheduled_stations, scheduled_steps

_STEP = "ScheduledProcedureStepSequence"
_NAME = "PatientName"
_TITLE = "station"
_STATUS = f"{_STEP}.ScheduledProcedureStepStatus"
_LISTED_STATES = frozenset(state.value for state in LISTED)

COLUMNS: Mapping[str, ColumnElement[Any]] = {
    "PatientID": scheduled_steps.c.match_patient_id,
    _NAME: scheduled_steps.c.match_patient_name,
    "AccessionNumber": scheduled_steps.c.match_accession,
    "RequestedProcedureID": scheduled_steps.c.match_procedure_id,
    "StudyInstanceUID": scheduled_steps.c.match_study_uid,
    f"{_STEP}.ScheduledProcedureStepID": scheduled_steps.c.step_id,
    f"{_STEP}.Modality": scheduled_steps.c.modality,
    _STATUS: scheduled_steps.c.state,
    START: scheduled_steps.c.start_at,
}
"""Keys that have a column; every other key filters what these left."""

_COMPARED: Mapping[str, ColumnElement[Any]] = {**COLUMNS, _TITLE: scheduled_stations.c.ae_title}

LAST_CHARACTER = "\U0010ffff"
_AS_BYTES = {AS_BYTES: True}
KEPT_SHAPES = 512
"""Statements kept as text; scanners of one kind all ask in one shape."""

HAS_START = "start_at <> ''"
"""Not as IS NOT NULL: SQLite would take that for a range, and prefer the index of starts to that of a name."""

Shape = tuple[Any, ...]
"""A condition without its values: a word, and what it is said of.

("and" | "or", shapes ...)   ("true",)
("=" | "<" | "<=" | ">=" | "like" | "any", key)   compares the key's column with the next value
("filled", key)   the column is not empty
("listed", shape) the same, said of a step that is listed by default: their indexes serve
("station", shape of its title, number of modalities)   planned on it, or open and of one of the modalities
"""


class StoredStep(NamedTuple):
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
    parting = _Parting(tx)
    parts = tree.parts if isinstance(tree, All) else (tree,)
    parted = [parting.part(one if after is None else _behind_first(one)) for one in parts]
    shape = ("and", *(shape for shape, _ in parted))
    listed = None if states is None else tuple(sorted(state.value for state in states))
    kept = _statement(tx.dialect, shape, listed, after is not None)
    values = parting.values if after is None else [*parting.values, after.start_at, after.id]
    found = tx.exec_driver_sql(kept.sql, kept.parameters([*values, limit]), execution_options=_AS_BYTES)
    # The driver's own rows: ours are made of them, and there may be thousands.
    steps = [StoredStep._make(row) for row in found.cursor.fetchall()]
    found.close()
    left_over = tuple(one for one, (_, exact) in zip(parts, parted, strict=True) if not exact)
    return Page(steps, len(steps) == limit, All(left_over))


def _behind_first(one: Predicate) -> Predicate:
    """The same on later pages: what lies behind a step of the answer begins late enough.

    With two lower ends SQLite would start its search at the wrong one, and read all pages before.
    """
    return Between(START, None, one.high) if isinstance(one, Between) and one.key == START else one


class _Parting:
    """Predicates to shapes, their values aside; each says whether its condition is exact or only keeps every match."""

    def __init__(self, tx: Connection) -> None:
        self._tx = tx
        self.values: list[Any] = []

    def part(self, one: Predicate) -> tuple[Shape, bool]:
        if isinstance(one, All):
            return self._several("and", one.parts)
        if isinstance(one, Either):
            return self._several("or", one.parts)
        if isinstance(one, Station):
            return self._station(one), True
        if isinstance(one, AnyItem) or one.key not in COLUMNS:
            return ("true",), False
        if isinstance(one, NameLike):
            return self._name(one.key, one.folded_pattern)
        if isinstance(one, AnyOf):
            return self._compared("any", one.key, many(self._tx, one.values)), True
        return self._plain(one), one.key != _NAME

    def _several(self, word: str, parts: tuple[Predicate, ...]) -> tuple[Shape, bool]:
        parted = [self.part(one) for one in parts]
        return (word, *(shape for shape, _ in parted)), all(exact for _, exact in parted)

    def _compared(self, word: str, key: str, value: Any) -> Shape:
        self.values.append(value)
        return (word, key)

    def _plain(self, one: Equals | Like | Between) -> Shape:
        if isinstance(one, Equals):
            found = self._compared("=", one.key, one.value)
            return ("listed", found) if one.key == _STATUS and one.value in _LISTED_STATES else found
        if isinstance(one, Like):
            return self._like(one.key, one.pattern)
        ends = []
        if one.low is not None:
            ends.append(self._compared(">=", one.key, one.low))
        if one.high is not None:
            ends.append(self._compared("<=", one.key, one.high))
        return ("and", *ends)

    def _station(self, asked: Station) -> Shape:
        title = asked.ae_title
        named = self._like(_TITLE, title) if has_wildcard(title) else self._compared("=", _TITLE, title)
        self.values += sorted(asked.modalities)
        return ("station", named, len(asked.modalities))

    def _name(self, key: str, pattern: str) -> tuple[Shape, bool]:
        """A folded name key; the rule for groups stands at `NameLike`."""
        if "=" in pattern:
            return ("true",), False
        if not pattern.isascii():
            # It may stand in any group.
            return self._compared("like", key, f"%{_escaped(pattern)}%"), False
        prefix = _prefix(pattern)
        if not has_wildcard(pattern):
            return ("or", self._compared("=", key, pattern), self._begins(key, f"{pattern}=")), True
        if pattern.rstrip("*") == prefix:
            return self._begins(key, prefix), True
        # A wild card of LIKE may run over the end of the group.
        return ("and", self._begins(key, prefix), self._compared("like", key, f"{_escaped(pattern)}%")), False

    def _like(self, key: str, pattern: str) -> Shape:
        prefix = _prefix(pattern)
        begins = self._begins(key, prefix)
        if pattern.rstrip("*") == prefix:
            return begins
        return ("and", begins, self._compared("like", key, _escaped(pattern)))

    def _begins(self, key: str, prefix: str) -> Shape:
        """Begins with `prefix`, as a range that an index answers."""
        if not prefix:
            return ("filled", key)
        least = self._compared(">=", key, prefix)
        following = _following(prefix)
        return least if following is None else ("and", least, self._compared("<", key, following))


class _Kept(NamedTuple):
    """A statement as text.

    names      of its parameters: those of the values, then those that SQLAlchemy adds by itself
    added      the values of the latter
    positions  SQLite: which of all these stands at each question mark; PostgreSQL takes them by name
    """

    sql: str
    names: tuple[str, ...]
    added: tuple[Any, ...]
    positions: tuple[int, ...] | None

    def parameters(self, values: list[Any]) -> Any:
        """Values in the form the driver takes them."""
        given = (*values, *self.added)
        if self.positions is None:
            return dict(zip(self.names, given, strict=True))
        return tuple(given[position] for position in self.positions)


@lru_cache(maxsize=KEPT_SHAPES)
def _statement(dialect: Dialect, shape: Shape, states: tuple[str, ...] | None, later: bool) -> _Kept:
    """The statement for a shape. states: as in `page_of_steps`; later: a page that begins behind a step."""
    counter = count()
    clause = _clause(dialect.name, shape, counter)
    query: Select[Any] = select(
        scheduled_steps.c.id,
        scheduled_steps.c.start_at,
        scheduled_steps.c.modality,
        scheduled_steps.c.any_station,
        scheduled_steps.c.elements,
    )
    query = query.where(_shown(states), text(HAS_START), clause)
    if later:
        place = tuple_(scheduled_steps.c.start_at, scheduled_steps.c.id)
        of_last = [bindparam(_next_name(counter), type_=column.type) for column in place]
        query = query.where(place > tuple_(*of_last))
    limit = bindparam(_next_name(counter), type_=Integer())
    query = query.order_by(scheduled_steps.c.start_at, scheduled_steps.c.id).limit(limit)
    compiled = query.compile(dialect=dialect)
    ours = [f"v{number}" for number in range(next(counter))]
    added = {name: value for name, value in compiled.params.items() if name not in ours}
    names = (*ours, *added)
    order = getattr(compiled, "positiontup", None)
    positions = None if order is None else tuple(names.index(name) for name in order)
    return _Kept(str(compiled), names, tuple(added.values()), positions)


def _shown(states: tuple[str, ...] | None) -> ColumnElement[bool]:
    """Not held, and in one of the states.

    What is listed by default stands literally, as the partial indexes have it. Other states are shut out one by one:
    SQLite would seek what is named by its state in an index that begins with the state.
    """
    shown = scheduled_steps.c.held.is_(None)
    if states is None:
        return shown
    if set(states) <= {state.value for state in LISTED}:
        hidden = sorted({state.value for state in StepState} - set(states))
        return and_(text(LISTED_STEPS), shown, *(scheduled_steps.c.state != _literal(state) for state in hidden))
    return and_(shown, or_(*(scheduled_steps.c.state == _literal(one) for one in states)))


def _literal(state: str) -> ColumnElement[str]:
    return literal_column(f"'{state}'")


def _next_name(counter: Iterator[int]) -> str:
    return f"v{next(counter)}"


def _clause(dialect: str, shape: Shape, counter: Iterator[int]) -> ColumnElement[bool]:
    """SQL of a shape; takes a parameter from the counter for each value, in the order `_Parting` put them aside."""
    word = shape[0]
    if word == "true":
        return true()
    if word in ("and", "or"):
        parts = [_clause(dialect, one, counter) for one in shape[1:]]
        return and_(true(), *parts) if word == "and" else or_(*parts)
    if word == "station":
        return _station(dialect, shape, counter)
    if word == "listed":
        return and_(text(LISTED_STEPS), _clause(dialect, shape[1], counter))
    column = _COMPARED[shape[1]]
    if word == "filled":
        return column != text("''")
    name = _next_name(counter)
    if word == "any":
        return is_any(dialect, column, name)
    value = bindparam(name, type_=column.type)
    return _COMPARISONS[word](column, value)


_COMPARISONS: Mapping[str, Callable[[ColumnElement[Any], ColumnElement[Any]], ColumnElement[bool]]] = {
    "=": lambda column, value: column == value,
    "<": lambda column, value: column < value,
    "<=": lambda column, value: column <= value,
    ">=": lambda column, value: column >= value,
    "like": lambda column, value: column.like(value, escape="\\"),
}


def _station(dialect: str, shape: Shape, counter: Iterator[int]) -> ColumnElement[bool]:
    """Planned on it, or open and not excluded; EXISTS, for a list of ids begins with all that the station ever did."""
    _, named, modalities = shape
    planned = exists().where(scheduled_stations.c.step_id == scheduled_steps.c.id, _clause(dialect, named, counter))
    open_to_it: ColumnElement[bool] = scheduled_steps.c.any_station
    if modalities:
        column = scheduled_steps.c.modality
        fits = or_(*(column == bindparam(_next_name(counter), type_=column.type) for _ in range(modalities)))
        open_to_it = and_(open_to_it, fits)
    return or_(planned.correlate(scheduled_steps), open_to_it)


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
