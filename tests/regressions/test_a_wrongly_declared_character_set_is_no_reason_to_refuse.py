"""A declared character set that is unknown, or does not hold a name, is a warning: the patient is on the list."""

from __future__ import annotations

import pytest

from broker.hl7v2.reader import read
from tests.unit.mapping.reading import order, placed

HEADER = b"MSH|^~\\&|RIS|HOSP|MWL|RAD|20260301||ORM^O01|C1|P|2.3.1||||||"


@pytest.mark.parametrize("declared", [b"ASCII", b"ISO IR6", b"WINDOWS-1252"])
@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_a_declared_set_that_says_nothing_of_the_bytes_is_taken_as_none(declared: bytes, encoding: str) -> None:
    found = read(HEADER + declared + "\rPID|||||Müller".encode(encoding), default_charset="8859/1")

    assert found.header.field(18).encode() == declared
    assert found.segments[1].field(5) == "Müller"
    assert found.undecodable


def test_a_name_with_bytes_without_meaning_is_kept_with_a_warning() -> None:
    request = placed(*order(pid="PID|||4711||Br\ufffdok"))

    assert request.patient.changes["PatientName"] == "Br\ufffdok"
    assert request.warnings == ("PatientName: some characters are not in the declared character set",)
