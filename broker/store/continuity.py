"""Whether the database is still the one we wrote to: compared with the marks at start and with each new connection."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace

import structlog
from sqlalchemy import ColumnElement, Connection, String, Table, select, type_coerce
from sqlalchemy.exc import SQLAlchemyError

from broker.clock import Clock
from broker.domain.order import Alarm
from broker.store.alarms import raise_alarms
from broker.store.dialects import Backend, Fault, fault_of
from broker.store.ids import Ids, raise_to
from broker.store.marks import Marks, Row, Seen
from broker.store.tables import id_blocks, instances, messages, performed_messages

log = structlog.get_logger()

MARKED: Mapping[Table, str] = {messages: "received_at", performed_messages: "at", instances: "received_at"}
"""Whatever is acknowledged writes a row of one of these, with this instant; none is ever deleted."""

WORDS = {messages.name: "messages", performed_messages.name: "reports of modalities", instances.name: "images"}


@dataclass(frozen=True, slots=True)
class Gap:
    """What a restored database lacks.

    missing  by table: the highest marked row that is not there
    behind   counters below their marks, by name: the mark
    """

    missing: Mapping[str, Row]
    behind: Mapping[str, int]

    def __bool__(self) -> bool:
        return bool(self.missing or self.behind)


class Continuity:
    """Compares, mends and tells, for one process."""

    def __init__(self, marks: Marks, ids: Ids, identity: str, clock: Clock, *, expected: bool = False) -> None:
        """expected: the folder has been paired before, so that there should be marks"""
        self.marks = marks
        self._ids = ids
        self._identity = identity
        self._clock = clock
        self._told_of_marks = False
        self._expected = expected
        self._noted: dict[str, int] = {}
        self._ends: dict[str, int] = {}

    def resume(self, backend: Backend, connection: Connection) -> None:
        """Compare a database that may be another copy with the marks, in transactions of its own.

        Where counters or rows are behind, numbers go on after the marks, and an alarm names the gap, once for all
        processes. Blocks in memory are dropped: brokers with other folders may have moved an older copy past our marks
        already, and have been given the same numbers.
        """
        timeline = _timeline(backend, connection)
        with self._alone() as is_alone:
            seen = self._own(self.marks.read())
            with backend.transaction(connection):
                gap = find_gap(connection, seen)
                for name, mark in sorted(gap.behind.items()):
                    raise_to(connection, name, mark)
                self._ids.forget()
                alarms = [*_of_gap(connection, gap), *_of_marks(seen, timeline), *self._of_unread(seen)]
                raise_alarms(connection, alarms, self._clock.now())
            # Only after the commit: if it fails, the gap is found again.
            if is_alone:
                with self._told():
                    rows = _without(seen, gap)
                    self.marks.write(replace(seen, timeline=timeline or seen.timeline, lost="", rows=rows))
                    self._expected = True
        for alarm in alarms:
            log.error("database.discontinuity", kind=alarm.kind, subject=alarm.subject, detail=alarm.detail)

    def lacks(self, tx: Connection) -> bool:
        """Whether a marked row or counter is gone: the database was replaced under open connections."""
        return bool(find_gap(tx, self._own(self.marks.read())))

    def has_news(self) -> bool:
        """Whether numbers were handed out since rows were noted last."""
        return any(self._ids.last(table.name) != self._noted.get(table.name, 0) for table in MARKED)

    def note_counters(self, ends: Mapping[str, int]) -> None:
        """Before the numbers below these ends are used."""
        with self._told():
            self.marks.change(lambda seen: self._own(seen).raised(ends))

    def note_lost(self, path: str) -> bool:
        """Leave it for an alarm to tell; False when that is not possible now."""
        with self._told():
            self.marks.change(lambda seen: replace(self._own(seen), lost=path))
            return True
        return False

    def note_rows(self, tx: Connection) -> None:
        """The newest rows that this process wrote, and how far all brokers' numbers are, as the database has them."""
        given = {table: self._ids.last(table.name) for table in MARKED}
        rows = {table.name: row for table, number in given.items() if number and (row := _newest(tx, table, number))}
        ends = _counters(tx)
        if rows or ends != self._ends:
            with self._told():
                self.marks.change(lambda seen: self._own(seen).with_rows(self.marks.process, rows).raised(ends))
                self._ends = ends
        self._noted = {table.name: number for table, number in given.items()}

    @contextmanager
    def _alone(self) -> Iterator[bool]:
        """Alone with the marks. False where they cannot be locked, which stops nobody: numbers go on all the same."""
        with ExitStack() as held:
            is_alone = False
            with self._told():
                held.enter_context(self.marks.held())
                is_alone = True
            yield is_alone

    def _of_unread(self, seen: Seen) -> Iterator[Alarm]:
        """Marks that were there and are no more: a copy that was restored meanwhile would go unseen."""
        if seen.unread == "damaged" or (seen.unread and self._expected):
            yield Alarm("marks-lost", str(self.marks.file)[-200:], detail=f"the file was {seen.unread}")

    def _own(self, seen: Seen) -> Seen:
        """Of another database, which this folder belonged to before, only the counters count: its files are here."""
        if seen.database == self._identity:
            return seen
        return Seen(database=self._identity, counters=seen.counters, unread=seen.unread)

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Go on when marks cannot be written: they matter only once a copy is restored. One log line says so."""
        try:
            yield
            self._told_of_marks = False
        except OSError as error:
            if not self._told_of_marks:
                log.error("database.marks_not_written", errno=error.errno)
            self._told_of_marks = True


def find_gap(tx: Connection, seen: Seen) -> Gap:
    """What the marks have and the database lacks. More is not a gap: other processes may have written it."""
    missing = {}
    for table in MARKED:
        marked = [row for row in seen.rows.get(table.name, {}).values() if not _is_there(tx, table, row)]
        if marked:
            missing[table.name] = max(marked, key=lambda row: row[1])
    found = _counters(tx)
    behind = {name: mark for name, mark in seen.counters.items() if found.get(name, 1) < mark}
    return Gap(missing, behind)


def _counters(tx: Connection) -> dict[str, int]:
    return {row.name: row.next for row in tx.execute(select(id_blocks.c.name, id_blocks.c.next))}


def _instant(table: Table) -> ColumnElement[str]:
    """As the text that it is kept as."""
    return type_coerce(table.c[MARKED[table]], String)


def _is_there(tx: Connection, table: Table, row: Row) -> bool:
    """By its instant too: in another copy its number may be another row's."""
    return tx.execute(select(_instant(table)).where(table.c.id == row[0])).scalar() == row[1]


