"""The demo plays its morning through the real ports, and says so when an order did not end as it should."""

from __future__ import annotations

from io import StringIO

from rich.console import Console

from broker.simulators.demo import faults, run_demo
from broker.simulators.morning import Ended


def test_the_demo_ends_with_zero_and_leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    printed = Console(file=StringIO(), width=200)

    code = run_demo(keep=False, console=printed)

    told = printed.file.getvalue()
    assert code == 0, told
    for word in ("COMPLETED", "DISCONTINUED", "CANCELED", "no modality", "hl7:RIS|HOSP", "dicom:CT1"):
        assert word in told
    assert list(tmp_path.iterdir()) == []


def test_an_order_that_ended_otherwise_is_a_fault_with_its_reason():
    story = {"steps": [{"state": "SCHEDULED", "held": None}], "studies": []}

    found = faults(story, Ended("A1", "Plain order", ("COMPLETED",), images=2))

    assert found == ["its steps are SCHEDULED, not COMPLETED", "it has 0 images, not 2"]


def test_a_step_that_should_be_held_and_is_not_is_a_fault():
    story = {"steps": [{"state": "SCHEDULED", "held": None}], "studies": []}

    assert faults(story, Ended("A1", "Held order", ("SCHEDULED",), held="modality"))
