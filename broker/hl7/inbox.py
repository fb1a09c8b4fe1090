"""The HL7 inbox: one message in, one answer out, always; the message is in the journal before it is answered.

Source: HL7 2.5.1 2.9.2 (original mode), table 0357; a refusal is journalled and answered like any other decision.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import count
from typing import Any, Literal

import structlog

from broker.clock import Clock
from broker.domain.request import (
    Cause,
    KeepMessage,
    MessageAnswer,
    Outcome,
    PlaceOrder,
    ReceivedMessage,
    Refusal,
    nowhere,
)
from broker.errors import BrokerError, Busy, DatabaseUnavailable, Stopping, UnreadableMessage
from broker.hl7v2.ack import AckError, AckHeader, Code, acknowledge, header_of
from broker.hl7v2.escapes import unescape
from broker.hl7v2.reader import Message, read
from broker.hl7v2.times import read_instant
from broker.mapping.messages import orm_o01
from broker.mapping.messages.locate import locate
from broker.site.profile import Site
from broker.store.writer import Verb, Writer

log = structlog.get_logger()

Request = PlaceOrder | KeepMessage
Reader = Callable[[Message, ReceivedMessage, Any], Request]


@dataclass(frozen=True, slots=True)
class Route:
    """What is done with one kind of message.

    read  file of broker/mapping/messages: what the fields mean. It may return a KeepMessage, which is only journalled.
    verb  what its PlaceOrder is handed to: "place_order"
    """

    read: Reader
    verb: Literal["place_order"] = "place_order"


ROUTES: Mapping[tuple[str, str], Route] = {
    ("ORM", "O01"): Route(orm_o01.read, "place_order"),
}
"""MSH-9.1 and MSH-9.2 -> reader, verb. One more message type is one file in broker/mapping/messages and one row here.

