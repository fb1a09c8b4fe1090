"""Places of a door: limits in total and per host, and which connection gives way to a newcomer when they run out.

A connection gives way when nothing of it is in hand: the longest silent one of the busiest host, those that never
delivered anything first. A host loses a place to another one only if it keeps at least as many, so places even out.
"""

from __future__ import annotations

import fcntl
import termios
import time
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar


class Guest(Protocol):
    """A connection that holds a place.

    quiet_since    time.monotonic() of its beginning or its last answer; None while something is in hand
    has_delivered  it has sent something that was answered
    has_bytes      something of it, or for it, is on its way
    """

    @property
    def host(self) -> str: ...

    @property
    def quiet_since(self) -> float | None: ...

    @property
    def has_delivered(self) -> bool: ...

    def has_bytes(self) -> bool: ...


Holder = TypeVar("Holder", bound=Guest)


@dataclass(frozen=True, slots=True)
class PlaceLimits:
    """How many connections a door takes, and when one may be asked to leave.

    total           at once, from everybody
    per_host        at once, from one address; 0: no limit of its own
    least_seconds   a silent connection does not give way before this time
    settle_seconds  and to its own host's newcomer only after this time
    rest_seconds    one that has delivered gives way only after this much silence: its sender may be about to send more
    """

    total: int
    per_host: int = 0
    least_seconds: float = 0.0
    settle_seconds: float = 1.0
    rest_seconds: float = 5.0


class Places(Generic[Holder]):
    """Who holds a place. Not thread-safe."""

    def __init__(self, limits: PlaceLimits) -> None:
        self._limits = limits
        self._hosts: dict[str, dict[Holder, None]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def is_full(self) -> bool:
        """No place is left."""
        return self._count >= self._limits.total

    def is_full_for(self, host: str) -> bool:
        """No place is left for this host."""
        return 0 < self._limits.per_host <= self._held_by(host)

    def enter(self, holder: Holder) -> None:
        self._hosts.setdefault(holder.host, {})[holder] = None
        self._count += 1

    def leave(self, holder: Holder) -> None:
        """Free its place; does nothing when it holds none."""
        holders = self._hosts.get(holder.host, {})
        if holder not in holders:
            return
        del holders[holder]
        self._count -= 1
        if not holders:
            del self._hosts[holder.host]

    def who_gives_way(self, newcomer_host: str) -> Holder | None:
        """The connection that has to leave so that the newcomer can stay; None: there is none."""
        now = time.monotonic()
        rested_at = now - self._limits.rest_seconds
        for host in self._givers(newcomer_host):
            is_own = host == newcomer_host
            silent_at = now - (self._limits.settle_seconds if is_own else self._limits.least_seconds)
            found = self._first_silent(host, silent_at)
            if found is None:
                found = self._longest_at_rest(host, rested_at)
            if found is not None:
                return found
        return None

    def _givers(self, newcomer_host: str) -> list[str]:
        """Hosts that may have to give a place to the newcomer, the busiest first."""
        if self.is_full_for(newcomer_host):
            return [newcomer_host]
        own = self._held_by(newcomer_host)
        hosts = [host for host, held in self._hosts.items() if len(held) > own + 1 or host == newcomer_host]
        return sorted(hosts, key=self._held_by, reverse=True)

    def _first_silent(self, host: str, silent_at: float) -> Holder | None:
        """Of those that never delivered anything, the one that came first: they are in this order."""
        for holder in self._hosts[host]:
            since = None if holder.has_delivered else holder.quiet_since
            if since is not None and since <= silent_at and not holder.has_bytes():
                return holder
        return None

    def _longest_at_rest(self, host: str, rested_at: float) -> Holder | None:
        """Of those that have delivered, the one that has been silent longest."""
        known = ((one.quiet_since, one) for one in self._hosts[host] if one.has_delivered)
        rested = [(since, one) for since, one in known if since is not None and since <= rested_at]
        for _, holder in sorted(rested, key=lambda ranked: ranked[0]):
            if not holder.has_bytes():
                return holder
        return None

    def _held_by(self, host: str) -> int:
        return len(self._hosts.get(host, ()))


def has_unread_bytes(descriptor: int) -> bool:
    """True when the system holds bytes of a socket that were not read yet; False also when it is closed."""
    try:
        return fcntl.ioctl(descriptor, termios.FIONREAD, bytes(4)) != bytes(4)
    except (OSError, ValueError):
        return False
