"""What modalities report (MPPS): the states of PS3.4 F.7.2, and what they do to the scheduled step."""

from __future__ import annotations

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from tests.kit.messages import Case
from tests.kit.scanner import changed, step_of, without_ids

DUPLICATE, UNKNOWN, FAILED = 0x0111, 0x0112, 0x0110
INVALID_VALUE, MISSING_ATTRIBUTE, MISSING_VALUE = 0x0106, 0x0120, 0x0121


@pytest.fixture
def ordered(broker, case):
    """The worklist item of the case's order."""
    broker.send(case.order())
    return broker.item(case)


def test_a_step_starts_and_completes_as_the_modality_says(broker, case, ordered):
    scanner = broker.scanner()

    uid, created = scanner.start(ordered)
    running = broker.states(case.accession)
    ended = scanner.end(uid)

    assert (created, ended) == (0x0000, 0x0000)
    assert running == ["STARTED"]
    assert broker.states(case.accession) == ["COMPLETED"]
    assert broker.items(case) == []


def test_a_started_step_stays_on_the_list_with_its_status(broker, case, ordered):
    broker.scanner().start(ordered)

    assert step_of(broker.item(case)).ScheduledProcedureStepStatus == "STARTED"


def test_a_first_status_other_than_in_progress_is_refused_with_0106(broker, ordered):
    _, status = broker.scanner().start(ordered, PerformedProcedureStepStatus="COMPLETED")

    assert status == INVALID_VALUE


def test_the_same_performed_step_cannot_be_created_twice(broker, ordered):
    scanner = broker.scanner()
    uid, _ = scanner.start(ordered)

    assert scanner.start(ordered, uid)[1] == DUPLICATE


def test_an_unknown_performed_step_cannot_be_set(broker):
    assert broker.scanner().end(generate_uid(prefix=None)) == UNKNOWN


@pytest.mark.parametrize("reason", [None, ("110513", "Discontinued for unspecified reason")])
def test_a_final_performed_step_can_no_longer_be_set(broker, ordered, reason):
    scanner = broker.scanner()
    uid, _ = scanner.start(ordered)
    scanner.end(uid, reason=reason)
    comment = Dataset()
    comment.CommentsOnThePerformedProcedureStep = "late"

    with scanner.association() as association:
        response, _ = association.send_n_set(comment, "1.2.840.10008.3.1.2.3.3", uid)

    assert response.Status == FAILED
    assert response.ErrorID == 0xA710


def test_a_missing_type_1_attribute_is_refused_with_0120(broker, ordered):
    _, status = broker.scanner().start(ordered, PerformedStationAETitle=None)

    assert status == MISSING_ATTRIBUTE


def test_an_empty_type_1_attribute_is_refused(broker, ordered):
    _, status = broker.scanner().start(ordered, PerformedStationAETitle="")

    assert status in (MISSING_ATTRIBUTE, MISSING_VALUE)


def test_a_completion_without_a_series_is_taken_or_refused_but_never_half(broker, case, ordered):
    scanner = broker.scanner()
    uid, _ = scanner.start(ordered)

    status = scanner.end(uid, PerformedSeriesSequence=[])

    expected = ["COMPLETED"] if status == 0x0000 else ["STARTED"]
    assert broker.states(case.accession) == expected


def test_a_discontinued_step_is_off_the_list_and_its_reason_is_shown(broker, case, ordered):
    scanner = broker.scanner()
    uid, _ = scanner.start(ordered)

    status = scanner.end(uid, reason=("110501", "Equipment failure"))

    performed = broker.show(case.accession)["performed_steps"][0]
    assert status == 0x0000
    assert broker.states(case.accession) == ["DISCONTINUED"]
    assert broker.items(case) == []
    assert performed["state"] == "DISCONTINUED"
    assert "110501" in performed["reason"]


