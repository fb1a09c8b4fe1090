"""Every file under samples/ does what its name says."""

from __future__ import annotations

from pathlib import Path

import pydicom
import pytest

from broker.site.profile import load
from tests.kit.databases import KINDS
from tests.kit.mllp import Answer
from tests.kit.scanner import step_of

TESTS = Path(__file__).parents[1]
SAMPLES = TESTS.parent / "samples"


@pytest.fixture(params=KINDS)
def own_broker(request, broker_with):
    """A broker of the test's own: the samples are one story and bring their own names."""
    return broker_with(kind=request.param)


def test_the_samples_tell_one_story_from_the_order_to_the_image(own_broker):
    def send(name: str) -> Answer:
        return own_broker.send((SAMPLES / "hl7" / f"{name}.hl7").read_bytes())

    scanner = own_broker.scanner()

    assert send("1_orm_o01_nw").code == "AA"
    assert step_of(scanner.item(AccessionNumber="ACC1001")).ScheduledProcedureStepStartDate == "20260302"

    assert send("2_orm_o01_xo").code == "AA"
    assert step_of(scanner.item(AccessionNumber="ACC1001")).ScheduledProcedureStepStartDate == "20260303"

    assert send("3_orm_o01_sc").code == "AA"
    assert own_broker.states("ACC1001") == ["STARTED"]

    assert scanner.store(pydicom.dcmread(SAMPLES / "dicom" / "brook_ct.dcm")) == [0x0000]
    assert [study["images"] for study in own_broker.show("ACC1001")["studies"]] == [1]

    assert send("4_orm_o01_dc").code == "AA"
    assert own_broker.states("ACC1001") == ["DISCONTINUED"]

    assert send("5_orm_o01_nw_two_procedures").code == "AA"
    assert [item.AccessionNumber for item in scanner.items(PatientID="4712")] == ["ACC1002", "ACC1003"]

    assert send("6_orm_o01_ca").code == "AA"
    assert scanner.items(PatientID="4712") == []

    assert send("7_orm_o01_nw_latin1").code == "AA"
    assert str(scanner.item(PatientID="4713").PatientName) == "Müßig^Jörg"

    assert send("8_orm_o01_nw_plain").code == "AA"
    assert scanner.item(PatientID="4714").AccessionNumber == "PO1005"


def test_in_the_order_of_their_names_every_message_is_accepted(own_broker):
    answers = {path.name: own_broker.send(path.read_bytes()).code for path in sorted((SAMPLES / "hl7").iterdir())}

    assert set(answers.values()) == {"AA"}, answers
    assert own_broker.alarms() == []


def test_each_sample_is_used_by_a_test_and_told_in_the_readme():
    told = (SAMPLES / "README.md").read_text("utf-8")
    tests = "".join(path.read_text("utf-8") for path in TESTS.rglob("*.py"))
    files = [path for folder in ("hl7", "dicom") for path in sorted((SAMPLES / folder).iterdir())]

    assert [path.name for path in files if path.stem not in tests] == []
    assert [path.name for path in files if f"{path.parent.name}/{path.name}" not in told] == []


def test_the_sample_profile_is_a_profile():
    site = load(SAMPLES / "site.toml")

    assert site.path == SAMPLES / "site.toml"