The file has one function, `read(message, received, site) -> PlaceOrder | KeepMessage`; orm_o01 shows the long form.
A type that is only acknowledged and kept returns `KeepMessage(received, Outcome.IGNORED)`.
"""

ANSWERS: Mapping[Cause, tuple[Code, int]] = {
    Cause.NOT_HL7: ("AR", 100),
    Cause.MESSAGE_TYPE: ("AR", 200),
    Cause.TRIGGER_EVENT: ("AR", 201),
    Cause.PROCESSING_ID: ("AR", 202),
    Cause.VERSION: ("AR", 203),
    Cause.INTERNAL: ("AR", 207),
    Cause.ORDER_CONTROL: ("AE", 101),
    Cause.MISSING: ("AE", 101),
    Cause.TOO_LONG: ("AE", 102),
    Cause.UNREADABLE: ("AE", 102),
    Cause.UNKNOWN_ORDER: ("AE", 204),
    Cause.AMBIGUOUS: ("AE", 205),
    Cause.CONTRADICTION: ("AE", 205),
    Cause.OTHER_PATIENT: ("AE", 205),
    Cause.STATE_FORBIDS: ("AE", 206),
}
"""Cause -> MSA-1 and the code of table 0357. AE: the content is wrong, sending it again cannot help."""

READ_IN_THREAD_BYTES = 100_000
"""Longer messages are read beside the event loop, so that other connections do not wait for them."""
BUSY_PAUSE_SECONDS = 0.05
"""Between two tries to hand over to a full writer; meanwhile the connection is not read."""

_HEADER_PATH = re.compile(r"MSH-(\d+)(?:\.(\d+))?")


@dataclass(frozen=True, slots=True)
class InboxLimits:
    """answer_seconds: how long a message may wait for its commit before it is answered AR 207."""

    answer_seconds: float = 20.0


@dataclass(slots=True)
class _Arrival:
    """One message on its way through the inbox; message and received are filled in as far as it can be read."""

    raw: bytes
    received: ReceivedMessage
    message: Message | None = None

    @property
    def header(self) -> AckHeader:
        return header_of(self.message) if self.message else AckHeader()


class Inbox:
    """Turns bytes into a request, hands it to the writer, and what came out into an answer."""

    def __init__(
        self,
        site: Site,
        place_order: Verb,
        keep_message: Verb,
        writer: Writer,
        clock: Clock,
        limits: InboxLimits | None = None,
        routes: Mapping[tuple[str, str], Route] = ROUTES,
    ) -> None:
        self._site = site
        self._verbs = {"place_order": place_order}
        self._keep_message = keep_message
        self._writer = writer
        self._clock = clock
        self._limits = limits or InboxLimits()
        self._routes = routes
        self._types = {message_type for message_type, _ in routes}
        self._failures = count(1)

    async def receive(self, raw: bytes, peer: str) -> bytes:
        """Answer one message.

        raw      the message without its frame
        peer     "ip:port"
        returns  the answer without its frame; AR 207 on our own failure or when the commit takes too long
        """
        arrival = self._arrival(raw, peer)
        try:
            if len(raw) > READ_IN_THREAD_BYTES:
                verb, request = await asyncio.to_thread(self._read, arrival)
            else:
                verb, request = self._read(arrival)
            answer = await self._hand_over(verb, request)
            return self._answer(arrival, answer)
        except (Busy, Stopping, DatabaseUnavailable, TimeoutError) as fault:
            log.warning("hl7.try_again", peer=peer, fault=type(fault).__name__)
            return self._try_again(arrival)
        except Exception as fault:
            return await self._failed(arrival, fault)

    async def refuse(self, head: bytes, peer: str, too_long: bool) -> bytes:
        """Answer a message that was not kept.

        head      its beginning
        too_long  True: longer than we take, AE 102; False: no memory for it now, AR 207
        """
        arrival = self._arrival(head, peer)
        try:
            self._split(arrival)
        except UnreadableMessage:
            log.info("hl7.unreadable_head", peer=peer)
        if not too_long:
            log.warning("hl7.try_again", peer=peer, fault="no room")
            return self._try_again(arrival)
        refusal = Refusal(Cause.TOO_LONG, detail="the message is longer than this broker takes")
        try:
            request = _refused(arrival, refusal, "")
            return self._answer(arrival, await self._hand_over(self._keep_message, request))
        except (BrokerError, TimeoutError) as fault:
            log.warning("hl7.try_again", peer=peer, fault=type(fault).__name__)
            return self._try_again(arrival)
        except Exception as fault:
            return await self._failed(arrival, fault)

    def _arrival(self, raw: bytes, peer: str) -> _Arrival:
        digest = hashlib.sha256(raw).hexdigest()
        sender = self._site.sender("", "")
        return _Arrival(raw, ReceivedMessage(raw, peer[:64], self._clock.now(), sender, digest=digest))

    def _read(self, arrival: _Arrival) -> tuple[Verb, Request]:
        try:
            message = self._split(arrival)
        except UnreadableMessage as fault:
            refusal = Refusal(Cause.NOT_HL7, detail=fault.text)
            return self._keep_message, _refused(arrival, refusal, "")
        if refusal := self._objection(message):
            return self._keep_message, _refused(arrival, refusal, _header_location(refusal))
        route = self._routes[_type_of(message)]
        request = route.read(message, arrival.received, self._site)
        if isinstance(request, KeepMessage):
            if request.refusal and not request.location:
                request = replace(request, location=self._locate(arrival, request.refusal))
            return self._keep_message, request
        if request.locate is nowhere:
            request = replace(request, locate=lambda refusal: self._locate(arrival, refusal))
        return self._verbs[route.verb], replace(request, warnings=(*_header_warnings(arrival), *request.warnings))

    def _split(self, arrival: _Arrival) -> Message:
        """Split the message and fill in what its header says."""
        message = read(arrival.raw)
        arrival.message = message
        arrival.received = self._received(message, arrival.received)
        return message

    def _received(self, message: Message, bare: ReceivedMessage) -> ReceivedMessage:
        def header(field: int, longest: int) -> str:
            """First component; as long as the journal's column."""
            text = message.header.field(field).split(message.delimiters.component)[0]
            return unescape(text, message.delimiters).strip()[:longest]

        message_type, trigger_event = _type_of(message)
        return replace(
            bare,
            sender=self._site.sender(header(3, 240), header(4, 240)),
            receiving_application=header(5, 240),
            receiving_facility=header(6, 240),
            message_type=message_type[:8],
            trigger_event=trigger_event[:8],
            control_id=header(10, 199),
            version=header(12, 60),
            processing_id=header(11, 20),
            charset=message.charset[:60],
            message_time=read_instant(header(7, 40), self._site.zone),
        )

    def _objection(self, message: Message) -> Refusal | None:
        """What the header says against the message: version, processing id, type and event, in this order."""
        first = message.delimiters.component
        if message.header.field(12).split(first)[0].strip() not in self._site.versions:
            return Refusal(Cause.VERSION, "MSH-12")
        if message.header.field(11).split(first)[0].strip() not in self._site.processing_ids:
            return Refusal(Cause.PROCESSING_ID, "MSH-11")
        typed = _type_of(message)
        if typed[0] not in self._types:
            return Refusal(Cause.MESSAGE_TYPE, "MSH-9.1")
        if typed not in self._routes:
            return Refusal(Cause.TRIGGER_EVENT, "MSH-9.2")
        return None

    def _locate(self, arrival: _Arrival, refusal: Refusal) -> str:
        assert arrival.message is not None
        return locate(arrival.message, refusal, self._site.rows_for(arrival.received.sender))

    async def _hand_over(self, verb: Verb, request: Request) -> MessageAnswer:
        """Wait for the commit; a request that the writer has not taken when the wait is over is withdrawn."""
        size_bytes = len(request.message.raw)
        async with asyncio.timeout(self._limits.answer_seconds):
            while True:
                try:
                    waiting = self._writer.submit(verb, request, size_bytes)
                    break
                except Busy:
                    await asyncio.sleep(BUSY_PAUSE_SECONDS)
            answer: MessageAnswer = await asyncio.wrap_future(waiting)
            return answer

    def _answer(self, arrival: _Arrival, answer: MessageAnswer) -> bytes:
        """Made from the journal's facts alone, so that a repeat gets the same bytes again."""
        refusal = answer.refusal
        log.info(
            "hl7.message",
            peer=arrival.received.peer,
            message=answer.message_id,
            outcome=answer.outcome.value,
            cause=refusal.cause.name if refusal else None,
        )
        control_id = f"MWL{answer.message_id}"
        return self._acknowledge(arrival, refusal, answer.location, control_id, answer.answered_at)

    def _acknowledge(
        self, arrival: _Arrival, refusal: Refusal | None, location: str, control_id: str, at: datetime
    ) -> bytes:
        local = at.astimezone(self._site.zone)
        if refusal is None:
            return acknowledge(arrival.header, "AA", control_id=control_id, at=local)
        code, number = ANSWERS[refusal.cause]
        error = AckError(number, location, refusal.text)
        return acknowledge(arrival.header, code, refusal.text, error, control_id=control_id, at=local)

    def _try_again(self, arrival: _Arrival) -> bytes:
        """AR 207 without a journal row, with a control id of its own kind."""
        now = self._clock.now()
        control_id = f"MWLX{now:%y%m%d%H%M%S}{next(self._failures) % 10_000:04d}"
        return self._acknowledge(arrival, Refusal(Cause.INTERNAL), "", control_id, now)

    async def _failed(self, arrival: _Arrival, fault: Exception) -> bytes:
        """A fault of ours: log it without content, journal the message if that is possible, and say try again."""
        at = _where(fault)
        log.error("hl7.failed", peer=arrival.received.peer, fault=type(fault).__name__, at=at)
        refusal = Refusal(Cause.INTERNAL)
        request = KeepMessage(arrival.received, Outcome.QUARANTINED, f"{type(fault).__name__} at {at}", refusal)
        try:
            return self._answer(arrival, await self._hand_over(self._keep_message, request))
        except Exception as again:
            log.error("hl7.not_journalled", peer=arrival.received.peer, fault=type(again).__name__)
            return self._try_again(arrival)


