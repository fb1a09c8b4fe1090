"""Worklist files read: every form gives the same request; what is no item, broken or contradictory is told apart."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from broker.domain.request import Identifier, Issuer, KeepMessage, PlaceOrder, ReceivedMessage
from broker.errors import UnreadableDataset
from broker.mapping.worklist_file import MOST_BYTES, NoWorklistItem, lines_of, read_file
from broker.mapping.worklist_item import WorklistItem, read_item
from broker.site.profile import load
from tests.kit.worklist_files import FORMS, dump, encoded, item

SITE = load(None)
STEP = "ScheduledProcedureStepSequence."
RECEIVED = ReceivedMessage(b"", "import", datetime(2026, 3, 1, tzinfo=UTC), SITE.sender("import", ""))


def read(raw: bytes) -> WorklistItem:
    return read_item(raw, RECEIVED, SITE)


def request(dataset: Dataset, form: str = "part10") -> PlaceOrder:
    found = read(encoded(dataset, form)).request
    assert isinstance(found, PlaceOrder)
    return found


def refusal(dataset: Dataset) -> str:
    found = read(encoded(dataset)).request
    assert isinstance(found, KeepMessage)
    return found.reason


def an_issuer(namespace: str, universal_id: str = "") -> Dataset:
    made = Dataset()
    made.LocalNamespaceEntityID = namespace
    if universal_id:
        made.UniversalEntityID, made.UniversalEntityIDType = universal_id, "ISO"
    return made


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_a_file_gives_the_same_request(form: str) -> None:
    assert request(item(7), form) == request(item(7))


def test_values_stand_where_their_rows_put_them() -> None:
    found = request(item(7, step={"ScheduledStationAETitle": ["CT1", "CT2"]}))
    (order,) = found.orders

    assert found.patient.identifiers == (Identifier("P7"),)
    assert found.patient.changes["PatientName"] == "DÖE7^JANE"
    assert (order.accession, order.requested_procedure_id) == (Identifier("A7"), "R7")
    assert (order.study_uid, order.step_id, order.control) == ("1.2.3.7", "S7", "NW")
    assert order.step[f"{STEP}ScheduledStationAETitle"] == ["CT1", "CT2"]
    assert order.step[f"{STEP}ScheduledProcedureStepStartDate"] == "20260302"
    assert order.step["RequestedProcedureDescription"] == "CT CHEST"


def test_issuers_are_read_beside_their_numbers() -> None:
    other = Dataset()
    other.PatientID, other.IssuerOfPatientID = "X9", "ELSEWHERE"

    found = request(
        item(
            7, IssuerOfPatientID="HOSP", IssuerOfPatientIDQualifiersSequence=[an_issuer("", "1.2.9")],
            PlacerOrderNumberImagingServiceRequest="PO7", OrderPlacerIdentifierSequence=[an_issuer("RIS")],
            FillerOrderNumberImagingServiceRequest="FO7", IssuerOfAccessionNumberSequence=[an_issuer("LAB", "1.2.8")],
            OtherPatientIDsSequence=[other],
        )
    )  # fmt: skip

    assert found.patient.identifiers == (
        Identifier("P7", Issuer("HOSP", "1.2.9", "ISO")),
        Identifier("X9", Issuer("ELSEWHERE")),
    )
    assert found.orders[0].placer == Identifier("PO7", Issuer("RIS"))
    assert found.orders[0].filler == Identifier("FO7")
    assert found.orders[0].accession == Identifier("A7", Issuer("LAB", "1.2.8", "ISO"))


def test_zero_length_says_nothing() -> None:
    found = request(item(7, AccessionNumber="", RequestedProcedureDescription="", MedicalAlerts=""))

    assert found.orders[0].accession is None
    assert not {"RequestedProcedureDescription", "MedicalAlerts"} & found.orders[0].step.keys()


def test_each_item_of_the_sequence_is_a_step() -> None:
    dataset = item(7)
    second = Dataset()
    second.Modality, second.ScheduledProcedureStepID = "MR", "S8"
    dataset.ScheduledProcedureStepSequence.append(second)

    found = request(dataset)

    assert [(order.group, order.step_id, order.step[f"{STEP}Modality"]) for order in found.orders] == [
        (1, "S7", "CT"),
        (2, "S8", "MR"),
    ]


def test_a_day_without_a_time_begins_at_midnight_and_a_time_without_a_day_says_nothing() -> None:
    day = request(item(7, step={"ScheduledProcedureStepStartTime": None})).orders[0].step
    time = request(item(7, step={"ScheduledProcedureStepStartDate": None})).orders[0].step

    assert day[f"{STEP}ScheduledProcedureStepStartTime"] == "000000"
    assert f"{STEP}ScheduledProcedureStepStartTime" not in time


@pytest.mark.parametrize(("stated", "read_as"), [("ARRIVED", "ARRIVED"), ("PERHAPS", ""), ("", "")])
def test_the_state_that_a_file_states_is_read_when_it_is_one(stated: str, read_as: str) -> None:
    assert request(item(7, step={"ScheduledProcedureStepStatus": stated})).orders[0].stated == read_as


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"PatientName": None}, "PatientName"),
        ({"PatientName": ""}, "PatientName"),
        ({"PatientID": None}, "PatientID"),
        ({"PatientID": ["P1", "P2"]}, "PatientID"),
        ({"AccessionNumber": "A" * 17}, "AccessionNumber"),
        ({"StudyInstanceUID": "no uid"}, "StudyInstanceUID"),
    ],
)
def test_a_value_that_no_order_may_have_refuses_the_file_and_is_named(changed: dict[str, Any], reason: str) -> None:
    assert reason in refusal(item(7, **changed))


def test_a_start_that_cannot_be_read_refuses_the_file() -> None:
    assert "StartDate" in refusal(item(7, step={"ScheduledProcedureStepStartDate": "20260301-20260302"}))


def test_what_no_row_takes_is_named_once() -> None:
    found = read(
        encoded(item(7, PatientAge="056Y", ContentDate="", step={"ScheduledProcedureStepEndDate": "20260303"}))
    )

    assert found.without_row == {"PatientAge", "ScheduledProcedureStepEndDate"}


def test_names_in_an_undeclared_character_set_are_read_as_the_site_assumes() -> None:
    raw = encoded(item(7, SpecificCharacterSet="ISO_IR 100", PatientName="MÜLLER^ANNA"), "bare explicit")
    begin = raw.index(b"\x08\0\x05\0")
    undeclared = raw[:begin] + raw[begin + 8 + raw[begin + 6] :]

    found = read(undeclared).request

    assert isinstance(found, PlaceOrder)
    assert found.patient.changes["PatientName"] == "MÜLLER^ANNA"
    assert any("character set" in warning for warning in found.warnings)


OTHER = Dataset()
OTHER.SOPClassUID, OTHER.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.2", "1.2.3"


@pytest.mark.parametrize(
    "raw",
    [b"", b"hello, world, this is no DICOM", b"%PDF-1.7\n" + bytes(900), b"\x89PNG\r\n\x1a\n" + bytes(500),
     encoded(OTHER), encoded(OTHER, "bare implicit"), b"\0" * (MOST_BYTES + 1), bytes(300)],
    ids=["empty", "text", "pdf", "png", "an image", "a bare image", "huge", "zeros"],
)  # fmt: skip
def test_what_is_no_worklist_is_told_from_what_is_broken(raw: bytes) -> None:
    with pytest.raises(NoWorklistItem):
        read_file(raw)


def test_an_empty_sequence_is_no_worklist_item() -> None:
    dataset = item(7)
    dataset.ScheduledProcedureStepSequence = []

    with pytest.raises(NoWorklistItem):
        read_file(encoded(dataset))


@pytest.mark.parametrize("form", [form for form in FORMS if form != "bare big endian"])
def test_half_a_file_is_broken_or_lacks_its_steps(form: str) -> None:
    whole = encoded(item(7), form)

    with pytest.raises(UnreadableDataset):
        read_file(whole[: len(whole) * 2 // 3])


def test_a_deflated_file_is_not_inflated_without_end() -> None:
    bomb = encoded(
        item(7, PatientComments="x" * (2 * MOST_BYTES), SpecificCharacterSet=None, PatientName="A"), "deflated"
    )

    assert len(bomb) < MOST_BYTES
    with pytest.raises(UnreadableDataset):
        read_file(bomb)


@given(st.binary(max_size=400))
def test_whatever_the_bytes_are_there_is_an_item_or_a_reason(noise: bytes) -> None:
    for raw in (noise, b"\0" * 128 + b"DICM" + noise, encoded(item(1))[:200] + noise):
        try:
            read(raw)
        except UnreadableDataset as error:
            said = error.text
        else:
            said = "an item"
        assert said
        assert lines_of(raw)


class TestDumps:
    """Dumps as people write them."""

    def test_values_need_no_brackets_and_no_order_and_the_first_of_two_counts(self) -> None:
        text = (
            "# by hand\n\n(0010,0020) LO  P1\n(0008,0050) SH [ A1 ]\n(0008,0050) SH A2\n(0010,0010) PN DOE^JANE # her\n"
        )
        text += "(0040,0100) SQ\n(fffe,e000) -\n(0008,0060) CS CT\n(fffe,e00d) -\n(fffe,e0dd) -\n"

        found = read(text.encode()).request

        assert isinstance(found, PlaceOrder)
        assert found.patient.identifiers == (Identifier("P1"),)
        assert found.orders[0].accession == Identifier("A1")

    def test_a_value_over_several_lines_is_read_whole(self) -> None:
        text = dump(item(7, PatientComments="PLACE")).replace("PLACE", "first\r\nsecond ] third")

        found = read(text.encode()).request

        assert isinstance(found, PlaceOrder)
        assert found.patient.changes["PatientComments"] == "first\r\nsecond ] third"

    def test_a_value_that_dcmdump_shortened_is_left_out_and_said(self) -> None:
        text = dump(item(7, PatientComments="PLACE")).replace("[PLACE] #", "[very long and cut ... #")

        found = read(text.encode()).request

        assert isinstance(found, PlaceOrder)
        assert "PatientComments" not in found.patient.changes
        assert any("shortened" in warning for warning in found.warnings)

    @pytest.mark.parametrize(
        "text",
        ["(0010,0010) PN [A\n", "(0010,0010) PN A\nnonsense\n", "(0040,0100) SQ\n(fffe,e000) -\n", "(0040,0100) SQ\n",
         "(0010,0010) PN A\n(fffe,e000) -\n", "(0010,0010) PN A\n(fffe,e00d) -\n", "(0010,0010) PN A\n(fffe,e0dd) -\n",
         "(0010,21c0) US [many]\n", "(0040,0100) SQ\n(0010,0010) PN A\n", "(0040,0100) SQ\n(fffe,e000) -\n" * 40],
    )  # fmt: skip
    def test_a_dump_that_does_not_close_or_fit_is_broken(self, text: str) -> None:
        with pytest.raises(UnreadableDataset):
            read(text.encode())

    @given(st.text(alphabet="(0123456789abcdef,)[] \n#SQPN-\\=", max_size=300))
    def test_whatever_a_dump_says_there_is_an_item_or_a_reason(self, text: str) -> None:
        try:
            read(b"(0010,0010) PN [A]\n" + text.encode())
        except UnreadableDataset as error:
            said = error.text
        else:
            said = "an item"
        assert said
