"""The HL7 listener: connections over hl7.mllp's streams, one message in hand on each, on an event loop of its own."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
import time
from collections.abc import Coroutine
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

import structlog
from hl7.mllp import HL7StreamReader, HL7StreamWriter
from hl7.mllp.streams import HL7StreamProtocol

from broker.accepting import ANYBODY, Acceptor, Seldom, is_scarce, listen
from broker.hl7.frames import CHUNK_BYTES, BrokenFrame, Fault, Frame, FrameLimits, FrameReader
from broker.memory_budget import MemoryBudget
from broker.places import PlaceLimits, Places, has_unread_bytes
from broker.service import cannot_listen
from broker.tally import Counts

log = structlog.get_logger()

BACKLOG = 512
"""Connections that may wait to be accepted; a start of the day brings all senders at once."""
HANDSHAKE_SECONDS = 10.0
"""Longest TLS handshake."""
CLOSE_SECONDS = 1.0
"""How long a closing connection may take to send its last answer."""
START_SECONDS = 10.0
MOST_ENDS = 60
"""Log lines in a minute about connections that ended early: a peer can cause thousands, and the disk is everybody's."""


class Inbox(Protocol):
    """One message in, one answer out; neither raises."""

    async def receive(self, raw: bytes, peer: str) -> bytes: ...

    async def refuse(self, head: bytes, peer: str, too_long: bool) -> bytes: ...


@dataclass(frozen=True, slots=True)
class ListenerLimits:
    """connections: at once, in total; frames: waits and lengths of each of them.

    connections_per_host  at once, of one address; 0: no limit of its own
    memory                what all doors of the process may hold of messages on their way
    """

    connections: int = 500
    frames: FrameLimits = FrameLimits()
    connections_per_host: int = 0
    memory: MemoryBudget = field(default_factory=MemoryBudget)


class _Stream(HL7StreamReader):  # type: ignore[misc]
    @property
    def has_unread(self) -> bool:
        """True when bytes were received and not read yet."""
        return bool(self._buffer)


class _Connection:
    """One connection, from its acceptance; `stream` and `writer` are usable once `open` has returned.

    in_hand  a message was read and its answer has not left
    """

    def __init__(self, accepted: socket.socket, host: str, port: int, limits: ListenerLimits) -> None:
        loop = asyncio.get_running_loop()
        self.host = host
        self.peer = f"{host}:{port}"
        self.has_delivered = False
        self.in_hand = False
        self.stream = _Stream(limit=CHUNK_BYTES, loop=loop)
        self.writer: HL7StreamWriter | None = None
        self.frames = FrameReader(self.stream, limits.frames, limits.memory.claim(host))
        self._quiet_since = time.monotonic()
        self._accepted = accepted
        self._paused_at_first = False

    @property
    def quiet_since(self) -> float | None:
        return None if self.in_hand else self._quiet_since

    def has_bytes(self) -> bool:
        """True when a message of it has begun, or its last answer has not left; also while it is being opened."""
        if self.writer is None or self.frames.has_begun or self.stream.has_unread:
            return True
        return self.writer.transport.get_write_buffer_size() > 0 or has_unread_bytes(self._accepted.fileno())

    async def open(self, *, reads: bool) -> HL7StreamWriter:
        """Make streams of the socket. reads: False leaves what comes first to the TLS handshake"""
        self._paused_at_first = not reads
        loop = asyncio.get_running_loop()
        protocol = HL7StreamProtocol(self.stream, self._made, loop=loop)
        await loop.connect_accepted_socket(lambda: protocol, self._accepted)
        assert self.writer is not None
        return self.writer

    def _made(self, stream: HL7StreamReader, writer: HL7StreamWriter) -> None:
        self.writer = writer
        if self._paused_at_first:
            writer.transport.pause_reading()

    def answered(self) -> None:
        """The answer to the message in hand has left."""
        self.in_hand = False
        self.has_delivered = True
        self._quiet_since = time.monotonic()

    async def hang_up(self) -> None:
        """Send what is left and close; a peer that does not read is cut off."""
        if self.writer is None:
            self._accepted.close()
            return
        self.writer.close()
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await self.writer.wait_closed()
        except OSError:
            pass
        finally:
            self.writer.transport.abort()

    def cut(self) -> None:
        """Close it at once; its task sees the end of the stream."""
        if self.writer is not None:
            self.writer.transport.abort()


@dataclass(frozen=True, slots=True)
class Hl7Snapshot:
    """The door at one moment.

    connections  since the start, by what became of them: accepted, refused, gave way, tls refused
    """

    open: int
    connections: dict[str, int]


