"""What made the open steps: the messages whose values they took, in their order of effect, to be read anew."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import Connection, Select, bindparam, select

from broker.domain.order import OPEN
from broker.store.one_of import is_any, many
from broker.store.tables import messages, orders, scheduled_steps, step_events

_OPEN_STATES = tuple(sorted(state.value for state in OPEN))


@dataclass(frozen=True, slots=True)
class ValueEvent:
    """One order of a message whose values a step took. effect: "update" or "descriptive"."""

    patient_id: int
    order_id: int
    step_id: int
    group: int
    effect: str
    message_id: int


@dataclass(frozen=True, slots=True)
class JournalledMessage:
    """A message as it came. message_type: (MSH-9.1, MSH-9.2)."""

    raw: bytes
    message_type: tuple[str, str]
    application: str
    facility: str
    version: str
    peer: str
    received_at: datetime
    message_time: datetime | None


def stale_patients(tx: Connection, rows_hash: str, limit: int) -> list[int]:
    """Patients with open steps that other rows made than those of this hash."""
    steps = scheduled_steps.c
    query = (
        select(steps.patient_id)
        .distinct()
        .where(steps.state.in_(_OPEN_STATES), steps.rows_hash != rows_hash)
        .order_by(steps.patient_id)
        .limit(limit)
    )
    return list(tx.execute(query).scalars())


def value_events(tx: Connection, patient_ids: Iterable[int]) -> Sequence[ValueEvent]:
    """All events of these patients' orders that took values of a message, in their order of effect."""
    rows = tx.execute(_value_events(tx.dialect.name), {"ids": many(tx, patient_ids)})
    return [ValueEvent(*row) for row in rows]


@cache
def _value_events(dialect: str) -> Select[Any]:
    e = step_events.c
    return (
        select(orders.c.patient_id, e.order_id, e.step_id, e.order_group, e.effect, e.message_id)
        .join(orders, orders.c.id == e.order_id)
        .where(is_any(dialect, orders.c.patient_id, "ids"), e.effect != "", e.message_id.is_not(None))
        .order_by(e["at"], e.id)
    )


def journalled(tx: Connection, message_id: int) -> JournalledMessage:
    """One message as it came."""
    row = tx.execute(_JOURNALLED, {"of_id": message_id}).one()
    kind, _, event = row.message_type.partition("^")
    application, _, facility = row.sender.partition("|")
    return JournalledMessage(
        row.raw, (kind, event), application, facility, row.version, row.peer, row.received_at, row.message_time
    )


_JOURNALLED = select(
    messages.c.raw,
    messages.c.message_type,
    messages.c.sender,
    messages.c.version,
    messages.c.peer,
    messages.c.received_at,
    messages.c.message_time,
).where(messages.c.id == bindparam("of_id"))
