"""The DICOM door as a part of the process: opens the port, serves each SOP class by its service, stops in order."""

from __future__ import annotations

import logging
import socket
import ssl
import threading
import time
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Protocol

import pydicom.config
import structlog
from pynetdicom import _config

from broker.accepting import ANYBODY, Pauses, Seldom, is_scarce, spares_some
from broker.dicom.census import Census, Snapshot
from broker.dicom.contract import Service
from broker.dicom.dispatch import MODALITY_WORKLIST_FIND, PERFORMED_STEP, VERIFICATION
from broker.dicom.engine.channel import Channel, Door
from broker.dicom.limits import DicomLimits, PeerRules, RequestsInHand
from broker.dicom.negotiation import offer_for, storage_classes
from broker.dicom.verification import verify
from broker.service import cannot_listen

BACKLOG = 4_096
"""Connections that the system may hold for us; it takes the smaller of this and its own limit."""

STACK_BYTES = 524_288
"""Of an association's thread: a dataset nested as deeply as the interpreter lets us read takes a quarter of it."""

KEEPALIVE_SECONDS = 60
"""Silence after which the system asks whether the peer's machine is still there."""

SEND_BUFFER_BYTES = 262_144
"""What the system may hold of answers that a peer does not read; without a bound it takes megabytes for each."""

CUT_SECONDS = 0.5
"""Time for A-ABORTs to leave and threads to end, after the grace time."""

LEAVE_SECONDS = 0.01
"""For a connection that gives way to be closed by its thread, before one more is accepted."""

log = structlog.get_logger()


def services_by_class(find: Service, performed: Service, store: Service, echo: Service = verify) -> dict[str, Service]:
    """All SOP classes of the door, each with the service that answers it."""
    services: dict[str, Service] = dict.fromkeys(storage_classes(), store)
    services[VERIFICATION] = echo
    services[MODALITY_WORKLIST_FIND] = find
    services[PERFORMED_STEP] = performed
    return services


