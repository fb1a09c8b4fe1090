"""Values to stored elements: defaults, facts, what a step lacks."""

from __future__ import annotations

from dataclasses import replace

from broker.domain.request import NO_ISSUER
from broker.mapping.encode import encode, missing_type_1
from broker.mapping.splice import value_of
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


def test_a_step_lacks_the_type_1_attributes_that_have_no_value() -> None:
    without = {key: value for key, value in VALUES.items() if key not in ("StudyInstanceUID", f"{STEP}.Modality")}

    assert missing_type_1(ROWS, VALUES, FACTS) == ()
    assert set(missing_type_1(ROWS, without, FACTS)) == {"StudyInstanceUID", f"{STEP}.Modality"}


def test_a_step_without_station_is_open_and_lacks_nothing() -> None:
    open_step = {key: value for key, value in VALUES.items() if "Station" not in key}

    assert missing_type_1(ROWS, open_step, FACTS) == ()


def test_the_same_values_give_the_same_bytes() -> None:
    assert encode(ROWS, VALUES, FACTS) == encode(ROWS, dict(reversed(VALUES.items())), FACTS)
