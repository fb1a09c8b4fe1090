"""What a person must look at: raised by the verbs, listed and acknowledged by people."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, bindparam, case, select, update

from broker.domain.order import Alarm
from broker.store.ids import ALARM_IDS, reserve
from broker.store.one_of import is_any, many
from broker.store.prepared import add, prepared, write
from broker.store.tables import alarms as table


@dataclass(frozen=True, slots=True)
class StoredAlarm:
    """An alarm as kept.

    count            how often it was raised, from first_at to last_at
    acknowledged_at  None while it is open
    """

    id: int
    kind: str
    subject: str
    order_id: int | None
    detail: str
    first_at: datetime
    last_at: datetime
    count: int
    acknowledged_at: datetime | None
    acknowledged_by: str | None


_COLUMNS = tuple(table.c[name] for name in StoredAlarm.__slots__)
_AT = bindparam("at", type_=table.c.last_at.type)
_REPEAT = (
    update(table)
    .where(table.c.id == bindparam("of_id"))
    .values(
        count=table.c.count + 1,
        # The clock may have gone back since.
        last_at=case((table.c.last_at > _AT, table.c.last_at), else_=_AT),
        detail=bindparam("new_detail"),
    )
)
_ACKNOWLEDGE = (
    update(table)
    .where(table.c.id == bindparam("of_id"), table.c.acknowledged_at.is_(None))
    .values(acknowledged_at=bindparam("at"), acknowledged_by=bindparam("who"))
)


@prepared
def _open(_dialect: str) -> Select[Any]:
    of = table.c
    named = (of.kind == bindparam("of_kind"), of.subject == bindparam("of_subject"))
    return select(of.id).where(*named, of.acknowledged_at.is_(None))


def raise_alarms(tx: Connection, alarms: Sequence[Alarm], at: datetime) -> None:
    """Open an alarm, or count it up where the same (kind, subject) is open already; its latest detail is kept.

    Alarms are rare, so their numbers are taken here, in the caller's transaction, and not from a block in memory.
    """
    fresh: dict[tuple[str, str], dict[str, Any]] = {}
    for alarm in alarms:
        name = (alarm.kind, alarm.subject)
        if name in fresh:
            fresh[name]["count"] += 1
            fresh[name]["detail"] = alarm.detail
            continue
        known = _open.scalars(tx, {"of_kind": alarm.kind, "of_subject": alarm.subject})
        if not known:
            fresh[name] = _row(alarm, at)
        else:
            write(tx, _REPEAT, [{"of_id": known[0], "at": at, "new_detail": alarm.detail}])
    if fresh:
        first = reserve(tx, ALARM_IDS, len(fresh)) - len(fresh)
        add(tx, table, [row | {"id": first + position} for position, row in enumerate(fresh.values())])


def _row(alarm: Alarm, at: datetime) -> dict[str, Any]:
    return {
        "kind": alarm.kind,
        "subject": alarm.subject,
        "order_id": alarm.order_id,
        "detail": alarm.detail,
        "first_at": at,
        "last_at": at,
        "count": 1,
    }


def list_alarms(tx: Connection, *, acknowledged: bool = False, limit: int = 1000) -> list[StoredAlarm]:
    """The open alarms, latest first; with acknowledged=True the acknowledged ones as well."""
    query = select(*_COLUMNS).order_by(table.c.last_at.desc(), table.c.id.desc()).limit(limit)
    if not acknowledged:
        query = query.where(table.c.acknowledged_at.is_(None))
    return [StoredAlarm(*row) for row in tx.execute(query)]


def last_details(tx: Connection, kind: str, subjects: Iterable[str]) -> dict[str, str]:
    """By subject: the detail with which an alarm of this kind was raised last, open or acknowledged."""
    query = select(table.c.subject, table.c.detail).where(
        table.c.kind == kind, is_any(tx.dialect.name, table.c.subject, "subjects")
    )
    rows = tx.execute(query.order_by(table.c.id), {"subjects": many(tx, subjects)})
    return {row.subject: row.detail for row in rows}


def alarms_of_order(tx: Connection, order_id: int, limit: int = 1000) -> list[StoredAlarm]:
    """All alarms of an order, oldest first."""
    query = select(*_COLUMNS).where(table.c.order_id == order_id).order_by(table.c.first_at, table.c.id).limit(limit)
    return [StoredAlarm(*row) for row in tx.execute(query)]


def acknowledge(tx: Connection, alarm_id: int, by: str, at: datetime) -> bool:
    """Close an alarm in somebody's name; False when no open alarm has this id."""
    return tx.execute(_ACKNOWLEDGE, {"of_id": alarm_id, "at": at, "who": by}).rowcount == 1
