"""The HL7 listener: connections over hl7.mllp's streams, one message in hand on each, on an event loop of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Protocol

import structlog
from hl7.mllp import HL7StreamReader, HL7StreamWriter, start_hl7_server

from broker.hl7.frames import CHUNK_BYTES, BrokenFrame, Fault, Frame, FrameLimits, FrameReader, Room
from broker.service import cannot_listen

log = structlog.get_logger()

MEMORY_BYTES = 256_000_000
"""What long messages of all connections together may hold before further ones are told to try again."""
BACKLOG = 512
"""Connections that may wait to be accepted; a start of the day brings all senders at once."""
CLOSE_SECONDS = 1.0
"""How long a closing connection may take to send its last answer."""
START_SECONDS = 10.0


class Inbox(Protocol):
    """One message in, one answer out; neither raises."""

    async def receive(self, raw: bytes, peer: str) -> bytes: ...

    async def refuse(self, head: bytes, peer: str, too_long: bool) -> bytes: ...


@dataclass(frozen=True, slots=True)
class ListenerLimits:
    """connections: at once, more are closed; frames: waits and lengths of each of them."""

    connections: int = 500
    frames: FrameLimits = FrameLimits()


@dataclass(eq=False, slots=True)
class _Connection:
    """in_hand: a message was read and its answer has not left."""

    stream: HL7StreamReader
    writer: HL7StreamWriter
    peer: str
    in_hand: bool = False


class Hl7Listener:
    """Takes HL7 messages over MLLP. A connection is not read while its message waits: that is the back pressure."""

    name = "hl7"

    def __init__(self, inbox: Inbox, host: str, port: int, limits: ListenerLimits | None = None) -> None:
        self._inbox = inbox
        self._host = host
        self._port = port
        self._limits = limits or ListenerLimits()
        self._room = Room(MEMORY_BYTES)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._server: asyncio.Server | None = None
        self._connections: dict[asyncio.Task[None], _Connection] = {}
        self._stopping = False

    @property
    def port(self) -> int:
        """The port that is open, also when 0 was asked for."""
        return self._port

    def start(self) -> None:
        """Open the port.

        raises  AlreadyRunning when it is in use, SettingsError when the address cannot be listened on
        """
        self._stopping = False
        self._loop = asyncio.new_event_loop()
        self._loop.set_exception_handler(_log_fault)
        self._thread = threading.Thread(target=self._loop.run_forever, name="hl7-listener", daemon=True)
        self._thread.start()
        try:
            self._run(self._open()).result(START_SECONDS)
        except OSError as error:
            self._end_loop()
            raise cannot_listen("HL7", self._host, self._port, error) from None
        log.info("hl7.listening", host=self._host, port=self._port)

    def stop(self, grace_seconds: float) -> None:
        """Close the port and idle connections, let messages in hand be answered, then cut off."""
        if self._loop is None:
            return
        try:
            self._run(self._close(grace_seconds)).result(grace_seconds + 2 * CLOSE_SECONDS)
        except TimeoutError:
            log.warning("hl7.stop_cut_off")
        self._end_loop()

    def ready(self) -> bool:
        alive = self._thread is not None and self._thread.is_alive()
        return alive and self._server is not None and self._server.is_serving()

    def _run(self, work: Coroutine[Any, Any, None]) -> Future[None]:
        assert self._loop is not None
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    async def _open(self) -> None:
        self._server = await start_hl7_server(
            self._connected, self._host, self._port, limit=CHUNK_BYTES, backlog=BACKLOG
        )
        self._port = self._server.sockets[0].getsockname()[1]

    async def _close(self, grace_seconds: float) -> None:
        self._stopping = True
        if self._server is not None:
            self._server.close()
        for task, connection in self._connections.items():
            if not connection.in_hand:
                task.cancel()
        if self._connections:
            await asyncio.wait(self._connections, timeout=grace_seconds)
        for task in self._connections:
            task.cancel()
        if self._connections:
            await asyncio.wait(self._connections, timeout=CLOSE_SECONDS)

    def _end_loop(self) -> None:
        loop, thread = self._loop, self._thread
        self._loop = self._thread = self._server = None
        if loop is None or thread is None:
            return
        loop.call_soon_threadsafe(loop.stop)
        thread.join(CLOSE_SECONDS)
        if not thread.is_alive():
            loop.close()

    def _connected(self, stream: HL7StreamReader, writer: HL7StreamWriter) -> None:
        """Serve a connection in a task that is kept: a callback that fails alone would leave the peer waiting."""
        address = writer.get_extra_info("peername") or ("", 0)
        peer = f"{address[0]}:{address[1]}"
        if self._stopping or len(self._connections) >= self._limits.connections:
            log.warning("hl7.connection_refused", peer=peer, connections=len(self._connections))
            writer.close()
            return
        connection = _Connection(stream, writer, peer)
        task = asyncio.get_running_loop().create_task(self._serve(connection))
        self._connections[task] = connection
        task.add_done_callback(lambda done: self._connections.pop(done, None))

    async def _serve(self, connection: _Connection) -> None:
        frames = FrameReader(connection.stream, self._limits.frames, self._room)
        try:
            await self._converse(connection, frames)
        except BrokenFrame as fault:
            log.info("hl7.connection_closed", peer=connection.peer, reason=str(fault))
        except (ConnectionError, TimeoutError) as fault:
            log.info("hl7.connection_lost", peer=connection.peer, fault=type(fault).__name__)
        except Exception as fault:
            log.error("hl7.connection_failed", peer=connection.peer, fault=type(fault).__name__)
        finally:
            frames.close()
            await _hang_up(connection.writer)

    async def _converse(self, connection: _Connection, frames: FrameReader) -> None:
        """Answer message after message, in order, until the peer has ended its side and all are answered."""
        while not self._stopping:
            frame = await frames.next()
            if frame is None:
                return
            connection.in_hand = True
            connection.writer.writeblock(await self._answer(frame, connection.peer))
            async with asyncio.timeout(self._limits.frames.message_seconds):
                await connection.writer.drain()
            connection.in_hand = False

    async def _answer(self, frame: Frame, peer: str) -> bytes:
        if frame.fault is not None:
            return await self._inbox.refuse(frame.raw, peer, frame.fault is Fault.TOO_LONG)
        return await self._inbox.receive(frame.raw, peer)


async def _hang_up(writer: HL7StreamWriter) -> None:
    """Send what is left and close; a peer that does not read is cut off."""
    writer.close()
    try:
        async with asyncio.timeout(CLOSE_SECONDS):
            await writer.wait_closed()
    except OSError:
        pass
    finally:
        writer.transport.abort()


def _log_fault(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """A fault outside of any connection, without texts that may hold values."""
    fault = context.get("exception")
    log.error("hl7.loop_fault", fault=type(fault).__name__, about=context.get("message", ""))