def _type_of(message: Message) -> tuple[str, str]:
    """MSH-9.1 and MSH-9.2; the third component is of no use to us, and senders leave it out."""
    marks = message.delimiters
    parts = message.header.field(9).split(marks.repetition)[0].split(marks.component)
    return parts[0].strip(), parts[1].strip() if len(parts) > 1 else ""


def _refused(arrival: _Arrival, refusal: Refusal, location: str) -> KeepMessage:
    return KeepMessage(arrival.received, Outcome.REJECTED, refusal.text, refusal, location)


def _header_location(refusal: Refusal) -> str:
    """ERR location of "MSH-9.1": MSH^1^9^1^1."""
    found = _HEADER_PATH.fullmatch(refusal.subject)
    if found is None:
        return ""
    return f"MSH^1^{found[1]}^1^{found[2]}" if found[2] else f"MSH^1^{found[1]}"


def _header_warnings(arrival: _Arrival) -> list[str]:
    warnings = []
    if arrival.received.message_time is None:
        warnings.append("MSH-7 is empty or cannot be read")
    if arrival.message is not None and arrival.message.undecodable:
        warnings.append("some bytes have no meaning in the declared character set (MSH-18)")
    return warnings


def _where(fault: BaseException) -> str:
    """File and line of a fault, which hold no values."""
    trace = fault.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return ""
    return f"{trace.tb_frame.f_code.co_filename.rpartition('/')[2]}:{trace.tb_lineno}"
