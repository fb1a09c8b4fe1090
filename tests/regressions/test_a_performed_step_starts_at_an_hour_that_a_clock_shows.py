"""A start time that no clock shows is a wrong value (0106H): it would come back as the study's time on the worklist."""

from __future__ import annotations

from datetime import datetime

import pytest
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.uid import ImplicitVRLittleEndian
from pynetdicom.dsutils import encode

from broker.dataset.attributes import read_attributes
from broker.dicom.performed_attributes import faults_of_create
from broker.simulators.modality import performed_step

START_TIME = int(Tag("PerformedProcedureStepStartTime"))


@pytest.mark.parametrize(
    ("time", "wrong"), [("240000", True), ("2900", True), ("120061", True), ("235960", False), ("00", False)]
)
def test_a_performed_step_starts_at_an_hour_that_a_clock_shows(time, wrong):
    item, step = Dataset(), Dataset()
    step.Modality = "CT"
    item.ScheduledProcedureStepSequence, item.StudyInstanceUID = [step], "2.25.1"
    created = performed_step(item, "CT1", datetime(2026, 3, 2, 12))
    created.PerformedProcedureStepStartTime = time

    faults = faults_of_create(read_attributes(encode(created, True, True), ImplicitVRLittleEndian))

    assert faults.invalid == ((START_TIME,) if wrong else ())
