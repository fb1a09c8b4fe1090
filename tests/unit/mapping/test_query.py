"""Worklist identifiers read: each key to its predicate, what filters nothing, what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from broker.domain.matching import (
    START,
    All,
    AnyItem,
    AnyOf,
    Between,
    Either,
    Equals,
    Like,
    Meaning,
    NameLike,
    Predicate,
    Station,
)
from broker.errors import UnreadableDataset
from broker.mapping.query import WorklistQuery, read_query
from broker.site.profile import load
from tests.unit.dataset.test_reading import encoded

ROWS = load(None).rows
STEP = "ScheduledProcedureStepSequence"


def read(step: dict[str, Any] | None = None, syntax: str = ImplicitVRLittleEndian, **keys: Any) -> WorklistQuery:
    asked = Dataset()
    asked.SpecificCharacterSet = "ISO_IR 192"
    for keyword, value in keys.items():
        setattr(asked, keyword, value)
    if step is not None:
        asked.ScheduledProcedureStepSequence = [item_of(**step)]
    return read_query(ROWS, encoded(asked, syntax), syntax, "CT9")


def item_of(**values: Any) -> Dataset:
    item = Dataset()
    for keyword, value in values.items():
        setattr(item, keyword, value)
    return item


def only(query: WorklistQuery) -> Predicate:
    [part] = query.tree.parts
    return part


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian])
@pytest.mark.parametrize(
    ("keys", "predicate"),
    [
        ({"PatientID": "P1"}, Equals("PatientID", "P1")),
        ({"PatientID": " P1 "}, Equals("PatientID", "P1")),
        ({"PatientID": "P*"}, Like("PatientID", "P*")),
        ({"PatientName": "Müller*"}, NameLike("PatientName", "muller*")),
        ({"StudyInstanceUID": ["1.2", "1.3"]}, AnyOf("StudyInstanceUID", frozenset({"1.2", "1.3"}))),
        ({"AccessionNumber": "A%_"}, Equals("AccessionNumber", "A%_")),
    ],
)
def test_each_key_becomes_its_predicate(keys, predicate, syntax):
    assert only(read(syntax=syntax, **keys)) == predicate


@pytest.mark.parametrize(
    ("step", "predicate"),
    [
        ({"Modality": "CT"}, Equals(f"{STEP}.Modality", "CT")),
        ({"Modality": "C*"}, Like(f"{STEP}.Modality", "C*")),
        ({"ScheduledStationAETitle": "CT1"}, Station("CT1")),
        ({"ScheduledStationAETitle": ["CT1", "CT2"]}, Either((Station("CT1"), Station("CT2")))),
        ({"ScheduledPerformingPhysicianName": "Tech*"}, NameLike(f"{STEP}.ScheduledPerformingPhysicianName", "tech*")),
    ],
)
def test_each_key_of_the_step_becomes_its_predicate(step, predicate):
    assert only(read(step)) == predicate


@pytest.mark.parametrize("value", ["", "*", "**"])
def test_a_universal_key_filters_nothing(value):
    assert read({"Modality": value, "ScheduledStationAETitle": value}, PatientName=value, PatientID=value).tree == All()


def test_an_absent_or_empty_step_sequence_filters_nothing():
    assert read().tree == All()
    assert read({}).tree == All()


def test_a_key_without_a_row_filters_nothing_and_is_told_as_not_supported():
    query = read(EthnicGroup="X")

    assert query.tree == All()
    assert query.plan.pending_status == 0xFF01


def test_all_keys_of_a_code_are_asked_of_one_item():
    query = read({"ScheduledProtocolCodeSequence": [item_of(CodeValue="X", CodingSchemeDesignator="99L")]})

    part = only(query)
    assert isinstance(part, AnyItem)
    assert part.key == f"{STEP}.ScheduledProtocolCodeSequence"
    assert set(part.item.parts) == {Equals("CodeValue", "X"), Equals("CodingSchemeDesignator", "99L")}


@pytest.mark.parametrize(
    ("date", "time", "predicates"),
    [
        ("20260302", "", [Between(START, "20260302000000", "20260302999999")]),
        ("20260302-", "", [Between(START, "20260302000000", None)]),
        ("-20260302", "", [Between(START, None, "20260302999999")]),
        ("2026.03.02", "", [Between(START, "20260302000000", "20260302999999")]),
        ("20260705-20260707", "100000-180000", [Between(START, "20260705100000", "20260707180000.999999")]),
        ("20260705-", "10-", [Between(START, "20260705100000", None)]),
        ("-20260707", "-1800", [Between(START, None, "20260707180059.999999")]),
        ("20260705", "1000-", [Between(START, "20260705100000", "20260705999999")]),
        ("20260705", "101530.5", [Between(START, "20260705101530.500000", "20260705101530.599999")]),
    ],
)
def test_start_date_and_time_are_one_interval(date, time, predicates):
    query = read({"ScheduledProcedureStepStartDate": date, "ScheduledProcedureStepStartTime": time})

    assert list(query.tree.parts) == predicates


@pytest.mark.parametrize(
    ("date", "time"), [("20260705-20260707", "1000-"), ("20260705-", "-1800"), ("-20260707", "10")]
)
def test_start_date_and_time_of_unlike_forms_are_asked_apart(date, time):
    query = read({"ScheduledProcedureStepStartDate": date, "ScheduledProcedureStepStartTime": time})

    assert [part.key for part in query.tree.parts] == [START, f"{STEP}.ScheduledProcedureStepStartTime"]


def test_a_time_without_date_is_asked_of_every_day():
    query = read({"ScheduledProcedureStepStartTime": "1015"})

    key = f"{STEP}.ScheduledProcedureStepStartTime"
    assert only(query) == Between(key, "101500.000000", "101559.999999", Meaning.TIME)


@pytest.mark.parametrize(
    ("station", "returned"), [("CT1", "CT1"), ("", "CT9"), ("CT*", "CT9"), (["C?", "MR1"], "MR1"), (None, "CT9")]
)
def test_an_open_step_names_the_station_asked_for_or_the_caller(station, returned):
    step = {} if station is None else {"ScheduledStationAETitle": station}

    assert read(step).station == returned


@pytest.mark.parametrize(("status", "names"), [("SCHEDULED", True), ("*", False), ("", False), ("COMP*", True)])
def test_a_query_knows_whether_it_names_a_status(status, names):
    assert read({"ScheduledProcedureStepStatus": status}).names_status is names


@pytest.mark.parametrize(
    ("step", "tag"),
    [
        ({"ScheduledProcedureStepStartDate": "yesterday"}, 0x00400002),
        ({"ScheduledProcedureStepStartDate": "20261301"}, 0x00400002),
        ({"ScheduledProcedureStepStartDate": "2026*"}, 0x00400002),
        ({"ScheduledProcedureStepStartDate": "-"}, 0x00400002),
        ({"ScheduledProcedureStepStartDate": ["20260302", "20260303"]}, 0x00400002),
        ({"ScheduledProcedureStepStartTime": "2530"}, 0x00400003),
        ({"ScheduledProcedureStepStartTime": "10-11-12"}, 0x00400003),
        ({"ScheduledProtocolCodeSequence": [item_of(CodeValue="A"), item_of(CodeValue="B")]}, 0x00400008),
        ({"Modality": ["X"] * 101}, 0x00080060),
        ({"Modality": "C\0T"}, 0x00080060),
    ],
)
def test_a_key_that_means_nothing_is_refused_by_name(step, tag):
    with pytest.raises(UnreadableDataset) as refused:
        read(step)

    assert refused.value.facts["tags"] == (tag,)


def test_two_steps_in_one_query_are_refused():
    with pytest.raises(UnreadableDataset) as refused:
        read(ScheduledProcedureStepSequence=[item_of(Modality="CT"), item_of(Modality="MR")])

    assert refused.value.facts["tags"] == (0x00400100,)


def test_an_empty_identifier_asks_for_everything():
    assert read_query(ROWS, b"", ImplicitVRLittleEndian, "CT9").tree == All()


def test_a_sequence_key_that_is_no_sequence_is_refused():
    broken = Dataset()
    broken.add_new(0x00400100, "LO", "CT")

    with pytest.raises(UnreadableDataset):
        read_query(ROWS, encoded(broken, ExplicitVRLittleEndian), ExplicitVRLittleEndian, "CT9")


@pytest.mark.parametrize("value", [b"* ", b"??", b"1e"])
def test_a_key_without_matching_may_hold_anything(value):
    whole = b"\x10\x00\x30\x10" + len(value).to_bytes(4, "little") + value

    query = read_query(ROWS, whole, ImplicitVRLittleEndian, "CT9")

    assert query.tree == All()
    assert query.plan.pending_status == 0xFF01
