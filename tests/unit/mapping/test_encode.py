"""Values to stored elements: defaults, facts, what a step lacks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.domain.order import Facts
from broker.domain.request import NO_ISSUER, Issuer
from broker.mapping.encode import encode, encode_moved
from broker.mapping.row import STATUS, Row, RowSpec, build_row
from broker.mapping.rows import RowSet
from broker.mapping.splice import value_of
from tests.unit.mapping.plain_encode import PlainEncoder
from tests.unit.mapping.steps import FACTS, ROWS, STEP, VALUES


def test_a_row_s_default_stands_where_nobody_said_anything() -> None:
    elements = encode(ROWS, VALUES, FACTS)

    assert value_of(ROWS, elements, "RequestedProcedurePriority") == "ROUTINE"
    assert value_of(ROWS, elements, "RouteOfAdmissions") == "U"


def test_a_default_that_follows_another_row_needs_that_row_s_value() -> None:
    elements = encode(ROWS, VALUES, replace(FACTS, study_uid=""))

    assert value_of(ROWS, elements, "ReferencedStudySequence") is None


def test_facts_of_the_house_fill_the_rows_that_name_them() -> None:
    elements = encode(ROWS, VALUES, replace(FACTS, study_start="20260302112233"))

    assert value_of(ROWS, elements, "IssuerOfPatientID") == "HOSP"
    assert value_of(ROWS, elements, "IssuerOfPatientIDQualifiersSequence") == [
        {"UniversalEntityID": "1.2.3.4", "UniversalEntityIDType": "ISO"}
    ]
    assert value_of(ROWS, elements, "StudyDate") == "20260302"
    assert value_of(ROWS, elements, "StudyTime") == "112233"
    assert value_of(ROWS, elements, f"{STEP}.ScheduledProcedureStepStatus") == "SCHEDULED"


def test_a_patient_without_issuer_has_none_of_its_attributes() -> None:
    elements = encode(ROWS, VALUES, replace(FACTS, patient_issuer=NO_ISSUER, other_patient_ids=()))

    for key in ("IssuerOfPatientID", "IssuerOfPatientIDQualifiersSequence", "OtherPatientIDsSequence"):
        assert value_of(ROWS, elements, key) is None


def test_a_settled_value_wins_over_a_fact() -> None:
    elements = encode(ROWS, {**VALUES, "StudyDate": "20250101"}, replace(FACTS, study_start="20260302112233"))

    assert value_of(ROWS, elements, "StudyDate") == "20250101"


def test_the_same_values_give_the_same_bytes() -> None:
    assert encode(ROWS, VALUES, FACTS) == encode(ROWS, dict(reversed(VALUES.items())), FACTS)


DEEP = "RequestedProcedureCodeSequence"
ODD_ROWS = RowSet([
    *(row for row in ROWS.rows if not row.key.startswith(DEEP)),
    build_row("AdmittingDiagnosesCodeSequence.EquivalentCodeSequence.CodeValue", RowSpec(default="D", returns="1C")),
    build_row("AdmittingDiagnosesCodeSequence.EquivalentCodeSequence.CodeMeaning", RowSpec(returns="3")),
    build_row(f"{DEEP}.CodeValue", RowSpec(source=("@study_uid",), returns="1C")),
    build_row(f"{DEEP}.EquivalentCodeSequence.CodeMeaning", RowSpec(default="Ä", follows="PatientComments")),
    build_row("RescaleSlope", RowSpec()),
    build_row("RecommendedDisplayFrameRateInFloat", RowSpec()),
    build_row("NumberOfFrames", RowSpec(default="12")),
    build_row("LongCodeValue", RowSpec(source=("@status",))),
    build_row("ReferencedPatientSequence.ReferencedSOPInstanceUID", RowSpec(source=("@study_start",), returns="1C")),
    build_row("CommentsOnTheScheduledProcedureStep", RowSpec(default="é", follows="StudyDate")),
])  # fmt: skip
"""Rows beside the shipped ones: sequences in sequences, some always open; defaults, numbers."""

SOME_TEXT = st.text(st.sampled_from("ab Z019^=./äÖ山Ж"), max_size=12)
SOME_CODES = st.fixed_dictionaries(
    {},
    optional={"CodeValue": SOME_TEXT, "CodeMeaning": st.text(st.sampled_from("aé"), max_size=200), "UniversalEntityID":
              SOME_TEXT, "IssuerOfPatientIDQualifiersSequence": st.lists(st.just({"UniversalEntityIDType": "ISO"}))},
)  # fmt: skip


def some_value(row: Row) -> st.SearchStrategy[Any]:
    if row.vr == "SQ":
        return st.lists(SOME_CODES, max_size=3)
    text = st.integers(0, 65535).map(str) if row.vr in ("US", "SS", "UL", "SL", "FL", "FD") else SOME_TEXT
    return st.lists(text, max_size=3) if row.multi else text


@st.composite
def some_values(draw: st.DrawFn, rows: RowSet) -> dict[str, Any]:
    chosen = draw(st.lists(st.sampled_from(rows.rows), max_size=30, unique_by=lambda row: row.key))
    return {row.key: draw(some_value(row)) for row in chosen}


SOME_FACTS = st.builds(
    replace,
    st.just(FACTS),
    patient_issuer=st.sampled_from([NO_ISSUER, FACTS.patient_issuer, Issuer("Ü" * 70, "x")]),
    other_patient_ids=st.sampled_from([(), FACTS.other_patient_ids]),
    study_uid=st.sampled_from(["", "1.2.3", "1.2.34"]),
    study_start=st.sampled_from([None, "20260302112233"]),
)


@pytest.mark.parametrize("rows", [ROWS, ODD_ROWS], ids=["shipped", "odd"])
@given(st.data(), SOME_FACTS)
def test_any_values_have_the_stored_form_that_is_made_slot_by_slot(
    rows: RowSet, data: st.DataObject, facts: Facts
) -> None:
    values = data.draw(some_values(rows))

    assert encode(rows, values, facts) == PlainEncoder(rows, values, facts).stored_form()


@pytest.mark.parametrize("rows", [ROWS, ODD_ROWS], ids=["shipped", "odd"])
@given(st.data(), SOME_FACTS, st.sampled_from(["STARTED", "DISCONTINUED"]), st.sampled_from([None, "20250101000000"]))
def test_a_step_that_only_moved_has_the_stored_form_that_it_would_have_anyway(
    rows: RowSet, data: st.DataObject, facts: Facts, status: str, study_start: str | None
) -> None:
    values = data.draw(some_values(rows))
    later = replace(facts, status=status, study_start=study_start or facts.study_start)
    moved = values | {STATUS: status} if data.draw(st.booleans()) else values

    assert encode_moved(rows, encode(rows, values, facts), moved, later) == encode(rows, moved, later)
