"""A clock that is set forward or back by hours while the broker serves: timelines keep the order in which things came.

With processes of the DICOM door the clocks of two processes differ by months here: the main one has the test's clock.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.kit.brokers import PROFILE, RunningBroker, running
from tests.kit.clock import SettableClock
from tests.kit.messages import Case

OTHER_ROWS = PROFILE + "[rows.PatientWeight]\nremove = true\n"
NO_STAMP: dict[str, Any] = {"order_time": "", "header": {"message_time": ""}}


def kinds(broker: RunningBroker, case: Case) -> list[str]:
    """The order's timeline in short; its times only ever rise, and nothing of the order is earlier or later."""
    story = broker.show(case.accession)
    times = [event["at"] for event in story["events"]]
    assert times == sorted(times)
    assert story["order"]["created_at"] == times[0]
    assert story["order"]["updated_at"] <= times[-1]
    for study in story["studies"]:
        assert times[0] <= study["first_received_at"] <= study["last_received_at"]
    return [event["after"] if event["kind"] == "state" else event["kind"] for event in story["events"]]


def named(name: str, **changes: Any) -> dict[str, Any]:
    return {"order_time": "", "header": {"message_time": "", "name": name}, **changes}


@pytest.mark.parametrize("processes", [0, 2])
def test_the_timeline_is_as_it_came(
    tmp_path: Path, database_url: str, clock: SettableClock, case: Case, processes: int
) -> None:
    with running(tmp_path, database_url, clock=clock, dicom_processes=processes) as broker:
        scanner = broker.scanner()
        broker.send(case.order(**NO_STAMP))
        clock.advance(hours=5)
        broker.send(case.order(control="XO", start="20260303083000", **NO_STAMP))
        clock.advance(hours=-5)
        broker.send(case.order(control="XO", start="20260304083000", **NO_STAMP))
        item = broker.item(case)
        uid, started = scanner.start(item)
        clock.advance(hours=5)
        first, second = scanner.take(item), scanner.take(item, 2)
        stored = scanner.store(first)
        clock.advance(hours=-10)
        stored += scanner.store(second)
        broker.send(case.order(control="SC", status="IP", **NO_STAMP))
        ended = scanner.end(uid, [first, second])
        clock.advance(hours=1)
        late = broker.send(case.order(control="CA", **NO_STAMP))
        told = kinds(broker, case)

    assert (started, stored, ended, late.code) == (0, [0, 0], 0, "AE")
    assert told == [
        "created", "updated", "updated", "linked", "performed", "STARTED", "image", "image", "unchanged",
        "performed", "COMPLETED",
    ]  # fmt: skip


def test_messages_are_read_again_in_the_order_in_which_they_came(
    tmp_path: Path, database_url: str, clock: SettableClock, case: Case
) -> None:
    other = Case()
    with running(tmp_path, database_url, clock=clock) as broker:
        broker.send(case.order(**named("First^Name")))
        clock.advance(hours=5)
        broker.send(case.order(control="XO", **named("Second^Name", start="20260303083000")))
        clock.advance(hours=-5)
        broker.send(other.message(other.group(order_time=""), patient=f"{case.patient_id}^^^HOSP",
                                  message_time="", name="Third^Name"))  # fmt: skip
        broker.send(case.order(control="XO", **named("Last^Name", start="20260304083000")))
        before = broker.item(case, AccessionNumber=case.accession)
    with running(tmp_path, database_url, OTHER_ROWS, clock=clock) as broker:
        after = broker.item(case, AccessionNumber=case.accession)
        told = kinds(broker, case)

    assert str(before.PatientName) == str(after.PatientName) == "Last^Name"
    assert before.ScheduledProcedureStepSequence == after.ScheduledProcedureStepSequence
    assert told == ["created", "updated", "updated"]


def test_a_new_order_of_the_patient_counts_as_later_when_messages_are_read_again(
    tmp_path: Path, database_url: str, clock: SettableClock, case: Case
) -> None:
    other = Case()
    with running(tmp_path, database_url, clock=clock) as broker:
        broker.send(case.order(**named("First^Name")))
        clock.advance(hours=-5)
        broker.send(other.message(other.group(order_time=""), patient=f"{case.patient_id}^^^HOSP",
                                  message_time="", name="Last^Name"))  # fmt: skip
    with running(tmp_path, database_url, OTHER_ROWS, clock=clock) as broker:
        names = {str(item.PatientName) for item in broker.items(case)}

    assert names == {"Last^Name"}


def test_a_message_without_news_is_not_overtaken_either(
    tmp_path: Path, database_url: str, clock: SettableClock, case: Case
) -> None:
    with running(tmp_path, database_url, clock=clock) as broker:
        broker.send(case.order(order_time="20260301090000"))
        clock.advance(hours=5)
        broker.send(case.order(control="XO", order_time="20260301080000"))
        clock.advance(hours=-5)
        broker.send(case.order(control="CA", order_time="20260301100000"))
        told = kinds(broker, case)

    assert told == ["created", "superseded", "CANCELED"]
