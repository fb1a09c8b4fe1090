"""The HTTP door: routes, errors as problem details (RFC 9457), and a server of bounded patience in a thread."""

from __future__ import annotations

import asyncio
import http
import socket
import threading
from typing import Any

import structlog
import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse
from uvicorn.protocols.http.h11_impl import H11Protocol

from broker.errors import BrokerError
from broker.service import cannot_listen
from broker.web.health import Probes, health_routes

log = structlog.get_logger()

CONNECTIONS = 200
KEEP_ALIVE_SECONDS = 15
REQUEST_SECONDS = 15.0
HEADER_BYTES = 32_768
START_SECONDS = 10.0


def web_app(probes: Probes) -> Starlette:
    """All routes of the broker."""
    handlers: dict[Any, Any] = {HTTPException: _problem, Exception: _failure}
    return Starlette(routes=health_routes(probes), exception_handlers=handlers)


class WebServer:
    """Serves `app` on host:port; port 0 takes a free one, `port` tells which."""

    name = "http"

    def __init__(self, app: Starlette, host: str, port: int) -> None:
        self.host = host
        self.port = port
        config = uvicorn.Config(
            app,
            http=_BoundedProtocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            limit_concurrency=CONNECTIONS,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=1,
            h11_max_incomplete_event_size=HEADER_BYTES,
        )
        self._server = _Server(config)
        self._thread = threading.Thread(target=self._run, name="http", daemon=True)
        self._socket: socket.socket | None = None

    def start(self) -> None:
        """raises  AlreadyRunning when the port is taken, SettingsError when the address cannot be used"""
        self._socket = _listen(self.host, self.port)
        self.port = self._socket.getsockname()[1]
        self._thread.start()
        if not self._server.opened.wait(START_SECONDS) or not self._server.started:
            raise BrokerError("the HTTP server did not start", port=self.port)

    def stop(self, grace_seconds: float) -> None:
        self._server.should_exit = True
        if self._thread.ident is not None:
            self._thread.join(grace_seconds)
            self._server.force_exit = True
        if self._socket is not None:
            self._socket.close()

    def ready(self) -> bool:
        return self._thread.is_alive() and self._server.started

    def _run(self) -> None:
        try:
            self._server.run(sockets=[self._socket] if self._socket else None)
        finally:
            self._server.opened.set()


class _Server(uvicorn.Server):
    """Tells when it is open."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.opened = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self.opened.set()


class _BoundedProtocol(H11Protocol):
    """Closes a connection on which no whole request arrives in time; uvicorn alone would keep it for ever."""

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._expect_request()

    def on_response_complete(self) -> None:
        self._expect_request()
        super().on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        super().connection_lost(exc)

    def _expect_request(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = self.loop.call_later(REQUEST_SECONDS, self._give_up)

    def _give_up(self) -> None:
        if self.cycle is None or self.cycle.response_complete:
            self.transport.close()


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server((str(address[0]), int(address[1])), family=family, backlog=CONNECTIONS)
    except OSError as error:
        raise cannot_listen("HTTP", host, port, error) from None


async def _problem(request: Request, error: HTTPException) -> JSONResponse:
    return _problem_response(error.status_code, dict(error.headers or {}))


async def _failure(request: Request, error: Exception) -> JSONResponse:
    log.error("web.failed", method=request.method, exc_info=error)
    return _problem_response(500, {})


def _problem_response(status: int, headers: dict[str, str]) -> JSONResponse:
    body = {"type": "about:blank", "title": http.HTTPStatus(status).phrase, "status": status}
    return JSONResponse(body, status, headers, media_type="application/problem+json")
