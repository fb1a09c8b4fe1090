"""Answers cut from stored elements: the same bytes as pydicom makes, what is returned, character sets, statuses."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEGBaseline8Bit

from broker.dataset.reading import read_identifier
from broker.mapping.encode import encode
from broker.mapping.row import RowSpec, build_row
from broker.mapping.rows import RowSet
from broker.mapping.splice import PENDING, PENDING_WITH_UNSUPPORTED_KEYS, Plan, plan, relaid, value_of
from tests.unit.mapping.steps import FACTS, ROWS, STEP, VALUES, empty, everything, query
from tests.unit.mapping.twin import Twin, decoded, encoded

SYNTAXES = (ImplicitVRLittleEndian, ExplicitVRLittleEndian)
LATIN = {**VALUES, "PatientName": "Müller^Jörg", f"{STEP}.ScheduledProtocolCodeSequence": [
    {"CodeValue": "A", "CodingSchemeDesignator": "L", "CodeMeaning": "Schädel"}]}  # fmt: skip
JAPANESE = {**VALUES, "PatientName": "Yamada^Tarou=山田^太郎=やまだ^たろう"}


def planned(asked: Dataset, syntax: str = ImplicitVRLittleEndian, rows: RowSet = ROWS, **options: bool) -> Plan:
    """The plan for a query as it arrives."""
    return plan(rows, read_identifier(encoded(asked, syntax), syntax), syntax, **options)


def answer(asked: Dataset, values: dict[str, Any] = VALUES, station: str | None = None, **options: bool) -> Dataset:
    made = planned(asked, **options).dataset(encode(ROWS, values, FACTS), station)
    return decoded(made, ImplicitVRLittleEndian)


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize("charset", ["", "ISO_IR 100", "ISO_IR 192", "ISO_IR 144"])
@pytest.mark.parametrize("values", [VALUES, LATIN, JAPANESE], ids=["ascii", "latin", "japanese"])
def test_an_answer_is_the_bytes_that_pydicom_writes(values: dict[str, Any], charset: str, syntax: str) -> None:
    asked = everything()
    if charset:
        asked.SpecificCharacterSet = charset

    made = planned(asked, syntax).dataset(encode(ROWS, values, FACTS))

    assert made == Twin(ROWS, values, FACTS).answer(asked, syntax)


SOME_TEXT = st.text(st.sampled_from("abcXYZ 019äéÖ山Жß"), min_size=1, max_size=20).map(str.strip).filter(bool)
SOME_CODES = st.lists(
    st.fixed_dictionaries({"CodeValue": st.sampled_from(["C1", "C22"]), "CodingSchemeDesignator": st.just("L")},
                          optional={"CodeMeaning": SOME_TEXT}),
    min_size=1, max_size=3,
)  # fmt: skip
FREE = [row for row in ROWS.rows if row.vr in ("LO", "SH", "LT", "ST", "PN") or row.transform == "code"]


@st.composite
def some_values(draw: st.DrawFn) -> dict[str, Any]:
    values = dict(VALUES)
    for row in draw(st.lists(st.sampled_from(FREE), max_size=8, unique_by=lambda row: row.key)):
        text = draw(SOME_CODES if row.vr == "SQ" else SOME_TEXT)
        values[row.key] = [text, "second"] if row.multi else text
    for key in draw(st.lists(st.sampled_from(sorted(values)), max_size=6)):
        values.pop(key, None)
    return values


@st.composite
def some_query(draw: st.DrawFn) -> Dataset:
    def keys(levels: tuple[int, ...]) -> Dataset:
        asked = Dataset()
        here = [row for row in ROWS.by_levels.values() if row.levels[:-1] == levels]
        for row in draw(st.lists(st.sampled_from(here), max_size=12, unique_by=lambda row: row.key)):
            element = empty(row.keyword)
            if row.vr == "SQ" and any(r.levels[:-1] == row.levels for r in ROWS.by_levels.values()):
                element.value = (
                    draw(st.sampled_from(["nothing", "item", "keys"])) == "keys" and [keys(row.levels)] or []
                )
            asked.add(element)
        return asked

    asked = keys(())
    if charset := draw(st.sampled_from(["", "ISO_IR 100", "ISO_IR 192", "ISO_IR 101"])):
        asked.SpecificCharacterSet = charset
    return asked


@given(some_values(), some_query(), st.sampled_from(SYNTAXES), st.booleans(), st.sampled_from([None, "CT9"]))
def test_any_query_for_any_step_is_answered_as_pydicom_would(
    values: dict[str, Any], asked: Dataset, syntax: str, absent_type_3: bool, station: str | None
) -> None:
    made = planned(asked, syntax, absent_type_3=absent_type_3).dataset(encode(ROWS, values, FACTS), station)

    assert made == Twin(ROWS, values, FACTS, absent_type_3).answer(asked, syntax, station)


def test_only_what_was_asked_is_returned() -> None:
    found = answer(query("PatientID", step=("ScheduledProcedureStepID",)))

    assert [element.keyword for element in found] == ["PatientID", STEP]
    assert [element.keyword for element in found[STEP].value[0]] == ["ScheduledProcedureStepID"]


def test_the_step_sequence_is_not_returned_when_it_was_not_asked() -> None:
    assert STEP not in answer(query("PatientID"))


@pytest.mark.parametrize("item", [[], [Dataset()]])
def test_an_empty_sequence_key_asks_for_all_of_it(item: list[Dataset]) -> None:
    asked = query("PatientID")
    asked.ScheduledProcedureStepSequence = item

    found = answer(asked)

    assert found[STEP].value[0].Modality == "CT"
    assert len(found[STEP].value[0]) > 10


def test_an_unknown_value_is_empty_for_type_2_and_3_and_left_out_for_1c() -> None:
    asked = query("RequestingPhysician", "PatientSize", "RequestedProcedureDescription")

    found = answer(asked, {**VALUES, "RequestedProcedureDescription": ""})

    assert [(element.keyword, element.is_empty) for element in found] == [
        ("PatientSize", True),
        ("RequestingPhysician", True),
    ]


def test_a_peer_may_choose_that_empty_type_3_attributes_are_left_out() -> None:
    found = answer(query("RequestingPhysician", "PatientSize"), absent_type_3=True)

    assert [element.keyword for element in found] == ["RequestingPhysician"]


def test_a_number_that_is_unknown_is_empty_and_not_zero() -> None:
    known = answer(query("PregnancyStatus"))
    unknown = answer(query("PregnancyStatus"), {**VALUES, "PregnancyStatus": ""})

    assert known.PregnancyStatus == 3
    assert unknown["PregnancyStatus"].is_empty


def test_a_sequence_whose_members_are_all_unknown_has_no_item() -> None:
    assert list(answer(query("IssuerOfAdmissionIDSequence"))["IssuerOfAdmissionIDSequence"].value) == []


def test_the_referenced_study_names_the_study() -> None:
    study = answer(query("ReferencedStudySequence")).ReferencedStudySequence[0]

    assert (study.ReferencedSOPClassUID, study.ReferencedSOPInstanceUID) == ("1.2.840.10008.3.1.2.3.1", "1.2.3.55")


def test_an_open_step_names_the_station_that_it_is_given() -> None:
    asked = query(step=("ScheduledStationAETitle", "Modality"))
    open_step = {key: value for key, value in VALUES.items() if "Station" not in key}

    assert answer(asked, open_step, station="MR9")[STEP].value[0].ScheduledStationAETitle == "MR9"
    assert answer(asked, station="MR9")[STEP].value[0].ScheduledStationAETitle == ["CT1", "CT2"]


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        (query("PatientName", PatientID="4711", SpecificCharacterSet="ISO_IR 100"), PENDING),
        (query("PatientWeight"), PENDING),
        (query(PatientWeight="70"), PENDING_WITH_UNSUPPORTED_KEYS),
        (query("BarcodeValue"), PENDING_WITH_UNSUPPORTED_KEYS),
        (query("TimezoneOffsetFromUTC"), PENDING),
        (query(step=("Modality", "ScheduledProcedureStepEndDate")), PENDING_WITH_UNSUPPORTED_KEYS),
        (query("PertinentDocumentsSequence"), PENDING),
    ],
)
def test_the_pending_status_says_whether_every_key_is_supported(asked: Dataset, status: int) -> None:
    assert planned(asked).pending_status == status


def test_an_attribute_without_a_row_is_left_out() -> None:
    assert "BarcodeValue" not in answer(query("BarcodeValue", "PatientID"))


def test_only_the_asked_members_of_a_code_are_returned() -> None:
    asked = Dataset()
    asked.RequestedProcedureCodeSequence = [query("CodeValue")]

    item = answer(asked).RequestedProcedureCodeSequence[0]

    assert [element.keyword for element in item] == ["CodeValue"]


def test_a_name_that_is_not_asked_needs_no_character_set() -> None:
    assert "SpecificCharacterSet" not in answer(query("PatientID", charset="ISO_IR 100"), LATIN)


def test_an_ascii_answer_names_no_character_set() -> None:
    assert "SpecificCharacterSet" not in answer(query("PatientName", charset="ISO_IR 192"))


@pytest.mark.parametrize(
    ("charset", "values", "said"),
    [
        ("ISO_IR 100", LATIN, "ISO_IR 100"),
        ("ISO_IR 144", LATIN, "ISO_IR 192"),
        ("", LATIN, "ISO_IR 192"),
        ("ISO_IR 999", LATIN, "ISO_IR 192"),
        ("ISO_IR 100", JAPANESE, "ISO_IR 192"),
        ("GB18030", JAPANESE, "GB18030"),
        ("ISO_IR 203", {**VALUES, "PatientName": "Šimon€^Œ"}, "ISO_IR 203"),
        ("ISO_IR 100", {**VALUES, "PatientName": "Šimon€^Œ"}, "ISO_IR 192"),
    ],
)
def test_the_answer_speaks_the_query_s_set_when_it_holds_the_answer(
    charset: str, values: dict[str, Any], said: str
) -> None:
    found = answer(query("PatientName", charset=charset), values)

    assert found.SpecificCharacterSet == said
    raw = found.get_item("PatientName").value.rstrip(b" ")
    codec = {"ISO_IR 203": "iso8859_15", "ISO_IR 100": "latin_1", "GB18030": "gb18030"}.get(said, "utf_8")
    assert raw.decode(codec) == values["PatientName"]


def test_a_japanese_scanner_gets_its_own_sets_with_escapes() -> None:
    found = answer(query("PatientName", charset="\\ISO 2022 IR 87"), JAPANESE)

    assert list(found.SpecificCharacterSet) == ["", "ISO 2022 IR 87"]
    assert str(found.PatientName) == JAPANESE["PatientName"]
    assert (
        b"\x1b$B" in found.get_item("PatientName").value
        if isinstance(found.get_item("PatientName").value, bytes)
        else True
    )


def test_other_transfer_syntaxes_are_refused() -> None:
    with pytest.raises(ValueError, match="Little Endian"):
        planned(query("PatientID"), JPEGBaseline8Bit)


def test_one_value_of_a_stored_step_is_decoded() -> None:
    elements = encode(ROWS, LATIN, FACTS)

    assert value_of(ROWS, elements, "PatientName") == "Müller^Jörg"
    assert value_of(ROWS, elements, f"{STEP}.ScheduledStationAETitle") == ["CT1", "CT2"]
    assert value_of(ROWS, elements, "PregnancyStatus") == "3"
    assert value_of(ROWS, elements, "Allergies") == ["Penicillin", "Nuts"]
    assert value_of(ROWS, elements, "RequestedProcedureCodeSequence") == VALUES["RequestedProcedureCodeSequence"]
    assert value_of(ROWS, elements, "OtherPatientIDsSequence") == [
        {"PatientID": "X77", "IssuerOfPatientID": "OTHER", "TypeOfPatientID": "TEXT"}
    ]
    assert value_of(ROWS, elements, "ReferencedStudySequence") == [
        {"ReferencedSOPClassUID": "1.2.840.10008.3.1.2.3.1", "ReferencedSOPInstanceUID": "1.2.3.55"}
    ]
    assert value_of(ROWS, elements, "RequestingPhysician") is None
    assert value_of(ROWS, elements, "NoSuchRow") is None


def test_elements_that_other_rows_made_are_read_by_their_tags() -> None:
    fewer = RowSet(row for row in ROWS.rows if row.key not in ("Allergies", f"{STEP}.ScheduledStationName"))
    more = RowSet([*ROWS.rows, build_row("PatientInsurancePlanCodeSequence", RowSpec(match="sequence"))])
    asked = everything()
    made_before = encode(fewer, LATIN, FACTS)

    found = decoded(planned(asked, rows=more).dataset(made_before), ImplicitVRLittleEndian)

    assert found.PatientName == "Müller^Jörg"
    assert found["Allergies"].is_empty
    assert found[STEP].value[0].ScheduledProtocolCodeSequence[0].CodeMeaning == "Schädel"
    assert value_of(more, made_before, "PatientName") == "Müller^Jörg"
    assert relaid(fewer.layout, made_before) == made_before


def test_bytes_that_are_no_stored_form_are_refused() -> None:
    with pytest.raises(ValueError, match="stored form"):
        value_of(ROWS, b"nonsense", "PatientName")
