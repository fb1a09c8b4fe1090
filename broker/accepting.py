"""How a door accepts: it leaves descriptors for others, and pauses, with a log line a minute, while there are none."""

from __future__ import annotations

import asyncio
import errno
import resource
import socket
import time
from collections.abc import Callable

import structlog

EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
"""The system has no descriptor or no memory for one more connection."""

FIRST_PAUSE_SECONDS = 0.05
LONGEST_PAUSE_SECONDS = 1.0
TELL_SECONDS = 60.0
"""Between two log lines about what peers can cause as often as they like."""

KEPT_DESCRIPTORS = 64
"""Descriptors that the doors leave free, for the database, objects in arrival and the health routes, which may use half
of them; at most a KEPT_PART-th of all there are."""
KEPT_PART = 4

ANYBODY = ""
"""The host of a newcomer that could not be accepted."""

SPARED_AT_ONCE = 8
"""Silent connections that are closed when none can be accepted: one at a time would be taken by the next newcomer."""

ACCEPTED_AT_ONCE = 64
"""Connections that an event loop accepts before it looks after the others again."""

log = structlog.get_logger()


class Seldom:
    """A log line that is written a few times a minute at most, with how often it happened since the one before.

    most   lines in a minute
    level  of structlog
    """

    def __init__(self, event: str, most: int = 1, level: str = "warning") -> None:
        self._event = event
        self._most = most
        self._level = level
        self._count = 0
        self._left = 0
        self._next = 0.0

    def tell(self, **facts: object) -> None:
        self._count += 1
        now = time.monotonic()
        if now >= self._next:
            self._left, self._next = self._most, now + TELL_SECONDS
        if self._left > 0:
            self._left -= 1
            getattr(log, self._level)(self._event, count=self._count, **facts)
            self._count = 0


class Pauses:
    """What a door waits before it accepts again: longer each time, until it could."""

    def __init__(self, door: str) -> None:
        self._seldom = Seldom(f"{door}.cannot_accept")
        self._seconds = FIRST_PAUSE_SECONDS

    def after(self, error: Exception, *, has_spared: bool = False) -> float:
        """Seconds to pause after this failure; says it once a minute. has_spared: somebody leaves, soon there is one"""
        if has_spared:
            self.over()
        code = error.errno if isinstance(error, OSError) else None
        self._seldom.tell(reason=errno.errorcode.get(code or 0, type(error).__name__))
        seconds, self._seconds = self._seconds, min(2 * self._seconds, LONGEST_PAUSE_SECONDS)
        return seconds

    def over(self) -> None:
        """A connection was accepted."""
        self._seconds = FIRST_PAUSE_SECONDS


def is_scarce(connection: socket.socket, *, for_health: bool = False) -> bool:
    """True when only kept descriptors are left: the system always gives the lowest number that is free."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if limit == resource.RLIM_INFINITY:
        return False
    kept = min(KEPT_DESCRIPTORS, limit // KEPT_PART)
    return connection.fileno() >= limit - (kept // 2 if for_health else kept)


def spares_some(error: OSError, spare: Callable[[], bool]) -> bool:
    """After a failure to accept for want of descriptors: close a few silent connections, as many as there are."""
    return error.errno in EXHAUSTED and sum(spare() for _ in range(SPARED_AT_ONCE)) > 0


def listen(host: str, port: int, backlog: int) -> list[socket.socket]:
    """Sockets that listen on each address of the host, all on one port; port 0 takes a free one.

    raises  OSError, UnicodeError
    """
    found: list[socket.socket] = []
    try:
        for family, address in dict.fromkeys(
            (one[0], one[4]) for one in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        ):
            wanted = (address[0], found[0].getsockname()[1] if found else port, *address[2:])
            listening = socket.socket(family)
            found.append(listening)
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listening.bind(wanted)
            listening.listen(backlog)
            listening.setblocking(False)
    except BaseException:
        for listening in found:
            listening.close()
        raise
    return found


class Acceptor:
    """Accepts on an event loop; its methods are called there.

    taken  gets each connection, which does not block, with the host and the port of its peer; False: others have to
           be closed before the next one is accepted, which the event loop does in its next turn
    spare  closes a silent connection, because the system has no descriptor for one more; False: there is none
    """

    def __init__(
        self,
        door: str,
        listening: socket.socket,
        taken: Callable[[socket.socket, str, int], bool],
        spare: Callable[[], bool],
    ) -> None:
        self._listening = listening
        self._taken = taken
        self._spare = spare
        self._pauses = Pauses(door)
        self._loop = asyncio.get_running_loop()
        self._pause: asyncio.TimerHandle | None = None
        self._resume()

    def stop(self) -> None:
        """Accept nothing more, and close the listening socket; may be called twice."""
        if self._pause is not None:
            self._pause.cancel()
        if self._listening.fileno() >= 0:
            self._loop.remove_reader(self._listening)
            self._listening.close()

    def _resume(self) -> None:
        self._loop.add_reader(self._listening, self._accept)

    def _accept(self) -> None:
        for _ in range(ACCEPTED_AT_ONCE):
            try:
                connection, address = self._listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                self._loop.remove_reader(self._listening)
                pause = self._pauses.after(error, has_spared=spares_some(error, self._spare))
                self._pause = self._loop.call_later(pause, self._resume)
                return
            connection.setblocking(False)
            self._pauses.over()
            if not self._taken(connection, str(address[0]), int(address[1])):
                return
