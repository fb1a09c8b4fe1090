"""Who gives way to a newcomer, and who never does."""

from __future__ import annotations

import time
from dataclasses import dataclass

from broker.places import PlaceLimits, Places


@dataclass(eq=False)
class Guest:
    """A connection as a test wants it. silent: seconds; None: it has something in hand"""

    host: str
    silent: float | None = 60.0
    has_delivered: bool = False
    begun: bool = False

    @property
    def quiet_since(self) -> float | None:
        return None if self.silent is None else time.monotonic() - self.silent

    def has_bytes(self) -> bool:
        return self.begun


def places(*guests: Guest, total: int = 100, per_host: int = 0) -> Places[Guest]:
    made: Places[Guest] = Places(PlaceLimits(total, per_host, least_seconds=1.0, settle_seconds=5.0, rest_seconds=10.0))
    for guest in guests:
        made.enter(guest)
    return made


def test_the_first_silent_one_of_the_busiest_host_gives_way() -> None:
    busiest = [Guest("a", 30.0), Guest("a", 20.0), Guest("a", 10.0)]

    assert places(Guest("b", 90.0), Guest("b", 80.0), *busiest).who_gives_way("c") is busiest[0]


def test_those_that_never_delivered_go_before_those_that_did() -> None:
    known, silent = Guest("a", 90.0, has_delivered=True), Guest("a", 6.0)

    assert places(known, silent).who_gives_way("b") is silent


def test_of_those_that_delivered_the_longest_silent_one_gives_way() -> None:
    guests = [Guest("a", silent, has_delivered=True) for silent in (20.0, 40.0, 30.0)]

    assert places(*guests).who_gives_way("b") is guests[1]


def test_nobody_with_bytes_or_an_answer_pending_gives_way() -> None:
    guests = Guest("a", begun=True), Guest("a", None), Guest("a", None, has_delivered=True)

    assert places(*guests).who_gives_way("b") is None


def test_a_sender_that_has_just_delivered_keeps_its_place() -> None:
    assert places(*(Guest("a", 2.0, has_delivered=True) for _ in range(3))).who_gives_way("a") is None


def test_a_host_gives_to_another_only_while_it_keeps_as_many() -> None:
    held = places(Guest("a"), Guest("a"), Guest("b"))

    assert held.who_gives_way("b") is not None  # its own
    assert held.who_gives_way("b").host == "b"  # type: ignore[union-attr]
    assert held.who_gives_way("c").host == "a"  # type: ignore[union-attr]


def test_at_its_own_limit_a_host_gives_its_own_place_only() -> None:
    own = Guest("b")

    assert places(*(Guest("a") for _ in range(9)), own, per_host=1).who_gives_way("b") is own


def test_a_newcomer_of_the_same_host_waits_until_the_others_have_settled() -> None:
    held = places(*(Guest("a", 2.0) for _ in range(5)))

    assert held.who_gives_way("a") is None
    assert held.who_gives_way("b") is not None


def test_places_are_counted_in_total_and_by_host() -> None:
    guests = [Guest("a"), Guest("a"), Guest("b")]
    held = places(*guests, total=3, per_host=2)
    assert (held.is_full(), held.is_full_for("a"), held.is_full_for("b")) == (True, True, False)

    held.leave(guests[0])
    held.leave(guests[0])

    assert (len(held), held.is_full(), held.is_full_for("a")) == (2, False, False)