def quiet_libraries() -> None:
    """Keep the libraries from logging what they read: identifiers, exception texts and warnings hold patient data."""
    _config.LOG_REQUEST_IDENTIFIERS = False
    _config.LOG_RESPONSE_IDENTIFIERS = False
    _config.LOG_HANDLER_LEVEL = "none"
    for name in ("pynetdicom", "pydicom"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
    warnings.filterwarnings("ignore", module=r"pydicom(\..*)?")
    warnings.filterwarnings("ignore", module=r"pynetdicom(\..*)?")


class Server(Protocol):
    """What serves the port: the engine, or in the tests its twin."""

    in_hand: RequestsInHand

    @property
    def port(self) -> int: ...

    def serve_forever(self) -> None: ...

    def stop_accepting(self) -> None: ...

    def cut_associations(self, seconds: float) -> int: ...

    def snapshot(self) -> Snapshot: ...


ServerMaker = Callable[
    [tuple[str, int], str, Mapping[str, Service], PeerRules, DicomLimits, ssl.SSLContext | None], Server
]
"""From address, AE title, services, peers, limits and TLS. raises OSError when the port cannot be opened."""


class EngineServer:
    """Accepts connections and gives each a thread of our engine.

    listening  a socket that listens already, which other processes share: whoever made it shuts it; None: opened here
    """

    def __init__(
        self,
        address: tuple[str, int],
        ae_title: str,
        services: Mapping[str, Service],
        peers: PeerRules,
        limits: DicomLimits,
        tls: ssl.SSLContext | None = None,
        listening: socket.socket | None = None,
    ) -> None:
        self._is_shared = listening is not None
        self._listening = listening or listen(address)
        self.in_hand = RequestsInHand()
        self._census = Census(limits)
        self._pauses = Pauses("dicom")
        self._refused = Seldom("dicom.connection_refused")
        offer = offer_for(tuple(services), limits.preferred_syntaxes)
        self._door = Door(services, offer, peers, limits, self.in_hand, self._census, tls)

    @property
    def port(self) -> int:
        return int(self._listening.getsockname()[1])

    def serve_forever(self) -> None:
        """Accept until stop_accepting."""
        while not self.in_hand.stopping:
            try:
                connection, address = self._listening.accept()
            except ConnectionAbortedError:
                continue
            except OSError as error:
                if not self.in_hand.stopping:
                    has_spared = spares_some(error, partial(self._census.make_room, ANYBODY))
                    time.sleep(self._pauses.after(error, has_spared=has_spared))
                continue
            if self.in_hand.stopping:  # of a shared port: this one came before all had stopped
                connection.close()
                return
            self._take(connection, str(address[0]))

    def _take(self, connection: socket.socket, host: str) -> None:
        """Serve a connection, or close it when the system has no descriptor or thread for it."""
        if is_scarce(connection):
            if not self._census.make_room(host):
                self._census.refuses("no descriptors")
                self._refused.tell(host=host, reason="no descriptors")
                connection.close()
                return
            self._census.make_room(host)  # one more, so that they are scarce no longer
            time.sleep(LEAVE_SECONDS)
        try:
            self._give_thread(connection, host)
            self._pauses.over()
        except OSError:  # the peer has gone already
            connection.close()
        except RuntimeError as error:  # no thread is left
            connection.close()
            time.sleep(self._pauses.after(error))

    def _give_thread(self, connection: socket.socket, host: str) -> None:
        _tune(connection)
        channel = Channel(self._door, connection, host)
        thread = threading.Thread(target=channel.run, name=f"dicom-{host}", daemon=True)
        self._census.arrives(channel)
        before = threading.stack_size(STACK_BYTES)
        try:
            thread.start()
        except BaseException:
            self._census.leaves(channel)
            raise
        finally:
            threading.stack_size(before)

    def stop_accepting(self) -> None:
        """Close the listening socket; associations stay open, but new requests are refused."""
        self.in_hand.stopping = True
        if not self._is_shared:
            shut(self._listening)

    def cut_associations(self, seconds: float) -> int:
        """Abort what is still open and end its threads; returns how many associations there were."""
        deadline = time.monotonic() + seconds
        count = self._census.snapshot().open
        for connection in self._census.connections():
            connection.cut("stopping")
        self._census.wait_until_empty(deadline - time.monotonic())
        for connection in self._census.connections():
            connection.break_off()
        return count

    def snapshot(self) -> Snapshot:
        """Who is connected, what was refused: for metrics."""
        return self._census.snapshot()


class DicomListener:
    """Keeps the contract of `service.Service`.

    ae_title  our own, shown to peers; which called titles are taken is the peers' rule
    port      0 takes a free one; the one that is open stands in `port` after start
    tls       context of a TLS port; None: plain
    """

    name = "dicom"

    def __init__(
        self,
        host: str,
        port: int,
        ae_title: str,
        services: Mapping[str, Service],
        peers: PeerRules,
        limits: DicomLimits | None = None,
        tls: ssl.SSLContext | None = None,
        make_server: ServerMaker = EngineServer,
    ) -> None:
        self.host = host
        self.port = port
        self._ae_title = ae_title
        self._services = services
        self._peers = peers
        self._limits = limits or DicomLimits()
        self._tls = tls
        self._make_server = make_server
        self._server: Server | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Open the port. Raises AlreadyRunning when it is taken, SettingsError when it cannot be opened at all."""
        quiet_libraries()
        address = (self.host, self.port)
        try:
            server = self._make_server(address, self._ae_title, self._services, self._peers, self._limits, self._tls)
        except (OSError, UnicodeError) as error:
            raise cannot_listen("DICOM", self.host, self.port, error) from None
        self.port = server.port
        self._server = server
        self._thread = threading.Thread(target=server.serve_forever, name="dicom-accept", daemon=True)
        self._thread.start()
        log.info("dicom.listening", host=self.host, port=self.port, ae_title=self._ae_title, tls=self._tls is not None)

    def stop(self, grace_seconds: float) -> None:
        """Close the port, let requests in hand be answered for grace_seconds, abort what is open then."""
        server, self._server = self._server, None
        if server is None:
            return
        deadline = time.monotonic() + grace_seconds
        server.stop_accepting()
        done = server.in_hand.wait_until_none(max(0.0, deadline - time.monotonic()))
        aborted = server.cut_associations(CUT_SECONDS)
        log.info("dicom.stopped", requests_finished=done, associations_aborted=aborted)

    def ready(self) -> bool:
        return self._server is not None and self._thread is not None and self._thread.is_alive()

    def snapshot(self) -> Snapshot | None:
        """Who is connected, what was refused; None while it does not serve."""
        server = self._server
        return None if server is None else server.snapshot()


def listen(address: tuple[str, int]) -> socket.socket:
    """A socket that listens; port 0 takes a free one.

    raises  OSError, UnicodeError as they come; socket.create_server would make all of them one kind
    """
    listening = socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(BACKLOG)
    except BaseException:
        listening.close()
        raise
    return listening


def shut(listening: socket.socket) -> None:
    """Nobody connects any more, and threads that accept wake up, in every process that shares the socket."""
    with suppress(OSError):
        listening.shutdown(socket.SHUT_RDWR)
    listening.close()


def _tune(connection: socket.socket) -> None:
    """An answer leaves at once (Nagle's algorithm off), little waits unread, a machine that is gone is noticed."""
    connection.setblocking(True)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if hasattr(socket, "TCP_KEEPIDLE"):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_SECONDS)
