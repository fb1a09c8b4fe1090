"""How much there is of what, for metrics: numbers only."""

from __future__ import annotations

from sqlalchemy import Connection, func, select

from broker.store.tables import alarms, scheduled_steps


def steps_by_state(tx: Connection) -> dict[tuple[str, bool], int]:
    """Scheduled steps by state, and whether they are held."""
    steps = scheduled_steps.c
    held = steps.held.is_not(None)
    rows = tx.execute(select(steps.state, held, func.count()).group_by(steps.state, held))
    return {(state, bool(is_held)): count for state, is_held, count in rows}


def open_alarms(tx: Connection) -> dict[str, int]:
    """Alarms that nobody has acknowledged, by kind."""
    query = select(alarms.c.kind, func.count()).where(alarms.c.acknowledged_at.is_(None)).group_by(alarms.c.kind)
    return {row[0]: row[1] for row in tx.execute(query)}
