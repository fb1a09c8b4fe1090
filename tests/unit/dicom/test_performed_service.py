"""N-CREATE and N-SET: what is refused and how, and what an accepted one says."""

from __future__ import annotations

from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.filebase import DicomIO
from pydicom.filewriter import write_dataset

from broker.dicom import performed as module
from broker.dicom.contract import Command, Context, Peer, Request
from broker.dicom.dispatch import PERFORMED_STEP, answer
from broker.dicom.performed import STATUS_OF, PerformedService
from broker.domain.order import PerformedState
from broker.domain.performed import PerformedAnswer, Verdict
from broker.domain.request import Issuer
from tests.kit.clock import SettableClock

IMPLICIT, EXPLICIT = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1"

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")


class Writes:
    """Stands where the writer stands: notes what it is asked, and answers as it is told."""

    def __init__(self, verdict=Verdict.RECORDED):
        self.verdict = verdict
        self.asked = []

    def ask(self, verb, request, size_bytes, timeout_seconds):
        self.asked.append(request)
        return PerformedAnswer(self.verdict, 1)


def started(**says):
    """A sound N-CREATE dataset; None leaves an attribute out."""
    item = Dataset()
    item.StudyInstanceUID, item.AccessionNumber = "1.2.3", "A1"
    item.RequestedProcedureID, item.ScheduledProcedureStepID = "RP1", "S1"
    values = {
        "ScheduledStepAttributesSequence": [item], "PatientName": "DOE^JANE", "PatientID": "P1",
        "IssuerOfPatientID": "HOSP", "PatientBirthDate": "19800101", "PerformedProcedureStepID": "PPS1",
        "PerformedStationAETitle": "CT1", "PerformedProcedureStepStartDate": "20260302",
        "PerformedProcedureStepStartTime": "091500.25", "PerformedProcedureStepStatus": "IN PROGRESS",
        "Modality": "CT", "PerformedSeriesSequence": [],
    } | says  # fmt: skip
    return dataset_of(values)


def dataset_of(values):
    dataset = Dataset()
    for keyword, value in values.items():
        if value is not None:
            setattr(dataset, keyword, value)
    return dataset


def encoded(dataset, syntax=EXPLICIT):
    out = DicomIO(BytesIO())
    out.is_little_endian, out.is_implicit_VR = True, syntax == IMPLICIT
    write_dataset(out, dataset)
    return out.parent.getvalue()


def send(command, content, writes=None, uid="1.2.9", syntax=EXPLICIT):
    if isinstance(content, Dataset):
        content = encoded(content, syntax)
    service = PerformedService(writes or Writes(), None, SettableClock(), 1.0)
    request = Request(
        Peer("CT1", "BROKER", "127.0.0.1"), Context(PERFORMED_STEP, syntax), command, 1, PERFORMED_STEP, uid,
        None if content is None else BytesIO(content), lambda: False,
    )  # fmt: skip
    [reply] = answer({PERFORMED_STEP: service}, request)
    return reply


def create(content, **more):
    return send(Command.N_CREATE, content, **more)


def change(content, **more):
    return send(Command.N_SET, content, **more)


@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT])
def test_a_sound_create_is_recorded_with_its_facts(syntax):
    writes = Writes()

    reply = create(started(), writes=writes, syntax=syntax)

    [request] = writes.asked
    [item] = request.items
    assert (reply.status, reply.sop_instance_uid) == (0x0000, "1.2.9")
    assert request.message.dataset == encoded(started(), syntax)
    assert (request.state, request.performed_id, request.modality) == (PerformedState.IN_PROGRESS, "PPS1", "CT")
    assert (request.station_ae_title, request.started_at) == ("CT1", "20260302091500")
    assert (item.step_id, item.requested_procedure_id, item.accession) == ("S1", "RP1", "A1")
    assert (item.patient_id, item.patient_issuer, item.patient_name) == ("P1", Issuer("HOSP"), "DOE^JANE")


def test_a_create_without_a_uid_is_given_one():
    reply = create(started(), uid="")

    assert reply.status == 0x0000
    assert reply.sop_instance_uid.startswith("2.25.")


@pytest.mark.parametrize("uid", ["../../etc/passwd", "1.2.3\\4", "1" * 65, "CT1"])
@pytest.mark.parametrize("command", [Command.N_CREATE, Command.N_SET])
def test_a_uid_that_is_none_is_refused(command, uid):
    assert send(command, started(), uid=uid).status == 0x0117


