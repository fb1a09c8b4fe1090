"""marks.json and its lock, damaged in whatever way: the broker starts, numbers stay usable, and an alarm tells."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.kit.messages import Case
from tests.kit.processes import ServedBroker


def counters(value: str) -> Callable[[Path], None]:
    def write(data: Path) -> None:
        marks = json.loads((data / "marks.json").read_text("utf-8"))
        marks["counters"] = dict.fromkeys(marks["counters"], "HERE")
        (data / "marks.json").write_text(json.dumps(marks).replace('"HERE"', value), "utf-8")

    return write


def nested(data: Path) -> None:
    (data / "marks.json").write_text("[" * 100_000, "utf-8")


def pipe(data: Path) -> None:
    (data / "marks.json").unlink()
    os.mkfifo(data / "marks.json")


def lost(data: Path) -> None:
    (data / "marks.json").unlink()


def folder(data: Path) -> None:
    lost(data)
    (data / "marks.json").mkdir()


def no_lock(data: Path) -> None:
    (data / "marks.lock").unlink()
    (data / "marks.lock").mkdir()


HARMS = {
    "far ahead": counters(str(2**62)), "infinite": counters("1e999"), "negative": counters("-5"), "nested": nested,
    "pipe": pipe, "lost": lost, "folder": folder,
}  # fmt: skip


@pytest.mark.parametrize("harm", HARMS.values(), ids=HARMS.keys())
def test_orders_go_on_with_the_numbers_that_they_had(
    database_url: str, tmp_path: Path, harm: Callable[[Path], None]
) -> None:
    with ServedBroker(tmp_path / "data", database_url) as broker:
        order_and_scan(broker)
    harm(tmp_path / "data")

    with ServedBroker(tmp_path / "data", database_url) as broker:
        item = order_and_scan(broker)
        alarms = broker.json("alarms", "list")

    assert len(item.ScheduledProcedureStepSequence[0].ScheduledProcedureStepID) <= 16
    assert [alarm["kind"] for alarm in alarms] == ["marks-lost"]


@pytest.mark.parametrize("doors", [(), ("--dicom-processes", "2")], ids=["one process", "door processes"])
def test_marks_that_cannot_be_locked_stop_nobody(database_url: str, tmp_path: Path, doors: tuple[str, ...]) -> None:
    with ServedBroker(tmp_path / "data", database_url, *doors) as broker:
        order_and_scan(broker)
    no_lock(tmp_path / "data")

    with ServedBroker(tmp_path / "data", database_url, *doors) as broker:
        order_and_scan(broker)
        assert len(broker.logged("database.marks_not_written")) > 0


def order_and_scan(broker: ServedBroker) -> Case:
    """An order, an image; returns the worklist item."""
    case = Case()
    assert broker.send(case.order()).code == "AA"
    item = broker.item(case)
    assert broker.scanner().store(broker.scanner().take(item)) == [0]
    return item
