"""What is older, what is newer, and what nobody can tell."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.domain.in_time import FUTURE, Age, age, latest, stamps_of
from broker.domain.request import ReceivedMessage, Sender
from tests.unit.domain.orders import NOON, order

HOUR = timedelta(hours=1)
MESSAGE = ReceivedMessage(b"", "", datetime(2026, 10, 26, tzinfo=UTC), Sender("RIS", "HOSP", "RIS|HOSP"))
NIGHT = datetime(2026, 10, 25, 0, 0, tzinfo=UTC)
"""The hour from here on and the next one look alike on clocks of Vienna: 02:00 to 02:59."""


def stamps(earliest: datetime, end: datetime | None = None) -> dict[str, str]:
    return stamps_of(replace(MESSAGE, message_time=earliest, message_time_latest=end))


def minutes(number: int) -> datetime:
    return NIGHT + timedelta(minutes=number)


def local(at: datetime) -> dict[str, str]:
    """What a message sent at this instant is stamped with in Vienna, without offset."""
    past = at - NIGHT
    if timedelta(0) <= past < 2 * HOUR:
        first = at - HOUR if past >= HOUR else at
        return stamps(first, first + HOUR)
    return stamps(at)


@pytest.mark.parametrize(
    ("sent", "known", "expected"),
    [
        (stamps(minutes(10), minutes(70)), stamps(minutes(50), minutes(110)), Age.UNKNOWN),
        (stamps(minutes(10), minutes(70)), stamps(minutes(70)), Age.UNKNOWN),
        (stamps(minutes(10), minutes(70)), stamps(minutes(71)), Age.OLDER),
        (stamps(minutes(10), minutes(70)), stamps(minutes(71), minutes(131)), Age.OLDER),
        (stamps(minutes(10), minutes(70)), stamps(minutes(10)), Age.UNKNOWN),
        (stamps(minutes(10), minutes(70)), stamps(minutes(9)), Age.NEWER),
        (stamps(minutes(71)), stamps(minutes(10), minutes(70)), Age.NEWER),
        (stamps(minutes(70)), stamps(minutes(10), minutes(70)), Age.UNKNOWN),
        (stamps(minutes(10)), stamps(minutes(10), minutes(70)), Age.UNKNOWN),
        (stamps(minutes(9)), stamps(minutes(10), minutes(70)), Age.OLDER),
        (stamps(minutes(10)), stamps(minutes(10)), Age.UNKNOWN),
    ],
)
def test_only_ends_that_do_not_meet_tell_the_order(sent: dict[str, str], known: dict[str, str], expected: Age) -> None:
    assert age(sent, known) is expected


def test_a_stamp_that_may_mean_two_instants_is_kept_with_both() -> None:
    assert stamps(minutes(10), minutes(70)) == {"RIS/MSH-7": "2026-10-25T00:10:00.000000Z/2026-10-25T01:10:00.000000Z"}
    assert stamps(minutes(10), minutes(10)) == {"RIS/MSH-7": "2026-10-25T00:10:00.000000Z"}


def test_the_transaction_time_counts_before_the_message_time() -> None:
    both = replace(order(at=NOON), order_time_latest=NOON + HOUR)

    sent = stamps_of(replace(MESSAGE, message_time=NOON, received_at=NOON), both)

    assert list(sent) == ["RIS/ORC-9", "RIS/MSH-7"]
    assert sent["RIS/ORC-9"] == "2026-03-02T12:00:00.000000Z/2026-03-02T13:00:00.000000Z"


def test_a_stamp_is_readable_as_long_as_one_of_its_meanings_is_near_enough() -> None:
    limit = MESSAGE.received_at + FUTURE

    assert stamps(limit, limit + HOUR)
    assert not stamps(limit + timedelta(microseconds=1), limit + HOUR)


def test_what_is_known_is_the_highest_of_each_end() -> None:
    known = latest(stamps(minutes(10), minutes(70)), stamps(minutes(30)))

    assert known == stamps(minutes(30), minutes(70))
    assert latest(known, stamps(minutes(80))) == stamps(minutes(80))
    assert latest({}, known) == known == latest(known, {})


@given(st.lists(st.integers(-120, 240), min_size=1, max_size=12), st.integers(1, 240))
def test_what_is_truly_later_than_all_that_was_taken_is_never_superseded(moments: list[int], gap: int) -> None:
    known: dict[str, str] = {}
    taken = []
    for number in moments:
        sent = local(minutes(number))
        if age(sent, known) is not Age.OLDER:
            known = dict(latest(known, sent))
            taken.append(number)

    assert age(local(minutes(max(taken) + gap)), known) is not Age.OLDER


@given(st.lists(st.integers(-120, 240), min_size=2, max_size=12))
def test_what_is_superseded_or_called_newer_is_so_in_truth(moments: list[int]) -> None:
    known: dict[str, str] = {}
    newest = None
    for number in moments:
        found = age(local(minutes(number)), known)
        if newest is not None:
            assert found is not Age.OLDER or number < newest
            assert found is not Age.NEWER or number > newest
        if found is not Age.OLDER:
            known = dict(latest(known, local(minutes(number))))
            newest = number if newest is None else max(newest, number)


@given(st.lists(st.integers(-120, 240), min_size=1, max_size=12))
def test_clear_stamps_are_compared_as_instants(moments: list[int]) -> None:
    known: dict[str, str] = {}
    for position, number in enumerate(moments):
        before = max(moments[:position], default=None)
        found = age(stamps(minutes(number)), known)
        known = dict(latest(known, stamps(minutes(number))))
        assert known == stamps(minutes(max(moments[: position + 1])))
        assert found is (
            Age.UNKNOWN if before is None or before == number else Age.OLDER if number < before else Age.NEWER
        )