class Hl7Listener:
    """Takes HL7 messages over MLLP. A connection is not read while its message waits: that is the back pressure.

    tls  context of a TLS port; None: plain
    """

    def __init__(
        self,
        inbox: Inbox,
        host: str,
        port: int,
        limits: ListenerLimits | None = None,
        tls: ssl.SSLContext | None = None,
        name: str = "hl7",
    ) -> None:
        self.name = name
        self._tls = tls
        self._counts: Counts[str] = Counts()
        self._inbox = inbox
        self._host = host
        self._port = port
        self._limits = limits or ListenerLimits()
        self._places: Places[_Connection] = Places(
            PlaceLimits(self._limits.connections, self._limits.connections_per_host)
        )
        self._refused = Seldom("hl7.connection_refused")
        self._displaced = Seldom("hl7.connection_gave_way")
        self._closed = Seldom("hl7.connection_closed", MOST_ENDS, "info")
        self._lost = Seldom("hl7.connection_lost", MOST_ENDS, "info")
        self._tls_refused = Seldom("hl7.tls_refused", MOST_ENDS)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._acceptors: list[Acceptor] = []
        self._tasks: dict[asyncio.Task[None], _Connection] = {}
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
        except (OSError, UnicodeError) as error:
            self._end_loop()
            raise cannot_listen("HL7", self._host, self._port, error) from None
        log.info("hl7.listening", host=self._host, port=self._port, tls=self._tls is not None)

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
        return alive and bool(self._acceptors) and not self._stopping

    def snapshot(self) -> Hl7Snapshot:
        """For metrics."""
        return Hl7Snapshot(len(self._places), self._counts.snapshot())

    def _run(self, work: Coroutine[Any, Any, None]) -> Future[None]:
        assert self._loop is not None
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    async def _open(self) -> None:
        listening = listen(self._host, self._port, BACKLOG)
        self._port = listening[0].getsockname()[1]
        self._acceptors = [Acceptor("hl7", one, self._accepted, partial(self._make_room, ANYBODY)) for one in listening]

    async def _close(self, grace_seconds: float) -> None:
        self._stopping = True
        for acceptor in self._acceptors:
            acceptor.stop()
        for task, connection in self._tasks.items():
            if not connection.in_hand:
                task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=grace_seconds)
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=CLOSE_SECONDS)

    def _end_loop(self) -> None:
        loop, thread = self._loop, self._thread
        self._loop = self._thread = None
        self._acceptors = []
        if loop is None or thread is None:
            return
        loop.call_soon_threadsafe(loop.stop)
        thread.join(CLOSE_SECONDS)
        if not thread.is_alive():
            loop.close()

    def _accepted(self, accepted: socket.socket, host: str, port: int) -> bool:
        """Give a connection its place, and a task that is kept: one that fails alone would leave the peer waiting."""
        scarce = is_scarce(accepted)
        is_full = scarce or self._places.is_full() or self._places.is_full_for(host)
        if self._stopping or (is_full and not self._make_room(host)):
            self._counts.add("refused")
            self._refused.tell(host=host, connections=len(self._places))
            accepted.close()
            return True
        if scarce:
            self._make_room(host)  # one more, so that descriptors are scarce no longer
        self._counts.add("accepted")
        connection = _Connection(accepted, host, port, self._limits)
        self._places.enter(connection)
        task = asyncio.get_running_loop().create_task(self._serve(connection))
        self._tasks[task] = connection
        task.add_done_callback(lambda done: self._tasks.pop(done, None))
        return not is_full

    def _make_room(self, host: str) -> bool:
        """Close the connection that gives way to a newcomer from this host; False when there is none."""
        leaving = self._places.who_gives_way(host)
        if leaving is None:
            return False
        self._counts.add("gave way")
        self._displaced.tell(host=leaving.host, newcomer=host, connections=len(self._places))
        self._places.leave(leaving)
        leaving.cut()
        return True

    async def _serve(self, connection: _Connection) -> None:
        try:
            await connection.open(reads=self._tls is None)
            if self._tls is not None and not await self._shake_hands(connection, self._tls):
                return
            await self._converse(connection)
        except BrokenFrame as fault:
            self._closed.tell(peer=connection.peer, reason=str(fault))
        except (ConnectionError, TimeoutError) as fault:
            self._lost.tell(peer=connection.peer, fault=type(fault).__name__)
        except Exception as fault:
            log.error("hl7.connection_failed", peer=connection.peer, fault=type(fault).__name__)
        finally:
            connection.frames.close()
            self._places.leave(connection)  # before the peer can see its end, and come again
            await connection.hang_up()

    async def _shake_hands(self, connection: _Connection, tls: ssl.SSLContext) -> bool:
        """TLS from the first byte; counted as a connection all the while, so that silent ones are bounded."""
        try:
            assert connection.writer is not None
            await connection.writer.start_tls(tls, ssl_handshake_timeout=HANDSHAKE_SECONDS)
        except OSError as fault:
            self._counts.add("tls refused")
            reason = getattr(fault, "reason", None) or type(fault).__name__
            self._tls_refused.tell(peer=connection.peer, reason=reason)
            return False
        return True

    async def _converse(self, connection: _Connection) -> None:
        """Answer message after message, in order, until the peer has ended its side and all are answered."""
        writer = connection.writer
        assert writer is not None
        while not self._stopping:
            frame = await connection.frames.next()
            if frame is None:
                return
            connection.in_hand = True
            writer.writeblock(await self._answer(frame, connection.peer))
            del frame  # a connection that waits for its next message would hold its last one
            async with asyncio.timeout(self._limits.frames.message_seconds):
                await writer.drain()
            connection.answered()

    async def _answer(self, frame: Frame, peer: str) -> bytes:
        if frame.fault is not None:
            return await self._inbox.refuse(frame.raw, peer, frame.fault is Fault.TOO_LONG)
        return await self._inbox.receive(frame.raw, peer)


def _log_fault(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """A fault outside of any connection, without texts that may hold values."""
    fault = context.get("exception")
    log.error("hl7.loop_fault", fault=type(fault).__name__, about=context.get("message", ""))