def test_a_performed_step_that_nobody_ordered_is_kept_and_moves_nothing(broker, case, ordered):
    scanner = broker.scanner()
    stranger = without_ids(ordered, PatientID=f"NOBODY{case.number}", PatientName="No^Body", Modality="US")

    _, status = scanner.start(stranger, Modality="US")

    assert status == 0x0000
    assert broker.states(case.accession) == ["SCHEDULED"]
    assert broker.show(case.accession)["performed_steps"] == []


def test_a_second_performed_step_continues_a_completed_one(broker, case, ordered):
    scanner = broker.scanner()
    first, _ = scanner.start(ordered)
    scanner.end(first)

    second, status = scanner.start(ordered)
    again = broker.states(case.accession)
    scanner.end(second)

    assert status == 0x0000
    assert again == ["STARTED"]
    assert broker.states(case.accession) == ["COMPLETED"]
    assert len(broker.show(case.accession)["performed_steps"]) == 2


def test_a_step_is_complete_only_when_its_last_performed_step_has_ended(broker, case, ordered):
    scanner = broker.scanner()
    first, _ = scanner.start(ordered)
    second, _ = scanner.start(ordered)

    scanner.end(first)
    between = broker.states(case.accession)
    scanner.end(second, reason=("110513", "Discontinued for unspecified reason"))

    assert between == ["STARTED"]
    assert broker.states(case.accession) == ["COMPLETED"]


def test_one_performed_step_may_fulfil_several_scheduled_ones(broker, case):
    scanner = broker.scanner()
    names = {"procedure_id": f"X{case.number}", "step_id": f"Y{case.number}", "study_uid": f"{case.study_uid}1"}
    broker.send(case.message(case.group(), case.group(**names)))
    items = broker.items(case)
    common = generate_uid(prefix=None)
    scheduled = []
    for item in items:
        entry = Dataset()
        entry.StudyInstanceUID = common
        entry.ReferencedStudySequence = []
        entry.AccessionNumber = item.AccessionNumber
        entry.RequestedProcedureID = item.RequestedProcedureID
        entry.ScheduledProcedureStepID = step_of(item).ScheduledProcedureStepID
        scheduled.append(entry)

    uid, status = scanner.start(items[0], ScheduledStepAttributesSequence=scheduled)
    running = broker.states(case.accession)
    scanner.end(uid)

    assert status == 0x0000
    assert running == ["STARTED", "STARTED"]
    assert broker.states(case.accession) == ["COMPLETED", "COMPLETED"]


def test_the_name_in_a_set_never_changes_the_patient(broker, case, ordered):
    scanner = broker.scanner()
    uid, _ = scanner.start(ordered)

    scanner.end(uid, PatientName="Wrong^Name")

    order = broker.show(case.accession)["order"]
    assert "Wrong" not in order["patient_name"]


def test_the_series_of_the_last_set_are_the_series(broker, case, ordered):
    scanner = broker.scanner()
    uid, _ = scanner.start(ordered)
    images = [scanner.take(ordered, number) for number in (1, 2)]
    first, second = Dataset(), Dataset()
    for series, image in zip((first, second), images, strict=True):
        series.SeriesInstanceUID, series.ProtocolName = image.SeriesInstanceUID, "ROUTINE"
        series.ReferencedImageSequence = []
    interim = Dataset()
    interim.PerformedSeriesSequence = [first]

    scanner.set(uid, interim)
    scanner.end(uid, PerformedSeriesSequence=[first, second])

    assert broker.show(case.accession)["performed_steps"][0]["series_count"] == 2


def test_a_performed_step_of_another_patient_is_kept_not_linked_and_alarmed(broker, case, ordered):
    other = changed(ordered, PatientID=f"OTHER{case.number}", PatientName="Other^Person")

    uid, status = broker.scanner().start(other)

    assert status == 0x0000
    assert broker.states(case.accession) == ["SCHEDULED"]
    assert broker.show(case.accession)["performed_steps"] == []
    assert [alarm["kind"] for alarm in broker.alarms()] == ["other-patient"]
    assert broker.scanner().end(uid) == 0x0000


