"""The journal of HL7 messages: written once, read to recognise repeats and remembered cancels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, bindparam, delete, select

from broker.domain.orderbook import FirstAnswer, JournalEntry, RememberedCancel, RepeatKey, repeat_key
from broker.domain.request import ReceivedMessage
from broker.store.one_of import is_any, many
from broker.store.prepared import add, prepared, write
from broker.store.tables import messages, remembered_cancels

REASON_LENGTH = 2000  # characters of a reason that the journal keeps


def sender_text(message: ReceivedMessage) -> str:
    """How the journal names a sender: application|facility."""
    return f"{message.sender.application}|{message.sender.facility}"


def first_answers(tx: Connection, received: Iterable[ReceivedMessage]) -> dict[RepeatKey, FirstAnswer]:
    """For messages that came before with the same sender, control id and bytes and were accepted: their answer."""
    wanted = {(sender_text(m), m.control_id, m.digest): repeat_key(m) for m in received if m.control_id}
    if not wanted:
        return {}
    found: dict[RepeatKey, FirstAnswer] = {}
    for row in _same_control_id.rows(tx, {"control_ids": many(tx, (key[1] for key in wanted))}):
        key = wanted.get((row.sender, row.control_id, row.digest))
        if key is not None:
            found.setdefault(key, FirstAnswer(row.id, row.answered_at))
    return found


@prepared
def _same_control_id(dialect: str) -> Select[Any]:
    m = messages.c
    return (
        select(m.id, m.sender, m.control_id, m.digest, m.answered_at)
        .where(is_any(dialect, m.control_id, "control_ids"), m.cause.is_(None), m.answers.is_(None))
        .order_by(m.id)
    )


def recent_cancels(tx: Connection, numbers: Iterable[str], since: datetime) -> list[RememberedCancel]:
    """Cancels that came before their order, by placer, filler or accession number, not older than `since`."""
    rows = _cancels.rows(tx, {"numbers": many(tx, numbers), "since": since})
    return [RememberedCancel(*row) for row in rows]


@prepared
def _cancels(dialect: str) -> Select[Any]:
    c = remembered_cancels.c
    columns = (
        c.id,
        c.sender_group,
        c.application,
        c.placer_number,
        c.filler_number,
        c.accession_number,
        c.stamps,
        c["at"],
        c.message_id,
    )
    named = [is_any(dialect, column, "numbers") for column in (c.placer_number, c.filler_number, c.accession_number)]
    return select(*columns).where(named[0] | named[1] | named[2], c["at"] >= bindparam("since")).order_by(c.id)


def keep_messages(tx: Connection, entries: Sequence[JournalEntry]) -> None:
    """Write journal rows."""
    add(tx, messages, [_row(entry) for entry in entries])


_FORGET_CANCEL = delete(remembered_cancels).where(remembered_cancels.c.id == bindparam("of_id"))


def keep_cancels(tx: Connection, cancels: Iterable[RememberedCancel]) -> None:
    """Remember cancels, each with the message that brought it last; of those with one id the last counts."""
    last = {cancel.id: cancel for cancel in cancels}
    write(tx, _FORGET_CANCEL, [{"of_id": number} for number in last])
    rows = [
        {
            "id": cancel.id,
            "message_id": cancel.message_id,
            "at": cancel.at,
            "sender_group": cancel.sender_group,
            "application": cancel.application,
            "placer_number": cancel.placer,
            "filler_number": cancel.filler,
            "accession_number": cancel.accession,
            "stamps": cancel.stamps,
        }
        for cancel in last.values()
    ]
    add(tx, remembered_cancels, rows)


def _row(entry: JournalEntry) -> dict[str, Any]:
    message = entry.message
    return {
        "id": entry.id,
        "received_at": message.received_at,
        "peer": _cut(messages.c.peer, message.peer),
        "sender": _cut(messages.c.sender, sender_text(message)),
        "receiver": _cut(messages.c.receiver, f"{message.receiving_application}|{message.receiving_facility}"),
        "message_type": _cut(messages.c.message_type, f"{message.message_type}^{message.trigger_event}"),
        "control_id": _cut(messages.c.control_id, message.control_id),
        "version": _cut(messages.c.version, message.version),
        "processing_id": _cut(messages.c.processing_id, message.processing_id),
        "charset": _cut(messages.c.charset, message.charset),
        "message_time": message.message_time,
        "digest": message.digest,
        "raw": message.raw,
        "outcome": entry.outcome.value,
        "reason": entry.reason[:REASON_LENGTH],
        "cause": entry.cause.name if entry.cause else None,
        "location": _cut(messages.c.location, entry.location),
        "answered_at": entry.answered_at,
        "answers": entry.answers,
    }


def _cut(column: Any, value: str) -> str:
    """Header texts of any length are kept as far as their column goes (the raw bytes keep all); no NUL in text."""
    return value[: column.type.length].replace("\x00", "")
