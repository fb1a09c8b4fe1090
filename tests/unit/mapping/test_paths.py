"""The path language: what a source names, and which sources are none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.errors import SettingsError
from broker.mapping.paths import find, parse_path, parse_source
from tests.unit.mapping.reading import first_group

SEGMENTS = (
    "PID|||A~B^^^HOSP",
    "NTE|||about the patient",
    "PV1||O|||||||||||||||||V55^^^AA&1.2.3&ISO",
    "AL1|||C1^Nuts",
    "AL1|||C2",
    "ORC|NW|PO1^OP^1.2^ISO",
    "TQ1|1||||||20260302101500",
    "OBR|1|||X^x^L^P^p^L",
    "NTE|||first~second",
    "OBX|1|NM|29463-7^Weight^LN||72",
    "NTE|||about the weight",
    "OBX|2|NM|8302-2^Height^LN||180",
    'DG1|1||""',
)


@pytest.mark.parametrize(
    ("source", "texts"),
    [
        ("PID-3", ["A"]),
        ("PID-3[2].1", ["B"]),
        ("PID-3[*].1", ["A", "B"]),
        ("PID-3[9]", []),
        ("PV1-19.1", ["V55"]),
        ("PV1-19.4", ["AA&1.2.3&ISO"]),
        ("PV1-19.4.2", ["1.2.3"]),
        ("PV1-19.4.9", []),
        ("AL1[*]-3.2|3.1", ["Nuts", "C2"]),
        ("AL1-3.1", ["C1"]),
        ("AL1[2]-3.1", ["C2"]),
        ("AL1[3]-3.1", []),
        ("ORC-2.2..4", ["OP^1.2^ISO"]),
        ("OBR-4.4..6", ["P^p^L"]),
        ("TQ1-7", ["20260302101500"]),
        ('OBX[3.1="8302-2"]-5', ["180"]),
        ('OBX[3.2="Weight"]-5', ["72"]),
        ('OBX[3.2="Colour"]-5', []),
        ("NTE[*]-3[*]", ["first", "second", "about the weight"]),
        ("PID/NTE-3", ["about the patient"]),
        ("OBR/NTE[*]-3[*]", ["first", "second"]),
        ("OBX/NTE-3", ["about the weight"]),
        ("OBR/OBX[2]-5", ["180"]),
        ("ORM:OBR-4.1", ["X"]),
        ("OMI:OBR-4.1", []),
        ("ZDS-1", []),
        ("DG1-3", ['""']),
    ],
)
def test_a_path_names_pieces_of_a_message(source: str, texts: list[str]) -> None:
    found = find(parse_path(source), first_group(*SEGMENTS))

    assert [piece.text() for piece in found] == texts


def test_two_double_quotes_take_a_value_back_wherever_they_stand() -> None:
    group = first_group("ORC|NW", 'OBR|1|""|A^""|""')

    assert [find(parse_path(source), group)[0].deleted for source in ("OBR-2.1", "OBR-3.2", "OBR-4.4..6")] == [True] * 3


@pytest.mark.parametrize(
    "source",
    ["", "PID", "PID-", "PID-0", "pid-3", "PID-3[0]", "PID-3[x]", "PID-3.6..4", "PID[0]-3", "OBX[3.1=x]-5", "PID-3|",
     "PID-3.1.2.3", "@unknown", "@patient_issuer.9", "PIDS-3", "ORM:ORU:PID-3", "PID -3"],
)  # fmt: skip
def test_a_source_that_is_none_is_refused_with_what_would_be_right(source: str) -> None:
    with pytest.raises(SettingsError) as refused:
        parse_source(source)

    assert refused.value.facts["source"] == source
    assert refused.value.facts["expected"]


@given(st.text(st.sampled_from('PIDOBX-.[]*|"=0123456789/:@'), max_size=16))
def test_any_text_is_a_source_or_refused(text: str) -> None:
    try:
        found = parse_source(text)
    except SettingsError:
        return

    assert found.text == text


@given(
    st.text(st.sampled_from('AB^~&\\|"\r'), max_size=40), st.sampled_from(["OBR-4.1", "OBR-4[*].2|5.1", "OBR-4.2..3"])
)
def test_no_message_makes_a_path_fail(content: str, source: str) -> None:
    group = first_group("ORC|NW", "OBR|1|||" + content)

    for piece in find(parse_path(source), group):
        assert piece.text() is not None
        assert piece.parts()
