"""The story of one order: its steps, what happened and who caused it, performed steps, studies, alarms. Reads only."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, distinct, func, select

from broker.store.alarms import StoredAlarm, alarms_of_order
from broker.store.shown import ShownOrder, ShownStep, steps_where
from broker.store.tables import (
    instances,
    messages,
    performed_links,
    performed_steps,
    scheduled_steps,
    series,
    step_events,
    studies,
)


@dataclass(frozen=True, slots=True)
class ShownEvent:
    """One line of the timeline. control_id: MSH-10 of the message that caused it."""

    at: datetime
    kind: str
    step_id: str | None
    before: str | None
    after: str | None
    actor: str
    effect: str
    message_id: int | None
    control_id: str | None
    detail: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ShownPerformed:
    """A performed step and how it was linked. step_id None: linked to the procedure only."""

    sop_instance_uid: str
    performed_id: str
    state: str
    modality: str
    station_ae_title: str
    started_at: str
    ended_at: str | None
    reason: str
    series_count: int
    image_count: int
    step_id: str | None
    how: str
    sure: str


@dataclass(frozen=True, slots=True)
class ShownStudy:
    """Stored images of one study that are linked to the order."""

    study_uid: str
    modalities: tuple[str, ...]
    series: int
    images: int
    first_received_at: datetime
    last_received_at: datetime
    how: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class OrderStory:
    """An order with everything that happened to it, oldest first."""

    order: ShownOrder
    steps: tuple[ShownStep, ...]
    events: tuple[ShownEvent, ...]
    performed_steps: tuple[ShownPerformed, ...]
    studies: tuple[ShownStudy, ...]
    alarms: tuple[StoredAlarm, ...]
    cut: bool = False


def order_story(tx: Connection, order: ShownOrder, limit: int = 1_000) -> OrderStory:
    """Everything known of one order; `cut` when it has more events than `limit`."""
    events = timeline(tx, order.id, limit + 1)
    return OrderStory(
        order=order,
        steps=tuple(steps_where(tx, scheduled_steps.c.order_id == order.id, limit)),
        events=tuple(events[:limit]),
        performed_steps=tuple(_performed(tx, order.id, limit)),
        studies=tuple(_studies(tx, order.id, limit)),
        alarms=tuple(alarms_of_order(tx, order.id, limit)),
        cut=len(events) > limit,
    )


def timeline(tx: Connection, order_id: int, limit: int) -> list[ShownEvent]:
    """What happened to an order, oldest first, at most `limit`."""
    query: Select[Any] = (
        select(
            step_events.c.at, step_events.c.kind, scheduled_steps.c.step_id, step_events.c.before, step_events.c.after,
            step_events.c.actor, step_events.c.effect, step_events.c.message_id, messages.c.control_id,
            step_events.c.detail,
        )
        .outerjoin(scheduled_steps, scheduled_steps.c.id == step_events.c.step_id)
        .outerjoin(messages, messages.c.id == step_events.c.message_id)
        .where(step_events.c.order_id == order_id)
        .order_by(step_events.c.at, step_events.c.id)
        .limit(limit)
    )  # fmt: skip
    return [ShownEvent(*row) for row in tx.execute(query)]


def _performed(tx: Connection, order_id: int, limit: int) -> list[ShownPerformed]:
    p, link = performed_steps.c, performed_links.c
    query: Select[Any] = (
        select(p.sop_instance_uid, p.performed_id, p.state, p.modality, p.station_ae_title, p.started_at, p.ended_at,
               p.reason, p.series_count, p.image_count, scheduled_steps.c.step_id, link.how, link.sure)
        .join(performed_links, link.performed_step_id == p.id)
        .outerjoin(scheduled_steps, scheduled_steps.c.id == link.step_id)
        .where(link.order_id == order_id)
        .order_by(p.id, link.id)
        .limit(limit)
    )  # fmt: skip
    return [ShownPerformed(*row) for row in tx.execute(query)]


def _studies(tx: Connection, order_id: int, limit: int) -> list[ShownStudy]:
    """One row by study and way of linking from the database, merged by study here."""
    query: Select[Any] = (
        select(studies.c.study_uid, series.c.modality, func.count(distinct(series.c.id)), func.count(instances.c.id),
               func.min(instances.c.received_at), func.max(instances.c.received_at), instances.c.link_how)
        .join(series, series.c.id == instances.c.series_id)
        .join(studies, studies.c.id == series.c.study_id)
        .where(instances.c.order_id == order_id)
        .group_by(studies.c.study_uid, series.c.modality, instances.c.link_how)
        .order_by(func.min(instances.c.received_at))
        .limit(limit)
    )  # fmt: skip
    by_study: dict[str, list[Any]] = defaultdict(list)
    for row in tx.execute(query):
        by_study[row[0]].append(row)
    counted = _series_counts(tx, order_id)
    return [
        ShownStudy(
            study_uid=uid,
            modalities=tuple(dict.fromkeys(row[1] for row in rows)),
            series=counted[uid],
            images=sum(row[3] for row in rows),
            first_received_at=min(row[4] for row in rows),
            last_received_at=max(row[5] for row in rows),
            how=tuple(dict.fromkeys(row[6] for row in rows)),
        )
        for uid, rows in by_study.items()
    ]


def _series_counts(tx: Connection, order_id: int) -> dict[str, int]:
    """A series may be linked in several ways, so its count is asked for by study alone."""
    query: Select[Any] = (
        select(studies.c.study_uid, func.count(distinct(series.c.id)))
        .join(series, series.c.study_id == studies.c.id)
        .join(instances, instances.c.series_id == series.c.id)
        .where(instances.c.order_id == order_id)
        .group_by(studies.c.study_uid)
    )
    return {row[0]: row[1] for row in tx.execute(query)}
