"""DCMTK finds what an order scheduled, stores images that link, and the story of the order tells it all."""

from __future__ import annotations

import pytest
from pydicom.dataset import Dataset

from tests.kit import dcmtk
from tests.kit.messages import Case
from tests.kit.mllp import send

STEP = "ScheduledProcedureStepSequence[0]"


@pytest.fixture(scope="module")
def scheduled(served):
    """Two orders sent over a plain socket that differ in every key; the names of the first."""
    first, second = Case(), Case()
    port = served.ports["hl7"]
    wanted = first.order(
        start="20270503081500",
        modality="NM",
        device="NMAE",
        technician="9&Tech&Tom",
        header={"name": "Wanted^Wanda", "birth_date": "19620101", "sex": "F"},
    )
    other = second.order(
        start="20270604121500",
        modality="XA",
        device="XAAE",
        technician="8&Other&Olga",
        header={"name": "Elsewhere^Emil", "birth_date": "19730202", "sex": "M"},
    )
    assert send(port, wanted).code == "AA"
    assert send(port, other).code == "AA"
    return first


def test_echoscu_is_answered(served):
    result = dcmtk.run("echoscu", "-aec", "MWLBROKER", "127.0.0.1", str(served.ports["dicom"]))

    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize(
    "key",
    [
        f"{STEP}.ScheduledStationAETitle=NMAE",
        f"{STEP}.ScheduledProcedureStepStartDate=20270503",
        f"{STEP}.ScheduledProcedureStepStartDate=20270501-20270531",
        f"{STEP}.ScheduledProcedureStepStartTime=0800-0900",
        f"{STEP}.Modality=NM",
        f"{STEP}.ScheduledPerformingPhysicianName=Tech*",
        f"{STEP}.ScheduledProcedureStepID={{step_id}}",
        "PatientName=Wanted*",
        "PatientName=wanted^w?nda",
        "PatientID={patient_id}",
        "AccessionNumber={accession}",
        "RequestedProcedureID={procedure_id}",
        "StudyInstanceUID={study_uid}",
    ],
)
def test_findscu_finds_the_order_by_each_required_key(served, scheduled, key):
    names = ("step_id", "patient_id", "accession", "procedure_id", "study_uid")
    filled = key.format(**{name: getattr(scheduled, name) for name in names})

    found = dcmtk.find_worklist(served.ports["dicom"], filled)

    assert found == [scheduled.accession]


def test_findscu_finds_the_order_by_its_status(served, scheduled):
    status = f"{STEP}.ScheduledProcedureStepStatus"
    patient = f"PatientID={scheduled.patient_id}"

    assert dcmtk.find_worklist(served.ports["dicom"], patient, f"{status}=SCHEDULED") == [scheduled.accession]
    assert dcmtk.find_worklist(served.ports["dicom"], patient, f"{status}=COMPLETED") == []


def test_findscu_without_keys_finds_everything(served, scheduled):
    assert scheduled.accession in dcmtk.find_worklist(served.ports["dicom"], f"{STEP}.Modality")


def test_storescu_stores_and_the_timeline_tells_the_whole_story(served, case, tmp_path):
    scanner = served.scanner("CTAE")
    served.send(case.order())
    item = served.item(case)
    uid, started = scanner.start(item)
    file = tmp_path / "image.dcm"
    image: Dataset = scanner.take(item)
    image.save_as(file, enforce_file_format=True)

    stored = dcmtk.run(
        "storescu", "-aet", "CTAE", "-aec", "MWLBROKER", "127.0.0.1", str(served.ports["dicom"]), file
    )
    ended = scanner.end(uid, [image])

    assert stored.returncode == 0, stored.stdout
    assert (started, ended) == (0x0000, 0x0000)
    story = served.json("orders", "show", case.accession)
    assert story["order"]["status"] == "COMPLETED"
    assert [study["study_uid"] for study in story["studies"]] == [case.study_uid]
    assert [study["images"] for study in story["studies"]] == [1]
    assert [performed["state"] for performed in story["performed_steps"]] == ["COMPLETED"]
    told = [(event["before"], event["after"]) for event in story["events"]]
    assert ("SCHEDULED", "STARTED") in told
    assert ("STARTED", "COMPLETED") in told
    actors = {event["actor"] for event in story["events"]}
    assert {"hl7:OF|HOSP", "dicom:CTAE"} <= actors
    assert any(event["message_id"] for event in story["events"])


def test_storescu_is_told_success_for_an_image_of_the_wrong_patient_and_nothing_is_linked(served, case, tmp_path):
    scanner = served.scanner()
    served.send(case.order())
    file = tmp_path / "image.dcm"
    wrong = scanner.take(served.item(case), PatientID=f"OTHER{case.number}")
    wrong.save_as(file, enforce_file_format=True)

    stored = dcmtk.run("storescu", "-aec", "MWLBROKER", "127.0.0.1", str(served.ports["dicom"]), file)

    assert stored.returncode == 0, stored.stdout
    assert served.json("orders", "show", case.accession)["studies"] == []
    assert "other-patient" in {alarm["kind"] for alarm in served.json("alarms", "list")}