def test_a_set_without_a_uid_is_refused():
    assert change(dataset_of({}), uid="").status == 0x0117


REQUIRED = {
    "ScheduledStepAttributesSequence": 0x00400270, "PerformedProcedureStepID": 0x00400253,
    "PerformedStationAETitle": 0x00400241, "PerformedProcedureStepStartDate": 0x00400244,
    "PerformedProcedureStepStartTime": 0x00400245, "PerformedProcedureStepStatus": 0x00400252, "Modality": 0x00080060,
}  # fmt: skip


@pytest.mark.parametrize(("keyword", "tag"), REQUIRED.items())
def test_a_missing_type_1_attribute_is_named_with_0120(keyword, tag):
    writes = Writes()

    reply = create(started(**{keyword: None}), writes=writes)

    assert (reply.status, reply.offending, writes.asked) == (0x0120, (tag,), [])


@pytest.mark.parametrize(("keyword", "tag"), REQUIRED.items())
def test_an_empty_type_1_attribute_is_named_with_0121(keyword, tag):
    reply = create(started(**{keyword: [] if keyword.endswith("Sequence") else ""}))

    assert (reply.status, reply.offending) == (0x0121, (tag,))


def test_an_item_without_its_study_uid_is_refused():
    absent, empty = Dataset(), Dataset()
    absent.ScheduledProcedureStepID = "S1"
    empty.StudyInstanceUID = ""

    assert create(started(ScheduledStepAttributesSequence=[absent])).status == 0x0120
    assert create(started(ScheduledStepAttributesSequence=[empty])).status == 0x0121


WRONG = {
    "a first status that is final": {"PerformedProcedureStepStatus": "COMPLETED"},
    "a status that is none": {"PerformedProcedureStepStatus": "RUNNING"},
    "a day that is none": {"PerformedProcedureStepStartDate": "20261302"},
    "a day without all of its digits": {"PerformedProcedureStepStartDate": "2026113"},
    "a time that is none": {"PerformedProcedureStepStartTime": "9 o'clock"},
    "an id that is too long": {"PerformedProcedureStepID": "P" * 17},
    "a station that is too long": {"PerformedStationAETitle": "S" * 17},
    "a patient id that is too long": {"PatientID": "P" * 65},
}


@pytest.mark.parametrize("says", WRONG.values(), ids=WRONG)
def test_a_wrong_value_is_refused_with_0106_and_named(says):
    reply = create(started(**says))

    assert reply.status == 0x0106
    assert len(reply.offending) == 1


def test_a_study_uid_with_path_characters_is_refused():
    item = Dataset()
    item.StudyInstanceUID = "../../etc"

    assert create(started(ScheduledStepAttributesSequence=[item])).status == 0x0106


def test_more_items_than_any_examination_has_are_refused():
    item = Dataset()
    item.StudyInstanceUID = "1.2.3"

    assert create(started(ScheduledStepAttributesSequence=[item] * 201)).status == 0x0106


def test_type_2_attributes_may_be_empty_or_absent():
    item = Dataset()
    item.StudyInstanceUID = "1.2.3"

    assert create(started(ScheduledStepAttributesSequence=[item], PatientID="", PatientName=None)).status == 0x0000


@pytest.mark.parametrize("content", [b"", None])
def test_a_create_without_a_dataset_lacks_everything(content):
    assert create(content).status == 0x0120


def test_a_dataset_without_end_is_a_processing_failure():
    assert create(b"\x08\x00\x10\x11SQ\x00\x00\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff" * 4).status == 0x0110


@pytest.mark.parametrize("lost_bytes", [1, 4, 9])
@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT])
def test_a_dataset_whose_end_was_lost_is_a_processing_failure(syntax, lost_bytes):
    writes = Writes()
    whole = started(PerformedSeriesSequence=None, PerformedProtocolCodeSequence=[dataset_of({"CodeValue": "HEAD"})])

    reply = create(encoded(whole, syntax)[:-lost_bytes], writes=writes, syntax=syntax)

    assert (reply.status, writes.asked) == (0x0110, [])


