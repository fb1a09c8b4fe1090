"""The HL7 inbox: one message in, one answer out, always; the message is in the journal before it is answered.

Source: HL7 2.5.1 2.9.2 (original mode). A refusal is journalled and answered like any other decision.
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import count

import structlog

from broker.clock import Clock
from broker.domain.request import (
    Cause,
    KeepMessage,
    MessageAnswer,
    Outcome,
    PlaceOrder,
    Refusal,
    nowhere,
)
from broker.errors import Busy, DatabaseUnavailable, Stopping, TooMany, UnreadableMessage
from broker.hl7.answers import answer
from broker.hl7.arrival import (
    Arrival,
    Site,
    arrive,
    header_warnings,
    keep_beginning,
    objection,
    refused,
    split,
    type_of,
)
from broker.hl7.frames import HEAD_BYTES
from broker.mapping.messages.locate import locate
from broker.mapping.messages.readers import READERS, Reader
from broker.memory_budget import MemoryBudget
from broker.store.writer import Verb, Writer
from broker.tally import Counts

log = structlog.get_logger()

Request = PlaceOrder | KeepMessage

READ_HERE_BYTES = 10_000
READ_HERE_SEGMENTS = 100
"""Longer messages are read beside the event loop, so that other connections do not wait for them: what is read on it
takes a few milliseconds at worst."""
LONG_BYTES = 1_000_000
"""Messages beyond this length wait for each other, and no shorter one waits for them."""
READ_AT_ONCE_BYTES, READ_OF_HOST_BYTES = 20_000_000, 15_000_000
"""Long messages that are read and not yet answered, together and of one host: read, each takes up to ten times its
bytes."""
BUSY_PAUSE_SECONDS = 0.05
"""Between two tries to hand over to a full writer; meanwhile the connection is not read."""


@dataclass(frozen=True, slots=True)
class InboxLimits:
    """answer_seconds: how long a message may wait for its commit before it is answered AR 207.

    message_bytes  the longest message that comes
    """

    answer_seconds: float = 20.0
    message_bytes: int = 11_000_000


class Inbox:
    """Turns bytes into a request, hands it to the writer, and what came out into an answer.

    Which message types are taken is the table in broker/mapping/messages/readers.py: one more type is one file and one
    row there, and nothing here. What the reader returns chooses the verb: place_order or keep_message.

    outcomes  answers given, by outcome; "try again" where nothing was journalled
    """

    def __init__(
        self,
        site: Site,
        place_order: Verb,
        keep_message: Verb,
        writer: Writer,
        clock: Clock,
        limits: InboxLimits | None = None,
        readers: Mapping[tuple[str, str], Reader] = READERS,
    ) -> None:
        self._site = site
        self._place_order = place_order
        self._keep_message = keep_message
        self._writer = writer
        self._clock = clock
        self._limits = limits or InboxLimits()
        self._readers = readers
        self._tries_again = count(1)
        # One thread each: reading is work for the interpreter, which has one thread at a time. More would only make
        # everybody else wait longer for their turn, and hold more messages in memory.
        self._aside = ThreadPoolExecutor(1, "hl7-reading")
        self._long = ThreadPoolExecutor(1, "hl7-reading-long")
        self._reading = MemoryBudget(READ_AT_ONCE_BYTES, self._limits.message_bytes, READ_OF_HOST_BYTES)
        self.outcomes: Counts[str] = Counts()

    async def receive(self, raw: bytes, peer: str) -> bytes:
        """Answer one message.

        raw      the message without its frame
        peer     "ip:port"
        returns  the answer without its frame; AR 207 on our own failure or when the commit takes too long
        """
        return await self._conclude(arrive(raw, peer, self._clock.now(), self._site), self._read)

    async def refuse(self, head: bytes, peer: str, too_long: bool) -> bytes:
        """Answer a message that the listener did not keep.

        head      its beginning
        too_long  True: longer than we take, AE 102; False: no memory for it now, AR 207
        """
        read = self._read_too_long if too_long else self._read_without_room
        return await self._conclude(arrive(head, peer, self._clock.now(), self._site), read)

    async def _conclude(self, arrival: Arrival, read: Callable[[Arrival], tuple[Verb, Request]]) -> bytes:
        """The door's outermost call: whatever happens below, there is an answer."""
        try:
            if thread := self._thread_for(arrival.received.raw):
                return await self._conclude_aside(arrival, read, thread)
            verb, request = read(arrival)
            return self._tell(arrival, await self._hand_over(verb, request))
        except (Busy, Stopping, DatabaseUnavailable, TimeoutError) as fault:
            log.warning("hl7.try_again", peer=arrival.received.peer, fault=type(fault).__name__)
            return self._try_again(arrival)
        except asyncio.CancelledError:
            # The broker stops and its grace time is over: the sender is told to try again, whatever became of it.
            if task := asyncio.current_task():
                task.uncancel()
            return self._try_again(arrival)
        except Exception as fault:
            return await self._failed(arrival, fault)

    def _thread_for(self, raw: bytes) -> Executor | None:
        """Where a message is read; None: here."""
        if len(raw) <= READ_HERE_BYTES and raw.count(b"\r") + raw.count(b"\n") <= READ_HERE_SEGMENTS:
            return None
        return self._aside if len(raw) <= LONG_BYTES else self._long

    async def _conclude_aside(
        self, arrival: Arrival, read: Callable[[Arrival], tuple[Verb, Request]], thread: Executor
    ) -> bytes:
        """Read a longer message beside the event loop; the longest ones wait until there is memory for them."""
        raw, host = arrival.received.raw, arrival.received.peer.rpartition(":")[0]
        with self._reading.claim(host) as claim:
            if thread is self._long:
                async with asyncio.timeout(self._limits.answer_seconds):
                    await claim.grow(len(raw))
            verb, request = await asyncio.get_running_loop().run_in_executor(thread, read, arrival)
            return self._tell(arrival, await self._hand_over(verb, request))

    def _read(self, arrival: Arrival) -> tuple[Verb, Request]:
        """What is to be done with a message, and by which verb."""
        try:
            message = split(arrival, self._site)
        except TooMany as bound:
            keep_beginning(arrival, HEAD_BYTES, self._site)
            kept = refused(arrival, Refusal(Cause.TOO_MANY, detail=bound.text))
            return self._keep_message, replace(kept, location=str(bound.facts["place"]))
        except UnreadableMessage as fault:
            return self._keep_message, refused(arrival, Refusal(Cause.NOT_HL7, detail=fault.text))
        if refusal := objection(message, self._site, self._readers):
            return self._keep_message, refused(arrival, refusal)
        request = self._readers[type_of(message)](message, arrival.received, self._site)
        rows = self._site.rows_for(arrival.received.sender)
        if isinstance(request, KeepMessage):
            if request.refusal is not None and not request.location:
                request = replace(request, location=locate(message, request.refusal, rows))
            if request.refusal is not None and request.refusal.cause is Cause.TOO_MANY:
                request = replace(request, message=replace(request.message, raw=request.message.raw[:HEAD_BYTES]))
            return self._keep_message, request
        if request.locate is nowhere:
            request = replace(request, locate=lambda refusal: locate(message, refusal, rows))
        return self._place_order, replace(request, warnings=header_warnings(arrival) + request.warnings)

    def _read_too_long(self, arrival: Arrival) -> tuple[Verb, Request]:
        self._split_head(arrival)
        refusal = Refusal(Cause.TOO_LONG, detail="the message is longer than this broker takes; its beginning was kept")
        return self._keep_message, refused(arrival, refusal)

    def _read_without_room(self, arrival: Arrival) -> tuple[Verb, Request]:
        self._split_head(arrival)
        raise Busy("no room for a long message now", peer=arrival.received.peer)

    def _split_head(self, arrival: Arrival) -> None:
        try:
            split(arrival, self._site)
        except UnreadableMessage:
            log.info("hl7.unreadable_head", peer=arrival.received.peer)

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
            decided: MessageAnswer = await asyncio.wrap_future(waiting)
            return decided

    def _tell(self, arrival: Arrival, decided: MessageAnswer) -> bytes:
        """Made from the journal's facts alone, so that a repeat gets the same bytes again."""
        self.outcomes.add(decided.outcome.value)
        log.info(
            "hl7.message",
            peer=arrival.received.peer,
            message=decided.journal_id or decided.message_id,
            outcome=decided.outcome.value,
            cause=decided.refusal.cause.name if decided.refusal else None,
        )
        at = decided.answered_at.astimezone(self._site.zone)
        return answer(arrival.header, decided.refusal, decided.location, f"MWL{decided.message_id}", at)

    def _try_again(self, arrival: Arrival) -> bytes:
        """AR 207 without a journal row, and so with a control id of its own kind (at most 20 characters)."""
        self.outcomes.add("try again")
        now = self._clock.now().astimezone(self._site.zone)
        control_id = f"MWLX{now:%y%m%d%H%M%S}{next(self._tries_again) % 10_000:04d}"
        return answer(arrival.header, Refusal(Cause.INTERNAL), "", control_id, now)

    async def _failed(self, arrival: Arrival, fault: Exception) -> bytes:
        """A fault of ours: log it without content, journal the message if that is possible, and say try again."""
        place = _place(fault)
        log.error("hl7.failed", peer=arrival.received.peer, fault=type(fault).__name__, at=place)
        reason = f"{type(fault).__name__} at {place}"
        request = KeepMessage(arrival.received, Outcome.QUARANTINED, reason, Refusal(Cause.INTERNAL))
        try:
            return self._tell(arrival, await self._hand_over(self._keep_message, request))
        except Exception as again:
            log.error("hl7.not_journalled", peer=arrival.received.peer, fault=type(again).__name__)
            return self._try_again(arrival)


def _place(fault: BaseException) -> str:
    """Where a fault was raised; its text may hold values of a patient."""
    frames = traceback.extract_tb(fault.__traceback__)
    return f"{frames[-1].filename.rpartition('/')[2]}:{frames[-1].lineno}" if frames else ""
