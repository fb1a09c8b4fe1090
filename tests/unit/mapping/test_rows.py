"""Attribute rows checked: what a row may say, what is refused and what would be right."""

from __future__ import annotations

from dataclasses import replace

import pytest

from broker.errors import SettingsError
from broker.mapping.row import PROTECTED, RowSpec, build_row
from broker.mapping.rows import RowSet
from tests.unit.mapping.reading import ROWS, STEP, site_rows


@pytest.mark.parametrize(
    ("key", "spec", "said"),
    [
        ("PatientNme", RowSpec(), "did you mean PatientName?"),
        ("Nonsense.Modality", RowSpec(), "a DICOM keyword"),
        ("PatientName.Modality", RowSpec(), "a sequence"),
        ("00100042", RowSpec(), 'vr = "LO"'),
        ("PatientComments", RowSpec(vr="LO"), "LT (PatientComments)"),
        ("SpecificCharacterSet", RowSpec(), "an attribute of a worklist item"),
        ("PixelData", RowSpec(vr="OW"), "AE, AS"),
        ("PatientComments", RowSpec(source=("PID3",)), "[FAMILY:]"),
        ("PatientComments", RowSpec(source=("@weather",)), "@patient_id"),
        ("PatientComments", RowSpec(transform="shout"), "text, lines, upper"),
        ("PatientComments", RowSpec(transform="code"), "text, lines, upper, address, phone for LT"),
        ("PatientComments", RowSpec(match="name"), "none, single, wildcard"),
        ("PatientComments", RowSpec(match="sometimes"), "none, single, name"),
        ("PatientComments", RowSpec(returns="4"), "1, 1C, 2, 2C, 3"),
        ("PatientComments", RowSpec(take="all"), "first, or transform = lines"),
        ("PatientComments", RowSpec(too_long="fold"), "reject, cut, drop"),
        ("AccessionNumber", RowSpec(too_long="cut"), "reject"),
        ("PatientWeight", RowSpec(transform="quantity"), "kg, g"),
        ("PatientWeight", RowSpec(transform="quantity", unit="stone"), "kg, g"),
        ("PregnancyStatus", RowSpec(default="often"), "US"),
        ("PatientPrimaryLanguageCodeSequence", RowSpec(source=("PID-15",)), "code, issuer for SQ"),
        ("PatientName", RowSpec(match="name", returns="2"), "1"),
        ("PatientName", RowSpec(returns="1"), "PS3.4 Table K.6-1"),
    ],
)
def test_a_wrong_row_is_refused_with_its_key_and_what_would_be_right(key: str, spec: RowSpec, said: str) -> None:
    with pytest.raises(SettingsError) as refused:
        build_row(key, spec)

    assert refused.value.facts["row"] == key
    assert said in str(refused.value.facts["expected"])


@pytest.mark.parametrize("key", sorted(PROTECTED))
def test_required_keys_and_type_1_attributes_cannot_be_removed(key: str) -> None:
    with pytest.raises(SettingsError, match="cannot be removed"):
        RowSet(row for row in ROWS.rows if row.key != key)


def test_rows_that_do_not_fit_together_are_refused() -> None:
    astray = build_row("SpecialNeeds", RowSpec(follows="Nobody"))
    twice = build_row("00380050", RowSpec())
    inside = build_row("RequestedProcedureCodeSequence.CodeValue", RowSpec())

    others = [row for row in ROWS.rows if row.key != "SpecialNeeds"]
    for row, said in (
        (astray, "follows one that does not exist"),
        (twice, "two rows"),
        (inside, "makes its own items"),
    ):
        with pytest.raises(SettingsError, match=said):
            RowSet([*(ROWS.rows if row is not astray else others), row])


def test_a_tag_that_the_dictionary_does_not_know_needs_its_vr_only() -> None:
    row = build_row("(0010,0042)", RowSpec(source=("PID-5",), vr="UT"))

    assert (row.levels, row.vr, row.owner) == ((0x00100042,), "UT", "patient")


@pytest.mark.parametrize(
    ("key", "owner"),
    [
        ("PatientName", "patient"),
        ("PatientComments", "patient"),
        ("AdmissionID", "visit"),
        ("ReferringPhysicianName", "visit"),
        ("Allergies", "step"),
        ("AccessionNumber", "step"),
        ("IssuerOfPatientID", "step"),
    ],
)
def test_a_row_s_sources_say_whose_value_it_is(key: str, owner: str) -> None:
    assert ROWS.owner(key) == owner


def test_the_hash_changes_with_everything_that_changes_elements_and_nothing_else() -> None:
    def changed(**change: object) -> str:
        return RowSet(replace(r, **change) if r.key == "PatientSex" else r for r in ROWS.rows).hash  # type: ignore[arg-type]

    assert changed() == RowSet(ROWS.rows).hash
    assert changed(title="Sex, as told", match="none") == RowSet(ROWS.rows).hash
    assert len({changed(), changed(values={}), changed(default="O"), changed(returns="3"), changed(take="all")}) == 5
    assert RowSet(ROWS.rows, "senders").hash != RowSet(ROWS.rows).hash


def test_descriptive_values_are_names_codes_comments_and_physicians() -> None:
    descriptive = ROWS.facts().descriptive

    assert {"AccessionNumber", "RequestedProcedureCodeSequence", "RequestedProcedureComments", "RequestingPhysician",
            "ReferringPhysicianName", STEP + "ScheduledPerformingPhysicianName"} <= descriptive  # fmt: skip
    assert not descriptive & {"PatientName", "PatientID", "StudyInstanceUID", STEP + "Modality", "AdmissionID",
                              STEP + "ScheduledProcedureStepStartDate", STEP + "ScheduledStationName"}  # fmt: skip


def test_type_1_keys_are_those_of_the_item_itself() -> None:
    assert ROWS.facts().type_1 == PROTECTED.keys() - {
        "ScheduledProcedureStepSequence",
        STEP + "ScheduledPerformingPhysicianName",
    }


def test_a_type_1_row_that_only_the_sender_can_fill_holds_a_step() -> None:
    rows = site_rows('rows.SpecialNeeds = { return = "1", source = ["ZXX-1"] }')

    assert "SpecialNeeds" in rows.facts().held_without
    assert not {STEP + "Modality", "StudyInstanceUID"} & rows.facts().held_without


def test_attributes_are_found_by_their_place() -> None:
    member = ROWS.at((0x00321064, 0x00080100))

    assert member is not None
    assert (member.key, member.match) == ("RequestedProcedureCodeSequence.CodeValue", "single")
    assert ROWS.at((0x00400100, 0x00080060)) is ROWS.by_key[STEP + "Modality"]
    assert ROWS.at((0x00080060,)) is None
