"""The HTTP door: routes, errors as problem details (RFC 9457), and a server of bounded patience in a thread.

The server is uvicorn behind our own accepting. uvicorn alone answers 503 to everybody once enough connections are
open, whatever is asked; here the longest half-open one of the busiest host gives way instead.
"""

from __future__ import annotations

import asyncio
import http
import socket
import threading
import time
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import structlog
import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse
from uvicorn.protocols.http.h11_impl import H11Protocol

from broker.accepting import ANYBODY, Acceptor, Seldom, is_scarce, listen
from broker.errors import BrokerError
from broker.places import PlaceLimits, Places, has_unread_bytes
from broker.service import cannot_listen
from broker.tally import Counts
from broker.web.health import Probes, health_routes
from broker.web.metrics import Sources, metrics_routes

log = structlog.get_logger()

BACKLOG = 512
KEEP_ALIVE_SECONDS = 15
"""Between two requests of a connection."""
REQUEST_SECONDS = 5.0
"""From the beginning of a request to the end of its header, however its bytes trickle."""
RESPONSE_SECONDS = 30.0
"""From the header to the end of the response."""
HEADER_BYTES = 32_768
REQUEST_BYTES = 1_000_000
"""Of a request with its body; uvicorn holds 64 KB of it, and stops reading."""
START_SECONDS = 10.0


def web_app(probes: Probes, sources: Sources | None = None) -> Starlette:
    """All routes of the broker; without sources there are no metrics."""
    handlers: dict[Any, Any] = {HTTPException: _problem, Exception: _failure}
    routes = [*health_routes(probes), *(metrics_routes(sources) if sources else ())]
    return Starlette(routes=routes, exception_handlers=handlers)


@dataclass(frozen=True, slots=True)
class WebLimits:
    """connections: at once, in total; connections_per_host: of one address, 0: no limit of its own."""

    connections: int = 500
    connections_per_host: int = 450


@dataclass(frozen=True, slots=True)
class WebSnapshot:
    """The door at one moment. connections: since the start, by what became of them (accepted, refused, gave way)."""

    open: int
    connections: dict[str, int]


class WebServer:
    """Serves `app` on host:port; port 0 takes a free one, `port` tells which."""

    name = "http"

    def __init__(self, app: Starlette, host: str, port: int, limits: WebLimits | None = None) -> None:
        self.host = host
        self.port = port
        config = uvicorn.Config(
            app,
            http=BoundedProtocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=1,
            h11_max_incomplete_event_size=HEADER_BYTES,
        )
        self._server = _Server(config, limits or WebLimits())
        self._thread = threading.Thread(target=self._run, name="http", daemon=True)
        self._listening: list[socket.socket] = []

    def start(self) -> None:
        """raises  AlreadyRunning when the port is taken, SettingsError when the address cannot be used"""
        try:
            self._listening = listen(self.host, self.port, BACKLOG)
        except (OSError, UnicodeError) as error:
            raise cannot_listen("HTTP", self.host, self.port, error) from None
        self.port = self._listening[0].getsockname()[1]
        self._thread.start()
        if not self._server.opened.wait(START_SECONDS) or not self._server.started:
            raise BrokerError("the HTTP server did not start", port=self.port)

    def stop(self, grace_seconds: float) -> None:
        self._server.should_exit = True
        if self._thread.ident is not None:
            self._thread.join(grace_seconds)
            self._server.force_exit = True
        for listening in self._listening:
            listening.close()

    def ready(self) -> bool:
        return self._thread.is_alive() and self._server.started

    def snapshot(self) -> WebSnapshot:
        """For metrics."""
        return WebSnapshot(len(self._server.places), self._server.counts.snapshot())

    def _run(self) -> None:
        try:
            self._server.run(sockets=self._listening)
        finally:
            self._server.opened.set()