def test_another_name_for_the_same_patient_number_is_linked_and_told(broker, case, ordered):
    _, status = broker.scanner().start(changed(ordered, PatientName="Smith^Jane"))

    assert status == 0x0000
    assert broker.states(case.accession) == ["STARTED"]
    assert broker.alarms()


def test_the_same_number_of_another_hospital_is_another_patient(broker, case, ordered):
    _, status = broker.scanner().start(ordered, IssuerOfPatientID="CLINIC")

    assert status == 0x0000
    assert broker.states(case.accession) == ["SCHEDULED"]
    assert broker.alarms()


def test_of_two_steps_with_one_accession_the_one_of_the_scanner_s_modality_starts(broker, case):
    names = {"procedure_id": f"X{case.number}", "step_id": f"Y{case.number}", "study_uid": f"{case.study_uid}1"}
    broker.send(case.message(case.group(modality="CT"), case.group(modality="MR", **names)))
    typed = without_ids(broker.items(case)[0], AccessionNumber=case.accession, Modality="MR")

    broker.scanner("MR1").start(typed)

    states = {step["modality"]: step["state"] for step in broker.steps(case.accession)}
    assert states == {"CT": "SCHEDULED", "MR": "STARTED"}


def test_of_two_equal_steps_with_one_accession_none_moves(broker, case):
    names = {"procedure_id": f"X{case.number}", "step_id": f"Y{case.number}", "study_uid": f"{case.study_uid}1"}
    broker.send(case.message(case.group(), case.group(**names)))
    typed = without_ids(broker.items(case)[0], AccessionNumber=case.accession)

    _, status = broker.scanner().start(typed)

    assert status == 0x0000
    assert broker.states(case.accession) == ["SCHEDULED", "SCHEDULED"]
    assert all(entry["step_id"] is None for entry in broker.show(case.accession)["performed_steps"])


def test_a_performed_step_without_a_patient_id_is_not_linked(broker, case, ordered):
    _, status = broker.scanner().start(changed(ordered, PatientID=""))

    assert status == 0x0000
    assert broker.states(case.accession) == ["SCHEDULED"]
    assert broker.alarms()


def test_a_performed_step_for_a_cancelled_order_is_kept_and_alarmed(broker, case, ordered):
    broker.send(case.order(control="CA"))

    _, status = broker.scanner().start(ordered)

    assert status == 0x0000
    assert broker.states(case.accession) == ["CANCELED"]
    assert broker.alarms()


def test_a_step_is_found_by_its_accession_alone(broker, case, ordered):
    typed = without_ids(ordered, AccessionNumber=case.accession)

    _, status = broker.scanner().start(typed)

    assert status == 0x0000
    assert broker.states(case.accession) == ["STARTED"]


def test_patient_modality_and_time_alone_only_propose_a_step(broker, case, ordered):
    typed = without_ids(ordered)

    _, status = broker.scanner().start(typed)

    assert status == 0x0000
    assert broker.states(case.accession) == ["SCHEDULED"]
    assert [entry["sure"] for entry in broker.show(case.accession)["performed_steps"]] in ([], ["proposal"])


def test_the_timeline_names_the_modality_as_the_cause(broker, case, ordered):
    scanner = broker.scanner("CT77")
    uid, _ = scanner.start(ordered)
    scanner.end(uid)

    moves = [(e["before"], e["after"]) for e in broker.show(case.accession)["events"] if e["actor"] == "dicom:CT77"]
    assert ("SCHEDULED", "STARTED") in moves
    assert ("STARTED", "COMPLETED") in moves


@pytest.mark.parametrize("uid", ["../../etc/passwd", "1.2.3/../4", ""])
def test_a_uid_that_is_no_uid_is_refused_and_harms_nothing(broker, case, ordered, uid):
    scanner = broker.scanner()

    try:
        _, status = scanner.start(ordered, uid or None)
    except (ValueError, TypeError):
        status = None  # the library refuses to send it

    other = Case()
    assert status != 0x0000 or uid == ""
    assert broker.send(other.order()).code == "AA"
