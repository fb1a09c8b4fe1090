"""In the night when clocks go back, a stamp of the hour that comes twice supersedes nothing by mistake.

Europe/Vienna, 25 October 2026: at 03:00 summer time (01:00 UTC) clocks show 02:00 again.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.kit.brokers import RunningBroker, running
from tests.kit.clock import SettableClock
from tests.kit.messages import Case
from tests.kit.scanner import step_of

PROFILE = 'time_zone = "Europe/Vienna"\n'
OTHER_ROWS = PROFILE + "[rows.PatientWeight]\nremove = true\n"
MOVED = "20261027103000"


def at_night(time: str) -> dict[str, object]:
    """Both stamps of a message of that night. time: HHMM, and an offset where there is one."""
    stamp = f"20261025{time[:4]}00{time[4:]}"
    return {"order_time": stamp, "header": {"message_time": stamp}}


@pytest.fixture
def night(clock: SettableClock) -> SettableClock:
    clock.set(datetime(2026, 10, 25, 1, 12, tzinfo=UTC))
    return clock


@pytest.fixture
def broker(tmp_path: Path, database_url: str, night: SettableClock) -> Iterator[RunningBroker]:
    with running(tmp_path, database_url, PROFILE, clock=night) as started:
        yield started


def test_a_change_and_a_cancel_twenty_minutes_later_are_taken(broker: RunningBroker, case: Case) -> None:
    broker.send(case.order(**at_night("0250")))

    changed = broker.send(case.order(control="XO", start=MOVED, **at_night("0210")))
    shown = step_of(broker.item(case)).ScheduledProcedureStepStartDate
    cancelled = broker.send(case.order(control="CA", **at_night("0210")))

    assert broker.outcome(changed) == "updated"
    assert shown == MOVED[:8]
    assert broker.outcome(cancelled) == "cancelled"
    assert broker.items(case) == []
    assert broker.alarms() == []


@pytest.mark.parametrize(("known", "late"), [("0330", "0210"), ("0210", "0150"), ("0310", "0259")])
def test_what_is_older_whatever_the_hour_means_is_superseded(
    broker: RunningBroker, case: Case, known: str, late: str
) -> None:
    broker.send(case.order(**at_night(known)))

    changed = broker.send(case.order(control="XO", start=MOVED, **at_night(late)))
    cancelled = broker.send(case.order(control="CA", **at_night(late)))

    assert (broker.outcome(changed), broker.outcome(cancelled)) == ("superseded", "superseded")
    assert step_of(broker.item(case)).ScheduledProcedureStepStartDate == "20260302"
    assert [alarm["kind"] for alarm in broker.alarms()] == ["cancel-superseded"]


def test_stamps_with_an_offset_are_told_apart(broker: RunningBroker, case: Case) -> None:
    broker.send(case.order(**at_night("0210+0100")))

    late = broker.send(case.order(control="XO", start=MOVED, **at_night("0250+0200")))
    cancelled = broker.send(case.order(control="CA", **at_night("0220+0100")))
    back = broker.send(case.order(**at_night("0221+0100")))

    assert [broker.outcome(answer) for answer in (late, cancelled, back)] == ["superseded", "cancelled", "updated"]
    assert broker.states(case.accession) == ["SCHEDULED"]


def test_a_cancelled_step_comes_back_only_by_a_stamp_that_is_newer_whatever_the_hour_means(
    broker: RunningBroker, case: Case
) -> None:
    broker.send(case.order(**at_night("0150")))
    broker.send(case.order(control="CA", **at_night("0210")))

    doubtful = broker.send(case.order(**at_night("0250")))
    certain = broker.send(case.order(**at_night("0311")))

    assert broker.outcome(doubtful) == "superseded"
    assert broker.outcome(certain) == "updated"
    assert broker.states(case.accession) == ["SCHEDULED"]


def test_a_cancel_that_came_before_its_order_keeps_both_its_times(broker: RunningBroker, case: Case) -> None:
    broker.send(case.order(control="CA", **at_night("0210")))

    doubtful = broker.send(case.order(**at_night("0250")))
    certain = broker.send(case.order(**at_night("0311")))

    assert [broker.outcome(answer) for answer in (doubtful, certain)] == ["superseded", "created"]


def test_the_patient_is_as_the_last_message_said_also_when_read_again(
    tmp_path: Path, database_url: str, night: SettableClock, case: Case
) -> None:
    first, second = at_night("0250"), at_night("0210")
    with running(tmp_path, database_url, PROFILE, clock=night) as broker:
        broker.send(case.order(**first))
        broker.send(case.order(control="XO", **second | {"header": {**second["header"], "name": "New^Name"}}))
        before = broker.item(case).PatientName
    with running(tmp_path, database_url, OTHER_ROWS, clock=night) as broker:
        after = broker.item(case).PatientName

    assert before == after == "New^Name"


@pytest.mark.parametrize("start", ["20261025023000", "20260329023000"])
def test_a_start_in_an_hour_that_comes_twice_or_never_is_kept_as_written_and_found_by_it(
    broker: RunningBroker, case: Case, start: str
) -> None:
    broker.send(case.order(start=start))
    day, time = start[:8], start[8:]
    keys = [(day, time), (day, "023000-023000"), (day, "0200-0259"), (f"{day}-{day}", "0200-0259"), (day, "")]

    found = [
        broker.item(case, {"ScheduledProcedureStepStartDate": date, "ScheduledProcedureStepStartTime": hours})
        for date, hours in keys
    ]
    others = broker.items(
        case, {"ScheduledProcedureStepStartDate": day, "ScheduledProcedureStepStartTime": "0300-0359"}
    )

    for item in found:
        step = step_of(item)
        assert (step.ScheduledProcedureStepStartDate, step.ScheduledProcedureStepStartTime) == (day, time)
    assert others == []
