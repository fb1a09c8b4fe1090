"""Performed steps: the facts, each message as received, and the links to scheduled steps."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, bindparam, select, update

from broker.domain.linking import How, Link, Sure
from broker.domain.order import PerformedState
from broker.domain.performed import PerformedMessage, PerformedStep
from broker.store.one_of import is_any, many
from broker.store.prepared import add, prepared, write
from broker.store.tables import performed_links, performed_messages, performed_steps

COLUMNS = tuple(
    performed_steps.c[name]
    for name in (
        "id", "sop_instance_uid", "state", "performed_id", "patient_number", "patient_issuer", "modality",
        "station_ae_title", "started_at", "ended_at", "reason", "series_count", "image_count", "peer", "created_at",
        "updated_at",
    )
)  # fmt: skip
LINK_COLUMNS = tuple(performed_links.c[name] for name in ("order_id", "procedure_id", "step_id", "how", "sure"))


@dataclass(frozen=True, slots=True)
class KeptMessage:
    """An N-CREATE or N-SET to keep. command: "N-CREATE" or "N-SET"."""

    id: int
    performed_step_id: int
    command: str
    message: PerformedMessage


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """An N-CREATE or N-SET as received."""

    at: datetime
    command: str
    peer: str
    transfer_syntax_uid: str
    dataset: bytes


@dataclass(frozen=True, slots=True)
class StoredLink:
    """A link of a performed step. id: of the link."""

    id: int
    performed_step_id: int
    link: Link


def performed_by_uid(tx: Connection, uids: Iterable[str]) -> dict[str, tuple[PerformedStep, tuple[Link, ...]]]:
    """The performed steps with these SOP Instance UIDs, each with its links; one statement."""
    steps: dict[str, PerformedStep] = {}
    links: dict[str, list[Link]] = defaultdict(list)
    for row in _performed_by_uid.rows(tx, {"uids": many(tx, uids)}):
        step = _step(row[: len(COLUMNS)])
        steps[step.sop_instance_uid] = step
        if row[len(COLUMNS)] is not None:
            links[step.sop_instance_uid].append(_link(row[len(COLUMNS) :]))
    return {uid: (step, tuple(links[uid])) for uid, step in steps.items()}


@prepared
def _performed_by_uid(dialect: str) -> Select[Any]:
    return (
        select(*COLUMNS, *LINK_COLUMNS)
        .outerjoin(performed_links, performed_links.c.performed_step_id == performed_steps.c.id)
        .where(is_any(dialect, performed_steps.c.sop_instance_uid, "uids"))
        .order_by(performed_links.c.id)
    )


def add_performed(tx: Connection, steps: Sequence[PerformedStep]) -> None:
    add(tx, performed_steps, [_row(step) for step in steps])


def change_performed(tx: Connection, steps: Mapping[int, PerformedStep]) -> None:
    """Write the facts that an N-SET may change."""
    rows = [(key, _row(step)) for key, step in steps.items()]
    write(tx, _CHANGE, [{"of": key, **{f"new_{name}": row[name] for name in _CHANGING}} for key, row in rows])


_CHANGING = ("state", "ended_at", "reason", "series_count", "image_count", "updated_at")
_CHANGE = (
    update(performed_steps)
    .where(performed_steps.c.id == bindparam("of"))
    .values({name: bindparam(f"new_{name}") for name in _CHANGING})
)


def keep_messages(tx: Connection, kept: Sequence[KeptMessage]) -> None:
    rows = [
        {
            "id": item.id,
            "performed_step_id": item.performed_step_id,
            "at": item.message.received_at,
            "command": item.command,
            "peer": item.message.peer,
            "transfer_syntax_uid": item.message.transfer_syntax_uid,
            "dataset": item.message.dataset,
        }
        for item in kept
    ]
    add(tx, performed_messages, rows)


def add_links(tx: Connection, links: Sequence[StoredLink]) -> None:
    rows = [
        {
            "id": stored.id,
            "performed_step_id": stored.performed_step_id,
            "order_id": stored.link.order_id,
            "procedure_id": stored.link.procedure_id,
            "step_id": stored.link.step_id,
            "how": stored.link.how.value,
            "sure": stored.link.sure.value,
        }
        for stored in links
    ]
    add(tx, performed_links, rows)


def messages_of_performed(tx: Connection, performed_step_id: int) -> list[StoredMessage]:
    """Each N-CREATE and N-SET of a performed step as received, in the order of arrival."""
    of = performed_messages.c
    query = (
        select(of.at, of.command, of.peer, of.transfer_syntax_uid, of.dataset)
        .where(of.performed_step_id == performed_step_id)
        .order_by(of.at, of.id)
    )
    return [StoredMessage(*row) for row in tx.execute(query)]


def _step(row: Sequence[Any]) -> PerformedStep:
    return PerformedStep(row[0], row[1], PerformedState(row[2]), *row[3:])


def _link(row: Sequence[Any]) -> Link:
    return Link(row[0], row[1], row[2], How(row[3]), Sure(row[4]))


def _row(step: PerformedStep) -> dict[str, Any]:
    row = {column.name: getattr(step, column.name) for column in COLUMNS}
    return row | {"state": step.state.value}
