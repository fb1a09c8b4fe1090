"""Late, repeated and reordered messages: nothing finished is reopened, no cancel is lost."""

from __future__ import annotations

from tests.kit.scanner import step_of

EARLY, NOON, LATE = "20260301080000", "20260301120000", "20260301160000"


def test_an_older_change_is_superseded(broker, case):
    broker.send(case.order(order_time=NOON, start="20260302101500"))

    answer = broker.send(case.order(control="XO", order_time=EARLY, start="20260309090000"))

    assert answer.code == "AA"
    assert step_of(broker.item(case)).ScheduledProcedureStepStartDate == "20260302"
    assert broker.outcome(answer) == "superseded"


def test_a_change_with_the_same_stamp_follows_its_arrival(broker, case):
    broker.send(case.order(order_time=NOON, start="20260302101500"))

    broker.send(case.order(control="XO", order_time=NOON, start="20260309090000"))

    assert step_of(broker.item(case)).ScheduledProcedureStepStartDate == "20260309"


def test_an_older_cancel_is_superseded_and_alarmed(broker, case):
    broker.send(case.order(order_time=NOON))

    answer = broker.send(case.order(control="CA", order_time=EARLY))

    assert answer.code == "AA"
    assert len(broker.items(case)) == 1
    assert broker.alarms()


def test_a_cancelled_step_stays_cancelled_without_a_newer_stamp(broker, case):
    broker.send(case.order(order_time=NOON))
    broker.send(case.order(control="CA", order_time=NOON))

    answer = broker.send(case.order(order_time=NOON))

    assert answer.code == "AA"
    assert broker.states(case.accession) == ["CANCELED"]
    assert broker.items(case) == []


def test_a_cancelled_step_comes_back_with_a_strictly_newer_stamp(broker, case):
    broker.send(case.order(order_time=NOON))
    broker.send(case.order(control="CA", order_time=NOON))

    broker.send(case.order(order_time=LATE))

    assert broker.states(case.accession) == ["SCHEDULED"]
    assert len(broker.items(case)) == 1


def test_a_change_of_a_cancelled_step_leaves_it_cancelled(broker, case):
    broker.send(case.order(order_time=NOON))
    broker.send(case.order(control="CA", order_time=NOON))

    answer = broker.send(case.order(control="XO", order_time=LATE))

    assert answer.code == "AA"
    assert broker.states(case.accession) == ["CANCELED"]


def test_a_cancel_that_came_before_its_order_stops_it(broker, case):
    refused = broker.send(case.order(control="CA", order_time=NOON))

    answer = broker.send(case.order(order_time=NOON))

    assert (refused.code, refused.error) == ("AE", "204")
    assert answer.code == "AA"
    assert broker.items(case) == []
    assert broker.outcome(answer) == "superseded"
    assert broker.alarms()


def test_a_cancel_that_came_before_its_order_does_not_stop_a_newer_one(broker, case):
    broker.send(case.order(control="CA", order_time=NOON))

    broker.send(case.order(order_time=LATE))

    assert len(broker.items(case)) == 1


def test_a_new_order_after_the_start_changes_descriptions_only(broker, case):
    scanner = broker.scanner()
    broker.send(case.order(order_time=NOON))
    scanner.start(broker.item(case))

    answer = broker.send(
        case.order(
            order_time=LATE,
            start="20260309090000",
            modality="MR",
            procedure="CTABD^Abdomen CT^L^CT02^Abdomen routine^L",
            procedure_code="CTABD^Abdomen CT^L",
        )
    )

    item = broker.item(case)
    assert answer.code == "AA"
    assert broker.states(case.accession) == ["STARTED"]
    assert item.RequestedProcedureDescription == "Abdomen CT"
    assert step_of(item).Modality == "CT"
    assert step_of(item).ScheduledProcedureStepStartDate == "20260302"


def test_a_late_new_order_never_reopens_finished_work(broker, case):
    scanner = broker.scanner()
    broker.send(case.order(order_time=NOON))
    uid, _ = scanner.start(broker.item(case))
    scanner.end(uid)

    answer = broker.send(case.order(order_time=LATE))

    assert answer.code == "AA"
    assert broker.states(case.accession) == ["COMPLETED"]
    assert broker.items(case) == []


def test_a_change_after_completion_is_kept_but_not_shown(broker, case):
    scanner = broker.scanner()
    broker.send(case.order(order_time=NOON))
    uid, _ = scanner.start(broker.item(case))
    scanner.end(uid)

    answer = broker.send(case.order(control="XO", procedure_code="CTABD^Abdomen CT^L", order_time=LATE))

    finished = scanner.items({"ScheduledProcedureStepStatus": "COMPLETED"}, PatientID=case.patient_id)
    assert answer.code == "AA"
    assert broker.items(case) == []
    assert [item.RequestedProcedureDescription for item in finished] == ["Abdomen CT"]


def test_stamps_of_different_fields_are_not_compared(broker, case):
    broker.send(case.order(order_time=NOON, header={"message_time": ""}))

    broker.send(case.order(control="XO", order_time="", start="20260309090000", header={"message_time": EARLY}))

    assert step_of(broker.item(case)).ScheduledProcedureStepStartDate == "20260309"


def test_without_an_order_time_the_message_time_decides(broker, case):
    broker.send(case.order(order_time="", header={"message_time": NOON}))

    answer = broker.send(case.order(control="CA", order_time="", header={"message_time": EARLY}))

    assert answer.code == "AA"
    assert len(broker.items(case)) == 1
