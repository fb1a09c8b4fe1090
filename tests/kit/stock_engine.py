"""Our services on pynetdicom's stock engine: the twin that our own engine is compared with.

A request is taken where the engine has assembled it and answered with bytes as the service made them: the engine's own
service classes, which decode and encode datasets again, are passed by. What the engine leaves open is closed here:
sockets are polled (select() ends at descriptor 1,024), no PDU is longer than MAXIMUM_PDU_BYTES, no send or read waits
for ever, a connection that closes without a request gives its place back at once.
"""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import structlog
from pynetdicom import AE, build_context, evt
from pynetdicom.association import Association
from pynetdicom.dimse_messages import C_STORE_RQ
from pynetdicom.presentation import PresentationContext
from pynetdicom.transport import AssociationServer, AssociationSocket, RequestHandler

from broker.dicom.census import Snapshot
from broker.dicom.contract import Reply, Request, Service
from broker.dicom.dispatch import answer
from broker.dicom.limits import OFFERED_PDU_BYTES, DicomLimits, PeerRules, RequestsInHand
from broker.dicom.negotiation import offer_for
from broker.dicom.status import Status, reply_for
from broker.errors import Stopping
from tests.kit.stock_messages import command_of, fragments, peer_of, request_of

MAXIMUM_PDU_BYTES = 1_048_576
"""Longest PDU that is read at all, whatever its header says; association requests are shorter, P-DATA is agreed on."""

ACCEPT_POLL_SECONDS = 0.1
"""How soon the accepting thread sees that it shall stop."""

MESSAGE_BYTES = 16_777_216
"""Longest message that is no C-STORE; services have smaller limits of their own and answer those."""

WAITING_PDUS = 32
"""PDUs that may wait for the socket before a service has to wait for the peer."""

CLOSING = "Sta13"
"""PS3.8 Table 9-10: awaiting the close of the transport connection."""

REJECTED_PERMANENT, BY_SERVICE_USER, CALLING_NOT_RECOGNIZED = 1, 1, 3
"""A-ASSOCIATE-RJ result, source and reason (PS3.8 9.3.4)."""

log = structlog.get_logger()


class PeerGone(Exception):
    """The peer has aborted, closed, or does not read."""


def contexts_for(services: Mapping[str, Service], preferred: tuple[str, ...] = ()) -> list[PresentationContext]:
    """What the door accepts, as the stock engine wants it told."""
    return [build_context(uid, list(syntaxes)) for uid, syntaxes in offer_for(tuple(services), preferred).items()]


