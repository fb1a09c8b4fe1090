"""One message as it comes in: what its header says, and what the header says against it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime, tzinfo
from typing import Protocol

from broker.domain.request import Cause, KeepMessage, Outcome, ReceivedMessage, Refusal, Sender
from broker.hl7v2.ack import AckHeader, header_of
from broker.hl7v2.escapes import unescape
from broker.hl7v2.reader import Message, read
from broker.hl7v2.times import message_interval
from broker.mapping.rows import RowSet

MOST_HEADER_CHARACTERS = 4_000
"""Of a header's field that are looked at; the longest that the journal keeps has 240."""
_HEADER_PATH = re.compile(r"MSH-(\d+)(?:\.(\d+))?")


class Site(Protocol):
    """What this door needs of the site profile."""

    @property
    def zone(self) -> tzinfo: ...

    @property
    def versions(self) -> Collection[str]: ...

    @property
    def processing_ids(self) -> Collection[str]: ...

    @property
    def charset(self) -> str: ...

    def charset_for(self, sender: Sender) -> str: ...

    def sender(self, application: str, facility: str) -> Sender: ...

    def rows_for(self, sender: Sender) -> RowSet: ...


@dataclass(slots=True)
class Arrival:
    """A message on its way; `message` and most of `received` are filled in when it has been split.

    header   what the answer takes from it; the default one while nothing is known
    """

    received: ReceivedMessage
    message: Message | None = None
    header: AckHeader = AckHeader()


def arrive(raw: bytes, peer: str, at: datetime, site: Site) -> Arrival:
    """peer: "ip:port". at: when the last byte was here, UTC."""
    return Arrival(ReceivedMessage(raw, peer[:64], at, site.sender("", "")))


def split(arrival: Arrival, site: Site) -> Message:
    """Split the message and fill in what its header says.

    raises  UnreadableMessage when it is not HL7; TooMany (a subclass) past a bound of `hl7v2/segments`
    """
    message = read(arrival.received.raw, site.charset)
    arrival.received = _received(message, arrival.received, site)
    own = site.charset_for(arrival.received.sender)
    if own != site.charset:
        message = read(arrival.received.raw, own)
    arrival.message = message
    arrival.header = header_of(message)
    return message


def keep_beginning(arrival: Arrival, longest_bytes: int, site: Site) -> None:
    """Cut the message to its beginning, and fill in what its header says, which is read by itself."""
    whole = arrival.received
    arrival.received = replace(whole, raw=re.split(rb"[\r\n]", whole.raw[:longest_bytes], maxsplit=1)[0])
    split(arrival, site)
    arrival.received = replace(arrival.received, raw=whole.raw[:longest_bytes], digest=_digest(whole.raw))


def type_of(message: Message) -> tuple[str, str]:
    """MSH-9.1 and MSH-9.2; the third component is of no use to us, and senders leave it out."""
    marks = message.delimiters
    parts = message.header.field(9).split(marks.repetition, 1)[0].split(marks.component, 2)
    return parts[0].strip(), parts[1].strip() if len(parts) > 1 else ""


def objection(message: Message, site: Site, known: Collection[tuple[str, str]]) -> Refusal | None:
    """What the header says against the message: version, processing id, type and event, in this order.

    known   type and event of the messages that are taken
    source  HL7 2.5.1 2.9.2.2: these are the causes of AR
    """
    first = message.delimiters.component
    if message.header.field(12).split(first, 1)[0].strip() not in site.versions:
        return Refusal(Cause.VERSION, "MSH-12")
    if message.header.field(11).split(first, 1)[0].strip() not in site.processing_ids:
        return Refusal(Cause.PROCESSING_ID, "MSH-11")
    typed = type_of(message)
    if typed in known:
        return None
    if any(typed[0] == message_type for message_type, _ in known):
        return Refusal(Cause.TRIGGER_EVENT, "MSH-9.2")
    return Refusal(Cause.MESSAGE_TYPE, "MSH-9.1")


def header_location(refusal: Refusal) -> str:
    """ERR location of a header's field: "MSH-9.1" is MSH^1^9^1^1; "" for anything else."""
    found = _HEADER_PATH.fullmatch(refusal.subject)
    if found is None:
        return ""
    return f"MSH^1^{found[1]}^1^{found[2]}" if found[2] else f"MSH^1^{found[1]}"


def refused(arrival: Arrival, refusal: Refusal) -> KeepMessage:
    """What the journal keeps of a message that the door refuses."""
    received = arrival.received
    if not received.digest:
        received = replace(received, digest=_digest(received.raw))
    return KeepMessage(received, Outcome.REJECTED, refusal.text, refusal, header_location(refusal))


def header_warnings(arrival: Arrival) -> tuple[str, ...]:
    """What is wrong with the header or the bytes, and refuses nothing."""
    warnings = []
    if arrival.received.message_time is None:
        warnings.append("MSH-7 is empty or cannot be read")
    if arrival.message is not None and not arrival.message.charset and not arrival.received.raw.isascii():
        warnings.append("MSH-18 is empty; the character set was assumed")
    if arrival.message is not None and arrival.message.undecodable:
        warnings.append("some bytes have no meaning in the declared character set (MSH-18)")
    return tuple(warnings)


def _received(message: Message, bare: ReceivedMessage, site: Site) -> ReceivedMessage:
    def header(field: int, longest: int) -> str:
        """First component, as long as the journal's column takes it."""
        text = message.header.field(field).split(message.delimiters.component, 1)[0][:MOST_HEADER_CHARACTERS]
        return unescape(text, message.delimiters).strip()[:longest]

    message_type, trigger_event = type_of(message)
    message_time, message_time_latest = message_interval(message, site.zone) or (None, None)
    return replace(
        bare,
        sender=site.sender(header(3, 240), header(4, 240)),
        receiving_application=header(5, 240),
        receiving_facility=header(6, 240),
        message_type=message_type[:9],
        trigger_event=trigger_event[:9],
        control_id=header(10, 199),
        version=header(12, 60),
        processing_id=header(11, 20),
        charset=message.charset[:60],
        message_time=message_time,
        message_time_latest=message_time_latest,
        digest=_digest(bare.raw),
    )


def _digest(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()