def _newest(tx: Connection, table: Table, number: int) -> Row | None:
    """The row with the highest number up to this one: the last number handed out may have been rolled back."""
    query = select(table.c.id, _instant(table)).where(table.c.id <= number).order_by(table.c.id.desc()).limit(1)
    found = tx.execute(query).first()
    return None if found is None else (found[0], found[1])


def _timeline(backend: Backend, connection: Connection) -> str:
    """ "" where there is none, or it may not be read."""
    try:
        with backend.transaction(connection):
            return backend.timeline(connection)
    except SQLAlchemyError as error:
        if fault_of(error)[0] is Fault.UNAVAILABLE:
            raise
        return ""


def _of_gap(tx: Connection, gap: Gap) -> Iterator[Alarm]:
    """In words: from the newest row that is there and came before the missing one, to that."""
    if not gap:
        return
    parts = [_part(tx, table, gap.missing[table.name]) for table in MARKED if table.name in gap.missing]
    given = ", ".join(f"{name} {mark - 1}" for name, mark in sorted(gap.behind.items()) if name in WORDS)
    if given:
        parts.append(f"numbers may have been given up to {given}")
    yield Alarm("database-restored", parts[0][:200] if parts else "counters", detail="; ".join(parts))


def _of_marks(seen: Seen, timeline: str) -> Iterator[Alarm]:
    if timeline and seen.timeline not in ("", timeline):
        yield Alarm("database-failover", f"timeline {timeline}", detail=f"until now the timeline was {seen.timeline}")
    if seen.lost:
        yield Alarm("database-lost", seen.lost[-200:], detail="what was open was no longer what was at this path")


def _part(tx: Connection, table: Table, last: Row) -> str:
    instant = _instant(table)
    before = select(table.c.id, instant).where(instant <= last[1]).order_by(instant.desc(), table.c.id.desc()).limit(1)
    number, since = tx.execute(before).first() or (0, "the beginning")
    return f"{WORDS[table.name]} {number + 1} to {last[0]}, from {since} to {last[1]}"


def _without(seen: Seen, gap: Gap) -> Mapping[str, Mapping[str, Row]]:
    return {table: rows for table, rows in seen.rows.items() if table not in gap.missing}