class _Server(uvicorn.Server):
    """Tells when it is open; accepts by itself, and gives each connection its place."""

    def __init__(self, config: uvicorn.Config, limits: WebLimits) -> None:
        super().__init__(config)
        self.opened = threading.Event()
        self.counts: Counts[str] = Counts()
        # A client can repeat a GET and loses nothing, so every silent connection may be closed at once.
        self.places: Places[BoundedProtocol] = Places(
            PlaceLimits(limits.connections, limits.connections_per_host, settle_seconds=0.0, rest_seconds=0.0)
        )
        self._refused = Seldom("http.connection_refused")
        self._acceptors: list[Acceptor] = []
        self._openings: set[asyncio.Task[None]] = set()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await self.lifespan.startup()
        self.servers: list[asyncio.base_events.Server] = []
        spare = partial(self._make_room, ANYBODY)
        self._acceptors = [Acceptor("http", one, self._accepted, spare) for one in sockets or ()]
        self.started = True
        self.opened.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for acceptor in self._acceptors:
            acceptor.stop()
        await super().shutdown(sockets)

    def _accepted(self, accepted: socket.socket, host: str, port: int) -> bool:
        scarce = is_scarce(accepted, for_health=True)
        is_full = scarce or self.places.is_full() or self.places.is_full_for(host)
        if is_full and not self._make_room(host):
            self.counts.add("refused")
            self._refused.tell(host=host, connections=len(self.places))
            accepted.close()
            return True
        if scarce:
            self._make_room(host)  # one more, so that descriptors are scarce no longer
        self.counts.add("accepted")
        protocol = cast(
            BoundedProtocol,
            self.config.http_protocol_class(  # type: ignore[call-arg]
                config=self.config, server_state=self.server_state, app_state=self.lifespan.state
            ),
        )
        protocol.take_place(self.places, accepted, host)
        opening = asyncio.get_running_loop().create_task(_open(protocol, accepted))
        self._openings.add(opening)
        opening.add_done_callback(self._openings.discard)
        return not is_full

    def _make_room(self, host: str) -> bool:
        """Close the connection that gives way to a newcomer from this host; False when there is none."""
        leaving = self.places.who_gives_way(host)
        if leaving is None:
            return False
        self.counts.add("gave way")
        leaving.give_way()
        return True


async def _open(protocol: BoundedProtocol, accepted: socket.socket) -> None:
    try:
        await asyncio.get_running_loop().connect_accepted_socket(lambda: protocol, accepted)
    except OSError:
        protocol.give_way()
        accepted.close()


class BoundedProtocol(H11Protocol):
    """One connection. It is cut when a header, a response or the next request takes too long, or a request too much.

    _is_serving  a request is being answered; its deadline is RESPONSE_SECONDS
    _has_begun   bytes of the next request are here, or those of the first one are awaited
    """

    _deadline: asyncio.TimerHandle | None = None
    _is_serving = False
    _has_begun = True
    _received_bytes = 0
    has_delivered = False

    def take_place(self, places: Places[BoundedProtocol], accepted: socket.socket, host: str) -> None:
        """Called once, before the connection is made."""
        self.host = host
        self._accepted = accepted
        self._places = places
        self._quiet_since = time.monotonic()
        places.enter(self)

    @property
    def quiet_since(self) -> float | None:
        return None if self._is_serving or self._deadline is None else self._quiet_since

    def has_bytes(self) -> bool:
        """True when bytes were received and not read yet; a half request that was read protects no connection."""
        return has_unread_bytes(self._accepted.fileno())

    def give_way(self) -> None:
        """Close at once."""
        self._places.leave(self)
        if self.transport is not None:
            self.transport.abort()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._due_in(REQUEST_SECONDS)

    def data_received(self, data: bytes) -> None:
        self._received_bytes += len(data)
        if self._received_bytes > REQUEST_BYTES:
            self.transport.abort()
            return
        if not self._has_begun and not self._is_serving:
            self._has_begun = True
            self._due_in(REQUEST_SECONDS)
        super().data_received(data)
        self._see_whether_it_serves()

    def on_response_complete(self) -> None:
        self._is_serving = self._has_begun = False
        self.has_delivered = True
        self._received_bytes = 0
        self._quiet_since = time.monotonic()
        self._due_in(KEEP_ALIVE_SECONDS + 1)  # uvicorn closes before; this cuts who does not read its answer
        super().on_response_complete()
        self._see_whether_it_serves()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._places.leave(self)
        super().connection_lost(exc)

    def _see_whether_it_serves(self) -> None:
        """A request whose header is whole has begun its cycle; uvicorn may do so also when an answer has left."""
        if not self._is_serving and self.cycle is not None and not self.cycle.response_complete:
            self._is_serving = True
            self._due_in(RESPONSE_SECONDS)

    def _due_in(self, seconds: float) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = self.loop.call_later(seconds, self.transport.abort)


async def _problem(request: Request, error: HTTPException) -> JSONResponse:
    return _problem_response(error.status_code, dict(error.headers or {}))


async def _failure(request: Request, error: Exception) -> JSONResponse:
    log.error("web.failed", method=request.method, exc_info=error)
    return _problem_response(500, {})


def _problem_response(status: int, headers: dict[str, str]) -> JSONResponse:
    body = {"type": "about:blank", "title": http.HTTPStatus(status).phrase, "status": status}
    return JSONResponse(body, status, headers, media_type="application/problem+json")