@pytest.mark.parametrize(("agreed", "sent"), [(IMPLICIT, EXPLICIT), (EXPLICIT, IMPLICIT)])
def test_a_dataset_in_the_encoding_that_was_not_agreed_is_understood(agreed, sent):
    writes = Writes()

    assert create(encoded(started(), sent), writes=writes, syntax=agreed).status == 0x0000
    assert writes.asked[0].performed_id == "PPS1"


def test_a_dataset_that_is_too_large_is_refused_without_being_read_whole(monkeypatch):
    monkeypatch.setattr(module, "MOST_BYTES", 100)

    assert create(started()).status == 0x0213


def end(**says):
    series = Dataset()
    series.SeriesInstanceUID, series.ProtocolName = "1.2.3.1", "ROUTINE"
    series.ReferencedImageSequence = [Dataset(), Dataset()]
    series.ReferencedNonImageCompositeSOPInstanceSequence = [Dataset()]
    return dataset_of({
        "PerformedProcedureStepStatus": "COMPLETED", "PerformedProcedureStepEndDate": "20260302",
        "PerformedProcedureStepEndTime": "0930", "PerformedSeriesSequence": [series],
    } | says)  # fmt: skip


def test_a_set_says_what_changed():
    writes = Writes()

    reply = change(end(), writes=writes)

    [request] = writes.asked
    assert reply.status == 0x0000
    assert request.state is PerformedState.COMPLETED
    assert (request.progress.ended_at, request.progress.series_count, request.progress.image_count) == (
        "20260302093000", 1, 3,
    )  # fmt: skip


def test_a_set_that_says_nothing_changes_nothing():
    writes = Writes()

    change(dataset_of({"CommentsOnThePerformedProcedureStep": "late"}), writes=writes)

    [request] = writes.asked
    assert (request.state, request.progress) == (None, type(request.progress)())


def test_a_discontinuation_reason_is_code_scheme_and_meaning():
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "110501", "DCM", "Equipment failure"
    writes = Writes()

    change(end(PerformedProcedureStepStatus="DISCONTINUED",
               PerformedProcedureStepDiscontinuationReasonCodeSequence=[code]), writes=writes)  # fmt: skip

    assert writes.asked[0].progress.reason == "110501 DCM Equipment failure"


@pytest.mark.parametrize("absent", ["PerformedProcedureStepEndDate", "PerformedProcedureStepEndTime",
                                    "PerformedSeriesSequence"])  # fmt: skip
def test_a_final_set_that_leaves_something_out_is_taken(absent):
    assert change(end(**{absent: None})).status == 0x0000


def test_attributes_that_a_set_may_not_change_are_not_facts():
    writes = Writes()

    reply = change(end(PatientName="OTHER^NAME", PatientID="P2"), writes=writes)

    assert reply.status == 0x0000
    assert "P2" not in repr(writes.asked[0].progress)


@pytest.mark.parametrize(("status", "code"), [("", 0x0121), ("DONE", 0x0106)])
def test_a_set_with_a_wrong_status_is_refused(status, code):
    assert change(end(PerformedProcedureStepStatus=status)).status == code


def test_every_verdict_has_a_status():
    assert set(STATUS_OF) == set(Verdict)


STATUSES = {
    Verdict.RECORDED: (0x0000, None), Verdict.DUPLICATE: (0x0111, None), Verdict.UNKNOWN: (0x0112, None),
    Verdict.FINAL: (0x0110, 0xA710), Verdict.INVALID_VALUE: (0x0106, None),
    Verdict.MISSING_ATTRIBUTE: (0x0120, None), Verdict.MISSING_VALUE: (0x0121, None),
}  # fmt: skip


@pytest.mark.parametrize(("verdict", "expected"), STATUSES.items())
def test_a_verdict_is_answered_with_its_status(verdict, expected):
    reply = change(end(), writes=Writes(verdict))

    assert (reply.status, reply.error_id) == expected
    assert len(reply.comment) <= 64


@given(st.binary(max_size=300), st.sampled_from([IMPLICIT, EXPLICIT]), st.integers(0, 700))
def test_any_bytes_get_one_final_answer(noise, syntax, cut):
    for content in (noise, encoded(started(), syntax)[:cut] + noise):
        for command in (Command.N_CREATE, Command.N_SET):
            reply = send(command, content, syntax=syntax)

            assert reply.status in (0x0000, 0x0106, 0x0110, 0x0120, 0x0121)
            assert "DOE" not in reply.comment
