"""Time stamps."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.hl7v2.times import read_interval

BERLIN = ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2025", datetime(2024, 12, 31, 23, tzinfo=UTC)),
        ("202503", datetime(2025, 2, 28, 23, tzinfo=UTC)),
        ("20250302", datetime(2025, 3, 1, 23, tzinfo=UTC)),
        ("2025030210", datetime(2025, 3, 2, 9, tzinfo=UTC)),
        ("202503021015", datetime(2025, 3, 2, 9, 15, tzinfo=UTC)),
        ("20250302101530", datetime(2025, 3, 2, 9, 15, 30, tzinfo=UTC)),
        ("20250302101530.5", datetime(2025, 3, 2, 9, 15, 30, 500_000, tzinfo=UTC)),
        ("20250702101530", datetime(2025, 7, 2, 8, 15, 30, tzinfo=UTC)),
        ("20250302101530+0500", datetime(2025, 3, 2, 5, 15, 30, tzinfo=UTC)),
        ("20250302-0330", datetime(2025, 3, 2, 3, 30, tzinfo=UTC)),
        (" 20250302101530 ", datetime(2025, 3, 2, 9, 15, 30, tzinfo=UTC)),
    ],
)
def test_a_stamp_of_any_precision_is_an_instant(text: str, instant: datetime) -> None:
    assert read_interval(text, BERLIN) == (instant, instant)


@pytest.mark.parametrize(
    "text",
    ["", '""', "2", "20251", "20251302", "20250230", "2025030225", "20250302106", "2025-03-02", "20250302T10",
     "20250302101561", "00000101", "20250302+9900", "20250302101530.", "tomorrow", "٢٠٢٥", "00010101+1400"],
)  # fmt: skip
def test_what_is_no_stamp_is_none(text: str) -> None:
    assert read_interval(text, BERLIN) is None


@given(
    st.datetimes(min_value=datetime(1900, 1, 1), max_value=datetime(2200, 1, 1)),
    st.integers(min_value=-14 * 60, max_value=14 * 60),
)
def test_an_instant_with_offset_is_read_back(local: datetime, offset_minutes: int) -> None:
    at = local.replace(microsecond=0, tzinfo=timezone(timedelta(minutes=offset_minutes)))

    assert read_interval(at.strftime("%Y%m%d%H%M%S%z"), BERLIN) == (at, at)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "earliest", "latest"),
    [
        ("20261025015959", "2026-10-24T23:59:59", "2026-10-24T23:59:59"),
        ("20261025020000", "2026-10-25T00:00:00", "2026-10-25T01:00:00"),
        ("20261025021000", "2026-10-25T00:10:00", "2026-10-25T01:10:00"),
        ("2026102502", "2026-10-25T00:00:00", "2026-10-25T01:00:00"),
        ("20261025025959.9", "2026-10-25T00:59:59.900000", "2026-10-25T01:59:59.900000"),
        ("20261025030000", "2026-10-25T02:00:00", "2026-10-25T02:00:00"),
        ("20261025", "2026-10-24T22:00:00", "2026-10-24T22:00:00"),
        ("20261025021000+0200", "2026-10-25T00:10:00", "2026-10-25T00:10:00"),
        ("20261025021000+0100", "2026-10-25T01:10:00", "2026-10-25T01:10:00"),
    ],
)
def test_only_a_stamp_of_the_hour_that_comes_twice_may_mean_two_instants(text: str, earliest: str, latest: str) -> None:
    assert read_interval(text, BERLIN) == (utc(earliest), utc(latest))


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("20260329015959", "2026-03-29T00:59:59"),
        ("20260329020000", "2026-03-29T01:00:00"),
        ("20260329023000", "2026-03-29T01:30:00"),
        ("20260329030000", "2026-03-29T01:00:00"),
    ],
)
def test_the_hour_that_clocks_skip_is_read_with_the_offset_before_the_change(text: str, instant: str) -> None:
    assert read_interval(text, BERLIN) == (utc(instant), utc(instant))


@given(st.datetimes(min_value=datetime(1990, 1, 1), max_value=datetime(2037, 1, 1)))
def test_the_instant_that_a_clock_showed_lies_at_an_end_of_what_its_text_may_mean(at: datetime) -> None:
    at = at.replace(microsecond=0, tzinfo=UTC)

    ends = read_interval(at.astimezone(BERLIN).strftime("%Y%m%d%H%M%S"), BERLIN)

    assert ends is not None
    assert at in ends
    assert ends[1] - ends[0] in (timedelta(0), timedelta(hours=1))
