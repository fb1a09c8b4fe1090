"""The simulated modality writes data sets as PS3.4 F.7.2 and PS3.10 want them."""

from __future__ import annotations

from datetime import datetime

import pydicom
import pytest
from pydicom.dataset import Dataset

from broker.simulators.modality import final_step, make_image, performed_step, worklist_query

AT = datetime(2026, 3, 2, 10, 15)
TYPE_1_OR_2_AT_CREATE = [
    "ScheduledStepAttributesSequence",
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "ReferencedPatientSequence",
    "PerformedProcedureStepID",
    "PerformedStationAETitle",
    "PerformedStationName",
    "PerformedLocation",
    "PerformedProcedureStepStartDate",
    "PerformedProcedureStepStartTime",
    "PerformedProcedureStepStatus",
    "PerformedProcedureStepDescription",
    "PerformedProcedureTypeDescription",
    "ProcedureCodeSequence",
    "PerformedProcedureStepEndDate",
    "PerformedProcedureStepEndTime",
    "Modality",
    "StudyID",
    "PerformedProtocolCodeSequence",
    "PerformedSeriesSequence",
]


@pytest.fixture
def item() -> Dataset:
    patient = {"PatientID": "4711", "PatientName": "Brook^Clara"}
    order = {"AccessionNumber": "ACC1", "StudyInstanceUID": "2.25.1", "RequestedProcedureID": "R1"}
    return worklist_query({"Modality": "CT", "ScheduledProcedureStepID": "SPS1"}, {**patient, **order})


def test_a_query_asks_for_what_a_scanner_shows_and_matches_what_is_given(item):
    step = item.ScheduledProcedureStepSequence[0]

    assert item.PatientID == "4711"
    assert step.Modality == "CT"
    assert "PatientBirthDate" in item
    assert step.ScheduledStationAETitle == ""
    assert "SpecificCharacterSet" not in item


def test_a_performed_step_names_the_scheduled_one_and_lacks_nothing(item):
    created = performed_step(item, "CT1", AT)

    scheduled = created.ScheduledStepAttributesSequence[0]
    assert [keyword for keyword in TYPE_1_OR_2_AT_CREATE if keyword not in created] == []
    assert created.PerformedProcedureStepStatus == "IN PROGRESS"
    assert (scheduled.StudyInstanceUID, scheduled.AccessionNumber) == ("2.25.1", "ACC1")
    assert (scheduled.RequestedProcedureID, scheduled.ScheduledProcedureStepID) == ("R1", "SPS1")


def test_the_last_report_lists_every_image(item):
    images = [make_image(item, number) for number in (1, 2)]

    ended = final_step(images, "CT1", AT)

    references = ended.PerformedSeriesSequence[0].ReferencedImageSequence
    assert ended.PerformedProcedureStepStatus == "COMPLETED"
    assert [entry.ReferencedSOPInstanceUID for entry in references] == [image.SOPInstanceUID for image in images]


def test_a_discontinued_step_says_why():
    ended = final_step([], "CT1", AT, ("110501", "Equipment failure"))

    code = ended.PerformedProcedureStepDiscontinuationReasonCodeSequence[0]
    assert ended.PerformedProcedureStepStatus == "DISCONTINUED"
    assert (code.CodeValue, code.CodingSchemeDesignator) == ("110501", "DCM")
    assert len(ended.PerformedSeriesSequence) == 1


def test_an_image_is_a_whole_file_with_the_order_s_ids(item, tmp_path):
    image = make_image(item, 1)

    image.save_as(tmp_path / "image.dcm", enforce_file_format=True)

    read = pydicom.dcmread(tmp_path / "image.dcm")
    assert (read.PatientID, read.AccessionNumber, read.StudyInstanceUID) == ("4711", "ACC1", "2.25.1")
    assert read.RequestAttributesSequence[0].ScheduledProcedureStepID == "SPS1"
    assert len(read.PixelData) == read.Rows * read.Columns
