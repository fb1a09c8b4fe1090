"""Time stamps."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.hl7v2.times import read_instant

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
    assert read_instant(text, BERLIN) == instant


@pytest.mark.parametrize(
    "text",
    ["", '""', "2", "20251", "20251302", "20250230", "2025030225", "20250302106", "2025-03-02", "20250302T10",
     "20250302101561", "00000101", "20250302+9900", "20250302101530.", "tomorrow", "٢٠٢٥", "00010101+1400"],
)  # fmt: skip
def test_what_is_no_stamp_is_none(text: str) -> None:
    assert read_instant(text, BERLIN) is None


@given(
    st.datetimes(min_value=datetime(1900, 1, 1), max_value=datetime(2200, 1, 1)),
    st.integers(min_value=-14 * 60, max_value=14 * 60),
)
def test_an_instant_with_offset_is_read_back(local: datetime, offset_minutes: int) -> None:
    at = local.replace(microsecond=0, tzinfo=timezone(timedelta(minutes=offset_minutes)))

    assert read_instant(at.strftime("%Y%m%d%H%M%S%z"), BERLIN) == at
