"""Memory for input that was received and not yet handed on: one budget per process, with a share for each host.

A claim that does not fit waits, in a thread or on an event loop. The last `longest_bytes` of the budget, and of each
host's share, are kept for one claim at a time: however many half messages hold the rest, one can be finished.

The C library keeps what was freed for later, hundreds of megabytes after a few long messages at once. So when much was
held and nothing is any more, it is asked to give its memory back to the system.
"""

from __future__ import annotations

import asyncio
import ctypes
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

TOTAL_BYTES = 256_000_000
HOSTS = 4
"""The share of one host is the total divided by this."""
LONGEST_BYTES = 17_000_000
"""The longest input that is held: 11 MB of HL7 with the chunk behind it, or a DICOM dataset other than an object."""

MUCH_BYTES = 20_000_000
"""Once this much was held, freed memory is given back to the system."""
SETTLE_SECONDS = 1.0
"""Wait before that: a message is in use for a moment longer than its bytes are claimed."""


class _Pool:
    """Bytes that several claims share. Guarded by the budget's lock.

    common_bytes   for all claims
    longest_bytes  beyond them, for one claim at a time
    """

    __slots__ = ("_common_bytes", "_finisher", "_longest_bytes", "held_bytes")

    def __init__(self, total_bytes: int, longest_bytes: int) -> None:
        self._common_bytes = max(0, total_bytes - longest_bytes)
        self._longest_bytes = longest_bytes
        self._finisher: Claim | None = None
        self.held_bytes = 0

    def fits(self, claim: Claim, growth_bytes: int) -> bool:
        after = self.held_bytes + growth_bytes
        if after <= self._common_bytes:
            return True
        return self._finisher in (None, claim) and after <= self._common_bytes + self._longest_bytes

    def take(self, claim: Claim, growth_bytes: int) -> None:
        self.held_bytes += growth_bytes
        if self.held_bytes > self._common_bytes:
            self._finisher = claim

    def give_back(self, claim: Claim) -> None:
        self.held_bytes -= claim.held_bytes
        if self._finisher is claim:
            self._finisher = None


@dataclass(eq=False, slots=True)
class _Waiter:
    """wake: called once the claim has what it waits for; it must not block."""

    claim: Claim
    wanted_bytes: int
    wake: Callable[[], None]


class MemoryBudget:
    """Thread-safe.

    total_bytes    all claims together
    longest_bytes  the longest single claim
    share_bytes    all claims of one host together; None: a fourth of the total
    """

    def __init__(
        self, total_bytes: int = TOTAL_BYTES, longest_bytes: int = LONGEST_BYTES, share_bytes: int | None = None
    ) -> None:
        self._lock = threading.Lock()
        self._longest_bytes = longest_bytes
        self._share_bytes = total_bytes // HOSTS if share_bytes is None else share_bytes
        self._all = _Pool(total_bytes, longest_bytes)
        self._hosts: dict[str, _Pool] = {}
        self._waiters: list[_Waiter] = []
        self._most_bytes = 0
        self._is_trimming = False

    @property
    def held_bytes(self) -> int:
        """What all claims hold now."""
        return self._all.held_bytes

    def claim(self, host: str) -> Claim:
        """A claim of this host, which holds nothing yet."""
        return Claim(self, host)

    def take(self, claim: Claim, wanted_bytes: int) -> bool:
        """Let a claim hold `wanted_bytes` in all, if they fit; for Claim only."""
        with self._lock:
            return self._take(claim, wanted_bytes)

    def _take(self, claim: Claim, wanted_bytes: int) -> bool:
        growth = wanted_bytes - claim.held_bytes
        if growth <= 0:
            return True
        host = self._hosts.get(claim.host) or _Pool(self._share_bytes, self._longest_bytes)
        if not host.fits(claim, growth) or not self._all.fits(claim, growth):
            return False
        self._hosts[claim.host] = host
        host.take(claim, growth)
        self._all.take(claim, growth)
        claim.held_bytes = wanted_bytes
        self._most_bytes = max(self._most_bytes, self._all.held_bytes)
        return True

    def give_back(self, claim: Claim) -> None:
        """Take everything from a claim, and let others have it, first come first served; for Claim only."""
        with self._lock:
            host = self._hosts.get(claim.host)
            if host is None or not claim.held_bytes:
                return
            host.give_back(claim)
            self._all.give_back(claim)
            claim.held_bytes = 0
            if not host.held_bytes:
                del self._hosts[claim.host]
            served = [waiter for waiter in self._waiters if self._take(waiter.claim, waiter.wanted_bytes)]
            if served:
                self._waiters = [waiter for waiter in self._waiters if waiter not in served]
            trims = not self._all.held_bytes and self._most_bytes >= MUCH_BYTES and not self._is_trimming
            self._is_trimming |= trims
        for waiter in served:
            waiter.wake()
        if trims:
            try:
                threading.Thread(target=self._trim, name="memory", daemon=True).start()
            except RuntimeError:  # no thread is left: the next time
                self._is_trimming = False

    def _trim(self) -> None:
        time.sleep(SETTLE_SECONDS)
        self._most_bytes, self._is_trimming = 0, False
        _give_memory_back()

    @contextmanager
    def waiting(self, claim: Claim, wanted_bytes: int, wake: Callable[[], None]) -> Iterator[None]:
        """Meanwhile the claim is in the queue; wake is called once it has its bytes; for Claim only."""
        waiter = _Waiter(claim, wanted_bytes, wake)
        with self._lock:
            has_it = self._take(claim, wanted_bytes)
            if not has_it:
                self._waiters.append(waiter)
        if has_it:
            wake()
        try:
            yield
        finally:
            with self._lock:
                if waiter in self._waiters:
                    self._waiters.remove(waiter)


class Claim:
    """What one connection holds of the budget; released at the end of its `with`. For one thread or task at a time."""

    __slots__ = ("_budget", "held_bytes", "host")

    def __init__(self, budget: MemoryBudget, host: str) -> None:
        self._budget = budget
        self.host = host
        self.held_bytes = 0

    def __enter__(self) -> Claim:
        return self

    def __exit__(self, *error: object) -> None:
        self.release()

    def grow_now(self, wanted_bytes: int) -> bool:
        """Hold `wanted_bytes` in all; False, and nothing has changed, when they do not fit now."""
        return wanted_bytes <= self.held_bytes or self._budget.take(self, wanted_bytes)

    async def grow(self, wanted_bytes: int) -> None:
        """Hold `wanted_bytes` in all; waits until they fit. The caller limits the wait."""
        if self.grow_now(wanted_bytes):
            return
        loop = asyncio.get_running_loop()
        has_it = asyncio.Event()

        def wake() -> None:
            with suppress(RuntimeError):  # its loop is closed: the waiter is gone
                loop.call_soon_threadsafe(has_it.set)

        with self._budget.waiting(self, wanted_bytes, wake):
            await has_it.wait()

    def grow_within(self, wanted_bytes: int, seconds: float) -> bool:
        """Hold `wanted_bytes` in all; blocks until they fit. False when they do not within the time."""
        if self.grow_now(wanted_bytes):
            return True
        has_it = threading.Event()
        with self._budget.waiting(self, wanted_bytes, has_it.set):
            has_it.wait(max(0.0, seconds))
        return self.held_bytes >= wanted_bytes

    def release(self) -> None:
        """Give everything back."""
        if self.held_bytes:
            self._budget.give_back(self)


def _give_memory_back() -> None:
    """Have the C library return what it keeps (malloc_trim of glibc); does nothing where it has no such call."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
