"""Lines of the timeline, written as they happen; `story` reads them."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection

from broker.domain.order import Event
from broker.store.ids import Ids
from broker.store.prepared import add
from broker.store.tables import step_events


def save_events(tx: Connection, ids: Ids, new: Sequence[Event]) -> None:
    """Write lines of the timeline."""
    rows = [
        {
            "id": ids.next("step_events"),
            "at": event.at,
            "order_id": event.order_id,
            "procedure_id": event.procedure_id,
            "step_id": event.step_id,
            "kind": event.kind,
            "before": event.before,
            "after": event.after,
            "effect": event.effect,
            "actor": event.actor,
            "order_group": event.group,
            "message_id": event.message_id,
            "performed_step_id": event.performed_step_id,
            "instance_id": event.instance_id,
            "detail": dict(event.detail),
        }
        for event in new
    ]
    add(tx, step_events, rows)
