"""Who is connected, how many may be, and what was refused: counted by the DICOM door, read by metrics and logs."""

from __future__ import annotations

import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from broker.accepting import Seldom
from broker.dicom.contract import Peer
from broker.dicom.limits import DicomLimits
from broker.dicom.negotiation import LOCAL_LIMIT_EXCEEDED, TEMPORARY_CONGESTION, Rejection
from broker.places import PlaceLimits, Places

MOST_WAITING = 256
"""Connections without an association; one more closes the oldest of the host that has most of them, so that silent
ones keep nobody out, and those of other hosts least."""

LEAST_SECONDS, SETTLE_SECONDS = 1.0, 5.0
"""A silent association without a request gives way to other hosts, and to its own, only after this time."""

GAVE_WAY = "gave way"
"""Why an association was aborted whose place another one needed."""

MOST_PEERS = 1_000
"""Peers that are remembered; the one that was seen longest ago is forgotten first."""


Key = TypeVar("Key")


class Connection(Protocol):
    """What the census knows of a connection."""

    @property
    def host(self) -> str: ...

    def cut(self, why: str) -> None: ...

    def break_off(self) -> None: ...

    def has_bytes(self) -> bool:
        """True when something has come that is not served yet."""
        ...

    def give_notice(self, why: str) -> None:
        """It serves no further request; "" takes this back."""
        ...


@dataclass(eq=False, slots=True)
class _Place:
    """Of an association. quiet_since: time.monotonic() of its last answer; None while it serves a request."""

    connection: Connection
    peer: Peer
    quiet_since: float | None = None
    has_delivered: bool = False

    @property
    def host(self) -> str:
        return self.peer.address

    def has_bytes(self) -> bool:
        return self.connection.has_bytes()