class StockServer(AssociationServer):
    """Accepts connections and gives each to pynetdicom's threads."""

    request_queue_size = 1024

    def __init__(
        self,
        address: tuple[str, int],
        ae_title: str,
        services: Mapping[str, Service],
        peers: PeerRules,
        limits: DicomLimits,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        assert tls is None, "the twin speaks plain DICOM only"
        self.services = services
        self.peers = peers
        self.limits = limits
        self.in_hand = RequestsInHand()
        # One list for all associations: the engine would copy it deeply for each.
        self.offered = contexts_for(services, limits.preferred_syntaxes)
        ae = AE(ae_title)
        ae.maximum_associations = limits.associations
        ae.maximum_pdu_size = OFFERED_PDU_BYTES
        ae.network_timeout = limits.network_seconds
        ae.acse_timeout = limits.association_seconds
        ae.dimse_timeout = limits.message_seconds
        handlers = [
            (evt.EVT_REQUESTED, _check_peer, [peers]),
            (evt.EVT_CONN_CLOSE, _free_place),
            (evt.EVT_PDU_RECV, _bound_message),
            (evt.EVT_DIMSE_RECV, _forget_old_cancels),
            *((event, _log_association, [what]) for event, what in _LOGGED.items()),
        ]
        super().__init__(ae, address, ae_title, [], evt_handlers=handlers, request_handler=_Handler)  # type: ignore[arg-type]

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def serve_forever(self, poll_interval: float = ACCEPT_POLL_SECONDS) -> None:
        super().serve_forever(poll_interval)

    def snapshot(self) -> Snapshot:
        return Snapshot(len(self.active_associations), 0, (), {}, {}, {})

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept one connection; its reads and writes are limited in time from now on."""
        try:
            connection, address = super().get_request()
        except OSError:
            # No descriptor is free: without a pause the accepting loop would spin until one is.
            time.sleep(0.05)
            raise
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.settimeout(self.limits.message_seconds)
        return connection, address

    def service_actions(self) -> None:
        """Nothing: the engine would collect garbage here every minute."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        log.error("dicom.accept_failed", peer=client_address[0])

    def stop_accepting(self) -> None:
        """Close the listening socket; associations stay open, but new requests are refused."""
        self.in_hand.stopping = True
        super(AssociationServer, self).shutdown()
        self.server_close()

    def cut_associations(self, seconds: float) -> int:
        """Abort what is still open and end its threads; returns how many there were."""
        deadline = time.monotonic() + seconds
        open_ones = self.active_associations
        for association in open_ones:
            if association.is_established:
                association.acse.send_abort(0x00)
        while any(_sending(one) for one in open_ones) and time.monotonic() < deadline:
            time.sleep(0.005)
        for association in open_ones:
            _end_threads(association)
        for association in open_ones:
            association.dul.join(max(0.0, deadline - time.monotonic()))
            association.join(max(0.0, deadline - time.monotonic()))
        return len(open_ones)


class PolledSocket(AssociationSocket):
    """The engine's socket without select() and without trust in PDU lengths."""

    @property
    def ready(self) -> bool:
        """True when there is something to read, the end of the stream included."""
        connection = self.socket
        if connection is None or not self._is_connected:
            return False
        if self.assoc.dul.state_machine.current_state == CLOSING:
            # What still comes changes nothing, and waiting for the rest of it would keep the connection open.
            _drain(connection)
            return False
        try:
            poller = select.poll()
            poller.register(connection, select.POLLIN | select.POLLHUP | select.POLLERR)
            return bool(poller.poll(0))
        except (OSError, ValueError):
            self.event_queue.put("Evt17")
            return False

    def recv(self, nr_bytes: int) -> bytearray:
        if nr_bytes > MAXIMUM_PDU_BYTES:
            raise OSError("PDU is longer than any we agreed to")
        return super().recv(nr_bytes)


def _silent_too_long(association: Association, limits: DicomLimits) -> bool:
    """True when the peer has sent nothing for too long: inside a message it gets less time than between two."""
    timer = association.dul._idle_timer
    silent_seconds = limits.network_seconds - timer.remaining
    begun = association.dimse.message is not None
    return silent_seconds > (limits.message_seconds if begun else limits.network_seconds)


def _drain(connection: socket.socket) -> None:
    """Take what has arrived, so that closing does not reset the connection before our last words are read."""
    with contextlib.suppress(OSError):
        connection.recv(MAXIMUM_PDU_BYTES, socket.MSG_DONTWAIT)


class _Handler(RequestHandler):
    """Makes an association of a connection, and puts our parts into it."""

    server: StockServer

    def _create_association(self) -> Association:
        association = super()._create_association()
        association.acceptor.supported_contexts = self.server.offered
        # The engine's own socket has announced the connection (Evt5), and ours does it again.
        association.dul.event_queue.get_nowait()
        association.dul.socket = PolledSocket(association, client_socket=self.request)
        association._serve_request = partial(_serve, self.server, association)  # type: ignore[method-assign]
        association.dul.idle_timer_expired = partial(  # type: ignore[method-assign]
            _silent_too_long, association, self.server.limits
        )
        return association


_LOGGED = {
    evt.EVT_ACCEPTED: "accepted",
    evt.EVT_REJECTED: "rejected",
    evt.EVT_RELEASED: "released",
    evt.EVT_ABORTED: "aborted",
}


def _log_association(event: evt.Event, what: str) -> None:
    peer = peer_of(event.assoc)
    log.info(
        "dicom.association",
        what=what,
        peer=peer.address,
        calling_ae_title=peer.calling_ae_title,
        called_ae_title=peer.called_ae_title,
    )


def _check_peer(event: evt.Event, peers: PeerRules) -> None:
    """Reject an association that the profile does not allow; every called title is ours."""
    peer = peer_of(event.assoc)
    if peers.allows(peer.calling_ae_title, peer.called_ae_title):
        return
    event.assoc.acse.send_reject(REJECTED_PERMANENT, BY_SERVICE_USER, CALLING_NOT_RECOGNIZED)
    _log_association(event, "rejected")
    event.assoc.kill()


def _free_place(event: evt.Event) -> None:
    """A connection that closed before it asked for an association no longer waits for the request."""
    if event.assoc.requestor.primitive is None:
        _wake(event.assoc)


def _bound_message(event: evt.Event) -> None:
    """Abort a peer whose message grows beyond what any service reads."""
    message = event.assoc.dimse.message
    if message is None or isinstance(message, C_STORE_RQ):
        return
    if message.encoded_command_set.tell() + (message.data_set.tell() if message.data_set else 0) > MESSAGE_BYTES:
        event.assoc.dul.event_queue.put("Evt19")


def _forget_old_cancels(event: evt.Event) -> None:
    """A C-CANCEL is for a request that came before it: a new request is not cancelled by an old one."""
    if event.message.command_set.get("CommandField", 0x8000) in (0x0001, 0x0020, 0x0030, 0x0120, 0x0140):
        event.assoc.dimse.cancel_req.clear()


def _serve(server: StockServer, association: Association, message: Any, context_id: int) -> None:
    """Answer one request; runs in the association's thread, in the place of the engine's own dispatch."""
    context = association._accepted_cx.get(context_id)
    if type(message).__name__ == "C_CANCEL":
        return
    if context is None or message.MessageID is None or message.MessageIDBeingRespondedTo is not None:
        association.abort()
        return
    with server.in_hand.one():
        try:
            for reply in _replies(server, association, message, context):
                _send(server, association, message, context_id, reply)
        except PeerGone:
            log.info("dicom.peer_gone", peer=peer_of(association).address)
            association.abort()
    # The engine counts the time of an answer as the peer's silence.
    association.dul._idle_timer.restart()


def _replies(
    server: StockServer, association: Association, message: Any, context: PresentationContext
) -> Iterator[Reply]:
    if command_of(message) is None:
        return iter([Reply(Status.UNRECOGNIZED_OPERATION)])
    request = request_of(message, context, association, partial(_gone, association))
    if server.in_hand.stopping:
        return iter([reply_for(Stopping("the broker is stopping"), request.command)])
    return _one_by_one(answer(server.services, request), request)


def _one_by_one(replies: Iterator[Reply], request: Request) -> Iterator[Reply]:
    for reply in replies:
        for dataset in reply.datasets:
            if request.cancelled():
                break
            yield Reply(reply.status, dataset)
        if not reply.datasets:
            yield reply


def _send(server: StockServer, association: Association, message: Any, context_id: int, reply: Reply) -> None:
    """Hand a reply to the engine, waiting while the peer does not read."""
    deadline = time.monotonic() + server.limits.message_seconds
    for part in fragments(message, context_id, reply, association.dimse.maximum_pdu_size):
        while association.dul.to_provider_queue.qsize() > WAITING_PDUS:
            if _gone(association) or time.monotonic() > deadline:
                raise PeerGone
            time.sleep(0.001)
        if _gone(association):
            raise PeerGone
        association.dul.send_pdu(part)


def _gone(association: Association) -> bool:
    return not association.is_established or not association.dul.is_alive() or association.acse.is_aborted()


def _sending(association: Association) -> bool:
    return association.dul.is_alive() and association.dul.state_machine.current_state not in ("Sta1", "Sta2")


def _wake(association: Association) -> None:
    """End the wait for an association request, as the engine does when its time is up."""
    waiting: Any = association.dul.to_user_queue
    waiting.put(None)


def _end_threads(association: Association) -> None:
    """End both threads of an association, whatever they wait for."""
    association._kill = True
    association.is_established = False
    association.dul.kill_dul()
    _wake(association)
    if association.dul.socket is not None:
        association.dul.socket._shutdown_socket()
