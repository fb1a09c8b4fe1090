"""One association in a thread of its own: its socket, its deadlines, its messages, TLS.

The thread waits in one blocking read or write; nothing polls.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections import deque
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import BinaryIO, Never, cast

import structlog

from broker.dicom.census import Census
from broker.dicom.command_set import C_CANCEL, BadCommand, CommandSet
from broker.dicom.contract import Command, Context, Peer, Reply, Request, Service
from broker.dicom.dispatch import answer
from broker.dicom.engine.association import EVENT_OF, Action, Association, Event, State
from broker.dicom.engine.messages import CommandFragments, Ended, Exchange, IncomingDataset, WrongFragment
from broker.dicom.engine.pdu import AbortReason, BadPdu, Pdu, PduReader, PduType, Pdv, fragment_room, reject_pdu
from broker.dicom.engine.wire import TlsWire, Wire
from broker.dicom.limits import OFFERED_PDU_BYTES, DicomLimits, PeerRules, RequestsInHand
from broker.dicom.negotiation import REASONS, BadRequest, Offer, Rejection, agree, read_request, rejection
from broker.dicom.status import Status, reply_for
from broker.errors import Stopping
from broker.places import has_unread_bytes

CLOSING_SECONDS = 5.0
"""ARTIM after the end of an association: for the peer to take our last words and close."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Door:
    """What all associations of one port share."""

    services: Mapping[str, Service]
    offer: Offer
    peers: PeerRules
    limits: DicomLimits
    in_hand: RequestsInHand
    census: Census
    tls: ssl.SSLContext | None = None