@dataclass(frozen=True, slots=True)
class PeerSeen:
    """A calling AE title at an address. last_seen: seconds since the epoch."""

    calling_ae_title: str
    host: str
    open: int
    last_seen: float


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The door at one moment.

    open      associations
    waiting   connections without an association: before it, or after its end
    peers     remembered ones, the last seen first
    ended     associations by how they ended: accepted (counted at their begin), rejected, released, aborted, lost
    rejected  A-ASSOCIATE-RJ by reason
    refused   PDUs and messages that ended a connection, by reason
    requests  by command and final status ("C-FIND 0000"), where the door counts them
    """

    open: int
    waiting: int
    peers: tuple[PeerSeen, ...]
    associations: dict[str, int]
    rejected: dict[str, int]
    refused: dict[str, int]
    requests: dict[str, int] = field(default_factory=dict)


def total(snapshots: Sequence[Snapshot]) -> Snapshot:
    """Several doors, or several processes of one, seen as one door."""
    peers: dict[tuple[str, str], PeerSeen] = {}
    for seen in sorted((one for snapshot in snapshots for one in snapshot.peers), key=lambda one: one.last_seen):
        key = seen.calling_ae_title, seen.host
        before = peers.pop(key).open if key in peers else 0
        peers[key] = PeerSeen(*key, before + seen.open, seen.last_seen)
    return Snapshot(
        sum(one.open for one in snapshots),
        sum(one.waiting for one in snapshots),
        tuple(reversed(peers.values()))[:MOST_PEERS],
        _added(one.associations for one in snapshots),
        _added(one.rejected for one in snapshots),
        _added(one.refused for one in snapshots),
        _added(one.requests for one in snapshots),
    )


def _added(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    summed: Counter[str] = Counter()
    for one in counts:
        summed.update(one)
    return dict(summed)


class Census:
    """Thread-safe; every call is short."""

    def __init__(self, limits: DicomLimits) -> None:
        self._lock = threading.Condition()
        self._waiting: OrderedDict[Connection, None] = OrderedDict()
        self._open: dict[Connection, _Place] = {}
        self._places: Places[_Place] = Places(
            PlaceLimits(limits.associations, limits.associations_per_host, LEAST_SECONDS, SETTLE_SECONDS)
        )
        self._crowded = Seldom("dicom.connection_gave_way")
        self._titles: Counter[tuple[str, str]] = Counter()
        self._seen: OrderedDict[tuple[str, str], float] = OrderedDict()
        self._associations: Counter[str] = Counter()
        self._rejected: Counter[str] = Counter()
        self._refused: Counter[str] = Counter()

    def arrives(self, connection: Connection) -> None:
        """A connection without an association yet; another one goes when there are too many."""
        with self._lock:
            self._waiting[connection] = None
            surplus = self._surplus() if len(self._waiting) > MOST_WAITING else None
        if surplus is not None:
            self._cut_surplus(surplus)

    def _cut_surplus(self, surplus: Connection) -> None:
        surplus.cut("too many silent connections")
        self._crowded.tell(host=surplus.host)

    def _surplus(self) -> Connection:
        """The connection that goes; it is forgotten here."""
        host = Counter(one.host for one in self._waiting).most_common(1)[0][0]
        oldest = next(one for one in self._waiting if one.host == host)
        del self._waiting[oldest]
        return oldest

    def make_room(self, host: str) -> bool:
        """One connection goes, so that one more can come although descriptors are scarce; False when none can."""
        with self._lock:
            surplus = self._surplus() if self._waiting else None
            if surplus is None:
                return self._displace(host)
        self._cut_surplus(surplus)
        return True

    def admit(self, connection: Connection, peer: Peer) -> Rejection | None:
        """Give an association its place, or say why there is none; a silent one may have to leave for it."""
        with self._lock:
            if self._places.is_full() and not self._displace(peer.address):
                return TEMPORARY_CONGESTION
            if self._places.is_full_for(peer.address) and not self._displace(peer.address):
                return LOCAL_LIMIT_EXCEEDED
            self._waiting.pop(connection, None)
            place = self._open[connection] = _Place(connection, peer)
            self._places.enter(place)
            self._titles[_key(peer)] += 1
            self._associations["accepted"] += 1
        self.sees(peer)
        return None

    def _displace(self, host: str) -> bool:
        """Abort the association that gives way to a newcomer from this host; False when none can."""
        place = self._places.who_gives_way(host)
        if place is None:
            return False
        connection = place.connection
        connection.give_notice(GAVE_WAY)
        if place.quiet_since is None:  # a request came first
            connection.give_notice("")
            return False
        self._forget(connection)
        self._waiting[connection] = None  # until it is closed
        connection.cut(GAVE_WAY)
        return True

    def rests(self, connection: Connection, *, has_delivered: bool) -> None:
        """An association waits for a request. Without the lock: only its own thread calls, and writes one value."""
        if (place := self._open.get(connection)) is not None:
            place.has_delivered = has_delivered
            place.quiet_since = time.monotonic()

    def works(self, connection: Connection) -> None:
        """An association has a request in hand; it must then look whether it was given notice."""
        if (place := self._open.get(connection)) is not None:
            place.quiet_since = None

    def sees(self, peer: Peer) -> None:
        """A peer has just said something."""
        with self._lock:
            self._seen[_key(peer)] = time.time()
            self._seen.move_to_end(_key(peer))
            if len(self._seen) > MOST_PEERS:
                self._seen.popitem(last=False)

    def ended(self, how: str) -> None:
        """An association came to its end: released, aborted, lost; or never to its begin: rejected."""
        with self._lock:
            self._associations[how] += 1

    def rejects(self, reason: str) -> None:
        with self._lock:
            self._rejected[reason] += 1

    def refuses(self, reason: str) -> None:
        """Something that a peer sent ended its connection. reason: one of a few constant words"""
        with self._lock:
            self._refused[reason] += 1

    def leaves(self, connection: Connection) -> None:
        """The connection is closed: its place is free."""
        with self._lock:
            self._waiting.pop(connection, None)
            self._forget(connection)
            if not self._waiting and not self._open:
                self._lock.notify_all()

    def _forget(self, connection: Connection) -> None:
        """Free the place of an association, if it has one."""
        place = self._open.pop(connection, None)
        if place is not None:
            self._places.leave(place)
            _take_one(self._titles, _key(place.peer))

    def connections(self) -> list[Connection]:
        """All that are connected now, with or without an association."""
        with self._lock:
            return [*self._open, *self._waiting]

    def wait_until_empty(self, seconds: float) -> None:
        """Until nobody is connected, or the time is over."""
        with self._lock:
            self._lock.wait_for(lambda: not self._waiting and not self._open, seconds)

    def snapshot(self) -> Snapshot:
        with self._lock:
            peers = tuple(
                PeerSeen(title, host, self._titles[title, host], at)
                for (title, host), at in reversed(self._seen.items())
            )
            return Snapshot(
                len(self._open),
                len(self._waiting),
                peers,
                dict(self._associations),
                dict(self._rejected),
                dict(self._refused),
            )


def _key(peer: Peer) -> tuple[str, str]:
    return peer.calling_ae_title, peer.address


def _take_one(counter: Counter[Key], key: Key) -> None:
    counter[key] -= 1
    if not counter[key]:
        del counter[key]
