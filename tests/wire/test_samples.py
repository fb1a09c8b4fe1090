"""Every file under samples/ does what its name says."""

from __future__ import annotations

from pathlib import Path

import pydicom
import pytest

from broker.site.profile import load
from tests.kit.databases import KINDS
from tests.kit.mllp import Answer
from tests.kit.scanner import step_of

SAMPLES = Path(__file__).parents[2] / "samples"


@pytest.fixture(params=KINDS)
def own_broker(request, broker_with):
    """A broker of the test's own: the samples are one story and bring their own names."""
    return broker_with(kind=request.param)


def test_the_samples_tell_one_story_from_the_order_to_the_image(own_broker):
    def send(name: str) -> Answer:
        used.add(f"{name}.hl7")
        return own_broker.send((SAMPLES / "hl7" / f"{name}.hl7").read_bytes())

    used: set[str] = set()
    scanner = own_broker.scanner()

    assert send("orm_o01_nw").code == "AA"
    assert step_of(scanner.item(AccessionNumber="ACC1001")).ScheduledProcedureStepStartDate == "20260302"

    assert send("orm_o01_xo").code == "AA"
    assert step_of(scanner.item(AccessionNumber="ACC1001")).ScheduledProcedureStepStartDate == "20260303"

    assert send("orm_o01_sc").code == "AA"
    assert own_broker.states("ACC1001") == ["STARTED"]

    assert scanner.store(pydicom.dcmread(SAMPLES / "dicom" / "brook_ct.dcm")) == [0x0000]
    assert [study["images"] for study in own_broker.show("ACC1001")["studies"]] == [1]

    assert send("orm_o01_dc").code == "AA"
    assert own_broker.states("ACC1001") == ["DISCONTINUED"]

    assert send("orm_o01_nw_two_procedures").code == "AA"
    assert [item.AccessionNumber for item in scanner.items(PatientID="4712")] == ["ACC1002", "ACC1003"]

    assert send("orm_o01_ca").code == "AA"
    assert scanner.items(PatientID="4712") == []

    assert send("orm_o01_nw_latin1").code == "AA"
    assert str(scanner.item(PatientID="4713").PatientName) == "Müßig^Jörg"

    assert send("orm_o01_nw_plain").code == "AA"
    assert scanner.item(PatientID="4714").AccessionNumber == "PO1005"

    assert used == {path.name for path in (SAMPLES / "hl7").iterdir()}
    assert [path.name for path in (SAMPLES / "dicom").iterdir()] == ["brook_ct.dcm"]


def test_the_sample_profile_is_a_profile():
    site = load(SAMPLES / "site.toml")

    assert site.path == SAMPLES / "site.toml"
