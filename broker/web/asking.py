"""Questions that block, asked for HTTP: each kind runs in one thread of its own, once for all who wait for the answer.

A `Question` is waited for on the event loop. A `SharedProbe` is one part of such a question, with a limit of its own.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Generic, TypeVar

from starlette.exceptions import HTTPException

from broker.errors import DatabaseUnavailable

MOST_WAITING = 100
"""Requests that may wait for the same answer; further ones are told to come again, so that they take no place."""

BESIDE_SECONDS = 0.2
"""Longest wait for the question before, which may be slow: after that the next one runs beside it. Each has a limit, so
that there are never more than a few."""

Answer = TypeVar("Answer")


class Question(Generic[Answer]):
    """For one event loop. An answer is never older than the request that gets it.

    The threads that everybody shares may all be taken by slow questions; so this one takes none of them.
    """

    def __init__(self, name: str, ask: Callable[[], Answer]) -> None:
        self._name = name
        self._ask = ask
        self._asking: asyncio.Future[Answer] | None = None
        self._next: asyncio.Task[Answer] | None = None
        self._waiting = 0

    async def answer(self) -> Answer:
        """Wait for the answer to a question that begins after now.

        raises  HTTPException 503 when too many wait, or no thread can be had; what the question raises
        """
        if self._waiting >= MOST_WAITING:
            raise HTTPException(503, headers={"Retry-After": "1"})
        if self._next is None:
            self._next = asyncio.get_running_loop().create_task(self._ask_after(self._asking))
        self._waiting += 1
        try:
            return await asyncio.shield(self._next)
        finally:
            self._waiting -= 1

    async def _ask_after(self, before: asyncio.Future[Answer] | None) -> Answer:
        if before is not None:
            await asyncio.wait((before,), timeout=BESIDE_SECONDS)
        self._next = None
        self._asking = asyncio.get_running_loop().create_future()
        try:
            threading.Thread(target=self._run, args=(self._asking,), name=self._name, daemon=True).start()
        except RuntimeError:
            self._asking.cancel()
            raise HTTPException(503, headers={"Retry-After": "1"}) from None
        return await self._asking

    def _run(self, asking: asyncio.Future[Answer]) -> None:
        try:
            answer = self._ask()
        except Exception as fault:
            self._settle(asking, partial(asking.set_exception, fault))
        else:
            self._settle(asking, partial(asking.set_result, answer))

    def _settle(self, asking: asyncio.Future[Answer], settle: Callable[[], None]) -> None:
        with suppress(RuntimeError):  # the loop has ended meanwhile
            asking.get_loop().call_soon_threadsafe(lambda: None if asking.done() else settle())


class SharedProbe(Generic[Answer]):
    """A probe of the database for any thread: called like the function that it wraps, with a limit on each wait.

    However many threads call it, it runs once for all of them, in a thread of its own: a server that takes connections
    and answers nothing holds that one thread and nobody else. An answer is never older than the call that gets it.

    within_seconds  longest wait of a call
    late            the answer once that is over; None: DatabaseUnavailable is raised
    """

    def __init__(self, probe: Callable[[], Answer], within_seconds: float, late: Answer | None = None) -> None:
        self._probe = probe
        self._within_seconds = within_seconds
        self._late = late
        self._changed = threading.Condition()
        self._runs = False
        self._began = 0.0
        self._answered: concurrent.futures.Future[Answer] = concurrent.futures.Future()

    def __call__(self) -> Answer:
        asked = time.monotonic()
        with self._changed:
            while self._began < asked:
                if not self._runs:
                    self._runs = True
                    threading.Thread(target=self._run, name="probe", daemon=True).start()
                left = asked + self._within_seconds - time.monotonic()
                if not self._changed.wait(left) and self._began < asked:
                    if self._late is None:
                        raise DatabaseUnavailable("the database does not answer", limit_seconds=self._within_seconds)
                    return self._late
            answered = self._answered
        return answered.result(0)

    def _run(self) -> None:
        began, answered = time.monotonic(), concurrent.futures.Future[Answer]()
        try:
            answered.set_result(self._probe())
        except Exception as error:  # the callers get it
            answered.set_exception(error)
        with self._changed:
            self._began, self._answered, self._runs = began, answered, False
            self._changed.notify_all()
