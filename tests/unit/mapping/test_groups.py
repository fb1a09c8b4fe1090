"""Order messages in parts."""

from __future__ import annotations

from broker.mapping.groups import split
from tests.unit.mapping.reading import message


def names(*segments: str) -> tuple[list[str], list[list[str]]]:
    patient, groups = split(message(*segments))
    return [s.name for s in patient.patient], [[s.name for s in group.own] for group in groups]


def test_each_order_has_its_own_segments() -> None:
    assert names("PID|1", "NTE|1", "PV1|1", "ORC|NW", "OBR|1", "NTE|1", "ORC|CA", "OBR|2", "ZDS|1") == (
        ["MSH", "PID", "NTE", "PV1"],
        [["ORC", "OBR", "NTE"], ["ORC", "OBR", "ZDS"]],
    )


def test_an_obr_without_orc_is_an_order_of_its_own_under_the_orc_before_it() -> None:
    assert names("ORC|NW", "TQ1|1", "OBR|1", "OBX|1", "OBR|2", "OBX|2")[1] == [
        ["ORC", "TQ1", "OBR", "OBX"],
        ["ORC", "TQ1", "OBR", "OBX"],
    ]


def test_an_orc_without_obr_is_an_order() -> None:
    assert names("ORC|CA", "ORC|CA", "OBR|1")[1] == [["ORC"], ["ORC", "OBR"]]


def test_an_obr_without_any_orc_has_none() -> None:
    _, (group,) = split(message("OBR|1"))

    assert group.first("ORC") is None


def test_segments_of_the_group_are_not_looked_for_elsewhere_and_others_are() -> None:
    _, (first, second) = split(message("PID|1", "OBX|1|x", "ORC|NW", "OBR|1", "ZDS|1.2", "ORC|NW", "OBR|2", "OBX|2|y"))

    assert second.first("ZDS") is None
    assert [segment.field(2) for group in (first, second) for segment in group.segments("OBX")] == ["x", "y"]


def test_notes_after_pd1_are_the_patient_s() -> None:
    patient, _ = split(message("PID|1", "PD1|1", "NTE|1||note", "PV1|1", "NTE|1||visit"))

    assert [segment.field(3) for segment in patient.segments("NTE", "PID")] == ["note"]