class Channel:
    """One connection, from its first byte to its close. `run` is its thread."""

    def __init__(self, door: Door, connection: socket.socket, host: str) -> None:
        self.host = host
        self._door = door
        self._wire: Wire = Wire(connection)
        self._association = Association()
        self._reader = PduReader(OFFERED_PDU_BYTES)
        self._pdus: deque[Pdu | BadPdu] = deque()
        self._pdvs: deque[Pdv] = deque()
        self._commands = CommandFragments()
        self._body = b""
        self._begun_at = 0.0
        self._contexts: Mapping[int, Context] = {}
        self.room = 0
        self._peer = Peer("", "", host)
        self._is_admitted = False
        self._why_cut = ""
        self._is_released = False

    def run(self) -> None:
        """Serve the connection to its end; never raises."""
        try:
            try:
                self._connect()
                self._associate()
                has_delivered = False
                while True:
                    self._door.census.rests(self, has_delivered=has_delivered)
                    self._serve(*self._next_command(time.monotonic() + self._door.limits.network_seconds))
                    has_delivered = True
            except Ended:
                self._say_goodbye()
        except OSError:
            pass  # nobody is left to say goodbye to
        except Exception as error:  # the outermost call of the thread; its text may hold what a peer sent
            log.error("dicom.engine_failed", error=type(error).__name__, peer=self.host)
        finally:
            self._wire.close()
            self._door.census.leaves(self)

    def cut(self, why: str) -> None:
        """End it from another thread: an association is aborted, a connection without one closed."""
        self._why_cut = why
        self._wire.stop_reading()

    def give_notice(self, why: str) -> None:
        self._why_cut = why

    def has_bytes(self) -> bool:
        return self._reader.has_begun or has_unread_bytes(self._wire.socket.fileno())

    def break_off(self) -> None:
        """Close the connection from another thread, whatever its own is doing."""
        self._wire.shut()

    # Beginning

    def _connect(self) -> None:
        self._association.occurs(Event.CONNECTED)
        if self._door.tls is None:
            return
        try:
            tls_wire = TlsWire(self._wire, self._door.tls)
            self._wire = tls_wire  # from here on it can be cut
            tls_wire.shake_hands(self._door.limits.association_seconds)
        except (OSError, ValueError) as error:
            self._finish(Event.DISCONNECTED, "tls handshake", error=type(error).__name__)

    def _associate(self) -> None:
        """From the request to our answer (AE-6 to AE-8)."""
        self._take(self._next_pdu(time.monotonic() + self._door.limits.association_seconds, strict=True))
        body = self._body
        while self._pdus:  # what came with the request came before our answer
            self._take(self._pdus.popleft())
        try:
            request = read_request(body)
        except BadRequest:
            self._finish(Event.INVALID_RECEIVED, "association request", AbortReason.INVALID_PARAMETER)
        self._peer = Peer(request.calling_ae_title, request.called_ae_title, self.host)
        refused = rejection(request, self._door.peers) or self._door.census.admit(self, self._peer)
        if refused:
            self._reject(refused)
        self._is_admitted = True
        agreement = agree(request, self._door.offer)
        self._contexts = agreement.contexts
        self.room = fragment_room(request.maximum_pdu_bytes)
        self._association.occurs(Event.ACCEPT, [agreement.answer])
        self._write_protocol()
        self._tell("accepted", contexts=len(agreement.contexts), tls=self._door.tls is not None)

    def _reject(self, why: Rejection) -> None:
        self._door.census.rejects(REASONS[why])
        self._door.census.ended("rejected")
        self._tell("rejected", reason=REASONS[why])
        self._association.occurs(Event.REJECT, [reject_pdu(*why)])
        raise Ended

    # What arrives

    def _next_pdu(self, limit: float, *, strict: bool) -> Pdu | BadPdu:
        """Wait for a PDU. It has to begin before limit; then it has message_seconds, or, if strict, until limit."""
        while not self._pdus:
            due = limit
            if self._reader.has_begun:
                whole = self._begun_at + self._door.limits.message_seconds
                due = min(limit, whole) if strict else whole
            try:
                data = self._wire.receive(due - time.monotonic())
            except TimeoutError:
                self._expire()
            except OSError:
                data = b""
            if not data:
                self._disconnect()
            self._feed(data)
        return self._pdus.popleft()

    def _feed(self, data: bytes) -> None:
        had_begun = self._reader.has_begun
        self._pdus += self._reader.feed(data)
        if self._reader.has_begun and (self._pdus or not had_begun):
            self._begun_at = time.monotonic()

    def _take(self, pdu: Pdu | BadPdu) -> None:
        """Let the association know of a PDU. raises Ended"""
        if isinstance(pdu, BadPdu):
            self._finish(Event.INVALID_RECEIVED, pdu.what, pdu.reason)
        known = self._association.state
        self._association.occurs(EVENT_OF[pdu.type])
        if pdu.type is PduType.ABORT:
            self._finish(None, "")
        if self._association.is_over:
            self._finish(None, "unexpected pdu", pdu=pdu.type.name, state=known.value)
        if pdu.type is PduType.P_DATA:
            self._pdvs += pdu.pdvs
        self._body = pdu.body

    def _next_pdv(self, limit: float, *, strict: bool) -> Pdv:
        """Wait for a fragment. raises Ended, also when the peer releases"""
        while not self._pdvs:
            if self._association.is_over:
                raise Ended
            if self._association.awaits_our_release:
                self._association.occurs(Event.RELEASE_REPLY)
                self._is_released = True
                self._door.census.ended("released")
                self._tell("released")
                raise Ended
            self._take(self._next_pdu(limit, strict=strict))
        pdv = self._pdvs.popleft()
        if pdv.context_id not in self._contexts:
            self._finish(Event.INVALID_RECEIVED, "unknown context", AbortReason.INVALID_PARAMETER)
        return pdv

    def _next_command(self, limit: float) -> tuple[int, CommandSet]:
        """Wait for a command set to be whole; its context and what it says."""
        strict = False
        while True:
            pdv = self._next_pdv(limit, strict=strict)
            if not strict:
                self._door.census.works(self)
                if self._why_cut:
                    self._disconnect()  # it gave way before its request came
            found = self._command_of(pdv)
            if found:
                self._door.census.sees(self._peer)
                return pdv.context_id, found
            if not strict:
                limit, strict = time.monotonic() + self._door.limits.message_seconds, True

    def _command_of(self, pdv: Pdv) -> CommandSet | None:
        """The command set that this fragment completes."""
        try:
            return self._commands.add(pdv)
        except WrongFragment:
            self._finish(Event.INVALID_RECEIVED, "fragment", AbortReason.UNEXPECTED_PARAMETER)
        except BadCommand:
            self._finish(Event.ABORT, "command set")

    def next_fragment(self, context_id: int, deadline: float) -> Pdv:
        """A fragment of the dataset that is being read. raises Ended"""
        if deadline:
            pdv = self._next_pdv(deadline, strict=True)
        else:
            pdv = self._next_pdv(time.monotonic() + self._door.limits.message_seconds, strict=False)
        if pdv.is_command or pdv.context_id != context_id:
            self._finish(Event.INVALID_RECEIVED, "fragment", AbortReason.UNEXPECTED_PARAMETER)
        return pdv

    # Answering

    def _serve(self, context_id: int, command: CommandSet) -> None:
        """Answer one request."""
        if command.field == C_CANCEL:
            return  # what it would cancel has been answered
        limits = self._door.limits
        whole_by = 0.0 if command.field == Command.C_STORE else time.monotonic() + limits.message_seconds
        most = limits.object_bytes if command.field == Command.C_STORE else limits.message_bytes
        with self._door.in_hand.one(), limits.memory.claim(self.host) as claim:
            dataset = IncomingDataset(self, context_id, whole_by, most, claim) if command.has_dataset else None
            exchange = Exchange(self, context_id, command, dataset)
            begun = dataset if dataset and dataset.begin() else None
            exchange.answer_with(self._replies(exchange, begun))
            if dataset and not dataset.is_whole:
                self._finish(Event.ABORT, "dataset length")

    def _replies(self, exchange: Exchange, dataset: IncomingDataset | None) -> Generator[Reply, None, None]:
        command = exchange.command
        if command.command is None:
            yield Reply(Status.UNRECOGNIZED_OPERATION)
            return
        if self._door.in_hand.stopping:
            yield reply_for(Stopping("the broker is stopping"), command.command)
            return
        request = Request(
            peer=self._peer,
            context=self._contexts[exchange.context_id],
            command=command.command,
            message_id=command.message_id,
            sop_class_uid=command.sop_class_uid,
            sop_instance_uid=command.sop_instance_uid,
            dataset=cast(BinaryIO, dataset),
            cancelled=exchange.is_cancelled,
        )
        yield from answer(self._door.services, request)

    @property
    def has_more(self) -> bool:
        """True when something has arrived that nobody has looked at."""
        return bool(self._pdus or self._pdvs)

    def look(self) -> list[CommandSet]:
        """Commands that have come meanwhile, without waiting. raises Ended"""
        if self._association.is_over:
            raise Ended
        try:
            data = self._wire.look()
        except OSError:
            data = b""
        if data == b"":
            self._disconnect()
        self._feed(data or b"")
        while self._pdus:
            self._take(self._pdus.popleft())
        found = []
        while self._pdvs:
            pdv = self._pdvs.popleft()
            if pdv.context_id not in self._contexts:
                self._finish(Event.INVALID_RECEIVED, "unknown context", AbortReason.INVALID_PARAMETER)
            if command := self._command_of(pdv):
                found.append(command)
        return found

    def refuse_second_request(self) -> Never:
        """One operation at a time is what was agreed on (PS3.7 D.3.3.3). raises Ended"""
        self._finish(Event.ABORT, "second request")

    def write(self, buffers: list[bytes]) -> None:
        """Send data; waits while the peer does not read, but not for ever. raises Ended"""
        if self._why_cut or self._association.is_over:
            self._disconnect()
        self._association.occurs(Event.SEND_DATA, buffers)
        self._write_protocol()

    def _write_protocol(self) -> None:
        buffers, self._association.outgoing = self._association.outgoing, []
        try:
            self._wire.send(buffers, self._door.limits.message_seconds)
        except TimeoutError:
            self._finish(Event.DISCONNECTED, "unread answers")
        except OSError:
            self._disconnect()

    # The end

    def _disconnect(self) -> Never:
        """Nothing more comes, by the peer's will or by ours. raises Ended"""
        if not self._why_cut:
            self._finish(Event.DISCONNECTED, "")
        self._finish(Event.ABORT if self._association.is_open else Event.DISCONNECTED, self._why_cut)

    def _expire(self) -> Never:
        """A deadline has passed. raises Ended"""
        if not self._association.is_open:
            self._finish(Event.ARTIM_EXPIRED, "no association request")
        begun = self._reader.has_begun or self._commands.have_begun
        self._finish(Event.ABORT, "half a message" if begun else "silence")

    def _finish(
        self, event: Event | None, why: str, reason: AbortReason = AbortReason.NOT_SPECIFIED, **facts: object
    ) -> Never:
        """Come to the end by an event (None: it has occurred), count it and say so. raises Ended

        why  a word for logs and counters, "" when the peer did nothing wrong
        """
        if self._association.is_over and event is not None:
            raise Ended  # which has been told
        if event is not None:
            self._association.occurs(event, reason=reason)
        if why:
            self._door.census.refuses(why)
            facts["reason"] = why
        if self._is_admitted:
            how = "aborted" if self._association.outgoing or event is None else "lost"
            self._door.census.ended(how)
            self._tell(how, **facts)
        elif why and not self._why_cut:  # a caller that cuts many logs it once
            self._tell("refused", **facts)
        raise Ended

    def _tell(self, what: str, **facts: object) -> None:
        log.info(
            "dicom.association",
            what=what,
            peer=self.host,
            calling_ae_title=self._peer.calling_ae_title,
            called_ae_title=self._peer.called_ae_title,
            **facts,
        )

    def _say_goodbye(self) -> None:
        """Send the last words; wait until the peer has taken them and closes (Sta13), not longer than ARTIM."""
        last_words, self._association.outgoing = self._association.outgoing, []
        if self._association.state is not State.CLOSING:
            return
        artim = min(CLOSING_SECONDS, self._door.limits.association_seconds)
        until = time.monotonic() + artim
        self._wire.send(last_words, artim)
        if self._why_cut:
            return
        if not self._is_released:
            self._wire.stop_writing()
        # What still comes is read: closing before would reset the connection and take our last words with it.
        while data := self._wire.receive(until - time.monotonic()):
            for pdu in self._reader.feed(data):
                event = Event.INVALID_RECEIVED if isinstance(pdu, BadPdu) else EVENT_OF[pdu.type]
                if self._association.occurs(event) is Action.AA_2:
                    return
            self._association.outgoing.clear()
