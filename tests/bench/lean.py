"""What the lean client does, in a process of its own: each function is one job, run by `in_process`."""

from __future__ import annotations

import multiprocessing
import resource
import select
import socket
import time
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any

from tests.bench import wire

_SPAWN = multiprocessing.get_context("spawn")


def in_process(job: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    """Run a job of this file in a fresh process; its result."""
    with ProcessPoolExecutor(1, mp_context=_SPAWN) as pool:
        return pool.submit(job, *arguments, **named).result()


@dataclass
class Aside:
    """A job that runs beside others in a process of its own; `result` waits for its end."""

    pool: ProcessPoolExecutor
    future: Future[Any]

    def result(self) -> Any:
        try:
            return self.future.result()
        finally:
            self.pool.shutdown()


def beside(job: Callable[..., Any], *arguments: Any, **named: Any) -> Aside:
    """Start a job in a fresh process and do not wait for it."""
    pool = ProcessPoolExecutor(1, mp_context=_SPAWN)
    return Aside(pool, pool.submit(job, *arguments, **named))


def record(port: int, called: str, identifier: bytes) -> bytes:
    """Everything that a server sends for one query."""
    with wire.LeanAssociation(port, called, quick=True) as association:
        association.send(wire.find_request(identifier))
        return association.recorded()


def queries(
    port: int, called: str, identifier: bytes, answers: int, *, quick: bool, most: int, seconds: float, least: int = 3
) -> list[float]:
    """Milliseconds of queries one after another on one association, after one that is not counted.

    Ends after `most` queries, or after `seconds` when `least` have been made.
    raises  WireError when an answer has another number of items than `answers`
    """
    request = wire.find_request(identifier)
    return _repeated(port, called, request, answers, quick=quick, most=most, seconds=seconds, least=least)


def echoes(port: int, called: str, *, quick: bool, most: int, seconds: float) -> list[float]:
    """Milliseconds of C-ECHOs on one association."""
    return _repeated(port, called, wire.echo_request(), 0, quick=quick, most=most, seconds=seconds, least=3)


def sent(port: int, called: str, messages: list[bytes], *, quick: bool = True) -> list[float]:
    """Milliseconds of recorded messages, each sent when the one before was answered; the first is not counted."""
    with wire.LeanAssociation(port, called, quick=quick) as association:
        return [_timed(association, one, 0) for one in messages][1:]


def _repeated(
    port: int, called: str, request: bytes, answers: int, *, quick: bool, most: int, seconds: float, least: int
) -> list[float]:
    times: list[float] = []
    with wire.LeanAssociation(port, called, quick=quick) as association:
        _timed(association, request, answers)
        until = time.perf_counter() + seconds
        while len(times) < most and (len(times) < least or time.perf_counter() < until):
            times.append(_timed(association, request, answers))
    return times


def _timed(association: wire.LeanAssociation, request: bytes, answers: int) -> float:
    began = time.perf_counter()
    association.send(request)
    found = association.pending()
    took = (time.perf_counter() - began) * 1000
    if found != answers:
        raise wire.WireError(f"{found} answers instead of {answers}")
    return took


@dataclass(frozen=True)
class Crowd:
    """How many clients fared: queries a second, milliseconds of each, and how many were refused or failed."""

    rate: float
    times: list[float]
    refused: int


def crowd(port: int, called: str, identifier: bytes, answers: int, *, clients: int, seconds: float) -> Crowd:
    """Clients on kept associations, each asking again as soon as it was answered.

    What is still open at the end is waited for and counted, with the time it took.
    """
    open_ones, refused = _associate_all(port, called, clients)
    members = {one.socket.fileno(): _Member(one, wire.find_request(identifier), answers) for one in open_ones}
    poller = select.poll()
    for number, member in members.items():
        member.association.socket.setblocking(False)
        poller.register(number, select.POLLIN)
        member.ask()
    began = time.perf_counter()
    until = began + seconds
    while any(member.asked for member in members.values()):
        for number, _ in poller.poll(60_000) or _nobody_answers():
            member = members[number]
            try:
                if member.read() and time.perf_counter() < until:
                    member.ask()
            except (wire.WireError, OSError):
                poller.unregister(number)
                member.asked = 0.0
                refused += 1
    took = time.perf_counter() - began
    for one in open_ones:
        one.socket.close()
    times = [time_ for member in members.values() for time_ in member.times]
    return Crowd(len(times) / took, times, refused)


def _nobody_answers() -> list[tuple[int, int]]:
    raise wire.WireError("nobody was answered for a minute")


def _associate_all(port: int, called: str, clients: int) -> tuple[list[wire.LeanAssociation], int]:
    open_ones: list[wire.LeanAssociation] = []
    refused = 0
    for number in range(clients):
        try:
            open_ones.append(wire.LeanAssociation(port, called, quick=True, calling=f"BENCH{number}"))
        except (wire.WireError, OSError):
            refused += 1
    return open_ones, refused


class _Member:
    """One client of the crowd: counts pending statuses as bytes come."""

    def __init__(self, association: wire.LeanAssociation, request: bytes, answers: int) -> None:
        self.association = association
        self.times: list[float] = []
        self.asked = 0.0
        self._request = request
        self._answers = answers
        self._data = bytearray()
        self._count = 0

    def ask(self) -> None:
        self.asked = time.perf_counter()
        self.association.send(self._request)

    def read(self) -> bool:
        """Take what has come; True when the answer is complete."""
        connection = self.association.socket
        part = connection.recv(wire.BUFFER_BYTES)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        if not part:
            raise wire.WireError("the peer closed the connection")
        self._data += part
        done, count, used = wire.hopped(self._data)
        self._count += count
        del self._data[:used]
        if not done:
            return False
        if self._count != self._answers:
            raise wire.WireError(f"{self._count} answers instead of {self._answers}")
        self.times.append((time.perf_counter() - self.asked) * 1000)
        self._count, self.asked = 0, 0.0
        return True


def hold(port: int, called: str, count: int, told: Any) -> None:
    """Open associations, say how many, and keep quiet until told to end. told: one end of a pipe."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, count + 100)), hard))
    open_ones, refused = _associate_all(port, called, count)
    told.send((len(open_ones), refused))
    told.recv()
    for one in open_ones:
        one.socket.close()


def start_holding(port: int, called: str, count: int) -> tuple[Any, Any, int, int]:
    """A process that holds associations: itself, the pipe to end it by, how many it got and how many were refused."""
    ours, theirs = _SPAWN.Pipe()
    process = _SPAWN.Process(target=hold, args=(port, called, count, theirs), daemon=True)
    process.start()
    if not ours.poll(120):
        process.kill()
        raise wire.WireError("the associations were not opened within two minutes")
    opened, refused = ours.recv()
    return process, ours, opened, refused


def endless(port: int, called: str, identifier: bytes, answers: int, seconds: float) -> int:
    """Query in a loop for so long; how many answers were complete."""
    request = wire.find_request(identifier)
    done = 0
    until = time.perf_counter() + seconds
    with wire.LeanAssociation(port, called, quick=True) as association:
        while time.perf_counter() < until:
            _timed(association, request, answers)
            done += 1
    return done
