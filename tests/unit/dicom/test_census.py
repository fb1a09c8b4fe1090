"""The census of the DICOM door: places, who goes when there are too many, what is remembered and how much of it."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from broker.dicom.census import MOST_PEERS, MOST_WAITING, Census
from broker.dicom.contract import Peer
from broker.dicom.limits import DicomLimits
from broker.dicom.negotiation import LOCAL_LIMIT_EXCEEDED, TEMPORARY_CONGESTION


@dataclass(eq=False)
class Connection:
    """A connection that notes why it was cut."""

    host: str
    cuts: list[str] = field(default_factory=list)

    def cut(self, why: str) -> None:
        self.cuts.append(why)

    def break_off(self) -> None: ...


@pytest.fixture
def census() -> Census:
    return Census(DicomLimits(associations=3, associations_per_host=2))


def enter(census: Census, host: str, title: str = "CT1") -> tuple[Connection, object]:
    connection = Connection(host)
    census.arrives(connection)
    return connection, census.admit(connection, Peer(title, "BROKER", host))


def test_places_are_limited_per_host_and_in_total(census: Census) -> None:
    told = [enter(census, host)[1] for host in ("a", "a", "a", "b", "b")]

    assert told == [None, None, LOCAL_LIMIT_EXCEEDED, None, TEMPORARY_CONGESTION]


def test_a_place_is_free_when_the_connection_is_closed(census: Census) -> None:
    first, _ = enter(census, "a")
    enter(census, "a")

    census.leaves(first)
    census.leaves(first)

    assert enter(census, "a")[1] is None
    assert census.snapshot().open == 2


def test_a_flood_of_silent_connections_costs_its_own_host(census: Census) -> None:
    quiet = Connection("a")
    census.arrives(quiet)
    flood = [Connection("b") for _ in range(MOST_WAITING + 50)]

    for connection in flood:
        census.arrives(connection)

    assert quiet.cuts == []
    assert [bool(one.cuts) for one in flood] == [True] * 51 + [False] * (MOST_WAITING - 1)
    assert census.snapshot().waiting == MOST_WAITING


def test_peers_are_remembered_last_seen_first_with_what_they_have_open(census: Census) -> None:
    first, _ = enter(census, "a", "CT1")
    enter(census, "b", "MR1")
    census.leaves(first)
    census.sees(Peer("CT1", "BROKER", "a"))

    peers = census.snapshot().peers

    assert [(peer.calling_ae_title, peer.host, peer.open) for peer in peers] == [("CT1", "a", 0), ("MR1", "b", 1)]
    assert peers[0].last_seen >= peers[1].last_seen


def test_titles_that_a_peer_makes_up_do_not_fill_memory(census: Census) -> None:
    for number in range(MOST_PEERS + 500):
        census.sees(Peer(f"T{number}", "BROKER", "a"))

    assert len(census.snapshot().peers) == MOST_PEERS


def test_ends_rejections_and_refusals_are_counted_by_reason(census: Census) -> None:
    enter(census, "a")
    census.ended("released")
    census.rejects("calling AE title")
    census.refuses("length")
    census.refuses("length")

    seen = census.snapshot()

    assert seen.associations == {"accepted": 1, "released": 1}
    assert (seen.rejected, seen.refused) == ({"calling AE title": 1}, {"length": 2})


def test_nobody_left_is_noticed(census: Census) -> None:
    connection, _ = enter(census, "a")
    census.wait_until_empty(0.01)
    assert census.connections() == [connection]

    census.leaves(connection)
    census.wait_until_empty(10)

    assert census.connections() == []
