"""ORM^O01 read: what each row of the shipped profile gives, what is kept, deleted, warned of, and what refuses."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.domain.request import (
    DELETE,
    NO_ISSUER,
    Cause,
    Identifier,
    Issuer,
    KeepMessage,
    PlaceOrder,
    ReceivedMessage,
    Sender,
)
from broker.hl7v2.reader import read as read_segments
from broker.mapping.messages import orm_o01
from tests.unit.mapping.reading import (
    STEP,
    Reading,
    message,
    only_order,
    order,
    placed,
    read,
    refused,
    segment,
    site_rows,
)


def step_of(*segments: str, **options: Any) -> Any:
    return only_order(*segments, **options).step


@pytest.mark.parametrize(
    ("orc", "obr", "key", "value"),
    [
        ({}, {24: "ct"}, STEP + "Modality", "CT"),
        ({18: "CT_1"}, {}, STEP + "ScheduledStationAETitle", ["CT_1"]),
        ({}, {34: "9&Tech&Tom"}, STEP + "ScheduledPerformingPhysicianName", "Tech^Tom"),
        ({}, {4: "A^B^L^C^D^L"}, STEP + "ScheduledProcedureStepDescription", "D"),
        ({}, {4: "A^B^L"}, STEP + "ScheduledProcedureStepDescription", "B"),
        ({}, {4: "A^B^L^C^D^99X"}, STEP + "ScheduledProtocolCodeSequence", [
            {"CodeValue": "C", "CodingSchemeDesignator": "99X", "CodeMeaning": "D"}]),
        ({}, {4: "A^B^L", 44: "E^F^L"}, "RequestedProcedureDescription", "F"),
        ({}, {4: "A^B^L", 44: "^F^L"}, "RequestedProcedureCodeSequence", [
            {"CodeValue": "A", "CodingSchemeDesignator": "L", "CodeMeaning": "B"}]),
        ({7: "^^^20260302101500^^S"}, {}, "RequestedProcedurePriority", "STAT"),
        ({7: "^^^20260302101500^^C"}, {}, "RequestedProcedurePriority", "HIGH"),
        ({7: "^^^20260302101500^^X"}, {}, "RequestedProcedurePriority", "ROUTINE"),
        ({}, {31: "^cough~^fever"}, "ReasonForTheRequestedProcedure", "cough"),
        ({}, {31: "R05"}, "ReasonForTheRequestedProcedure", "R05"),
        ({}, {30: "WALK"}, "PatientTransportArrangements", "WALK"),
        ({28: "V^Very restricted"}, {}, "ConfidentialityCode", "Very restricted"),
        ({}, {16: "7^Refer^Rita"}, "RequestingPhysician", "Refer^Rita"),
        ({12: "7^Order^Otto"}, {}, "RequestingPhysician", "Order^Otto"),
        ({2: "PO1^OP^1.2^ISO"}, {}, "OrderPlacerIdentifierSequence", [
            {"LocalNamespaceEntityID": "OP", "UniversalEntityID": "1.2", "UniversalEntityIDType": "ISO"}]),
        ({17: "RAD^Radiology^L"}, {}, "InstitutionName", "Radiology"),
        ({}, {12: "B^Infectious"}, "PatientState", "Infectious"),
        ({}, {13: "pacemaker~metal"}, "MedicalAlerts", ["pacemaker", "metal"]),
    ],
)  # fmt: skip
def test_fields_of_the_order_give_values_of_the_step(orc: Any, obr: Any, key: str, value: Any) -> None:
    assert step_of(*order(orc=orc, obr=obr))[key] == value


@pytest.mark.parametrize(
    ("segments", "key", "value"),
    [
        (("AL1|1||C1^Nuts", "AL1|2||^Latex"), "Allergies", ["Nuts", "Latex"]),
        (("NTE|1||one", "NTE|2||two"), "RequestedProcedureComments", "one\ntwo"),
        (("OBX|1|NM|^Body Weight||72|kg",), "PatientWeight", "72"),
        (("OBX|1|NM|29463-7^Weight^LN||158.73|[lb_av]",), "PatientWeight", "71.998717"),
        (("OBX|1|NM|^Body Height||180|cm",), "PatientSize", "1.8"),
    ],
)
def test_segments_after_the_order_give_values_of_the_step(segments: tuple[str, ...], key: str, value: Any) -> None:
    assert step_of(*order(after=segments))[key] == value


@pytest.mark.parametrize(
    ("fields", "key", "value"),
    [
        ({7: "19710423"}, "PatientBirthDate", "19710423"),
        ({7: "19710423003000+0900"}, "PatientBirthDate", "19710423"),
        ({8: "f"}, "PatientSex", "F"),
        ({8: "A"}, "PatientSex", "O"),
        ({8: "U"}, "PatientSex", DELETE),
        ({11: "1 Main^^Town"}, "PatientAddress", "1 Main, Town"),
        ({13: "(020) 1~(020) 2", 14: "(020) 3"}, "PatientTelephoneNumbers", ["(020) 1", "(020) 2", "(020) 3"]),
        ({15: "en^English^ISO639"}, "PatientPrimaryLanguageCodeSequence", [
            {"CodeValue": "en", "CodingSchemeDesignator": "ISO639", "CodeMeaning": "English"}]),
    ],
)  # fmt: skip
def test_fields_of_pid_give_values_of_the_patient(fields: dict[int, str], key: str, value: Any) -> None:
    found = placed(*order(pid=segment("PID", {3: "4711^^^HOSP", 5: "Brook^Clara", **fields})))

    assert found.patient.changes[key] == value


def test_notes_under_pid_are_the_patient_s() -> None:
    found = placed(*order(notes=("NTE|1||likes tea",)))

    assert found.patient.changes["PatientComments"] == "likes tea"
    assert "RequestedProcedureComments" not in found.orders[0].step


@pytest.mark.parametrize(
    ("pv1", "key", "value"),
    [
        ("PV1||O|R^^^HOSP", "CurrentPatientLocation", "R^^^HOSP"),
        ("PV1||I", "RouteOfAdmissions", "I"),
        ("PV1||O|||||||||||||B6", "PregnancyStatus", "3"),
        ("PV1||O|||||||||||||A0", "PregnancyStatus", DELETE),
        ("PV1||O||||||7^Refer^Rita", "ReferringPhysicianName", "Refer^Rita"),
        ("PV1||O|||||||||||||||||V55^^^AA", "AdmissionID", "V55"),
        ("PV1||O|||||||||||||||||V55^^^AA", "IssuerOfAdmissionIDSequence", [{"LocalNamespaceEntityID": "AA"}]),
        ("PV1||O", "AdmissionID", "A77"),
        ("PV1||O", "IssuerOfAdmissionIDSequence", [{"LocalNamespaceEntityID": "ACC"}]),
    ],
)
def test_fields_of_pv1_give_values_of_the_visit(pv1: str, key: str, value: Any) -> None:
    pid = segment("PID", {3: "4711", 5: "Brook^Clara", 18: "A77^^^ACC"})

    assert only_order(*order(pid=pid, pv1=pv1)).visit[key] == value


def test_an_issuer_is_taken_from_the_field_that_gave_the_number() -> None:
    pid = segment("PID", {3: "4711", 5: "Brook^Clara", 18: "A77^^^ACC"})

    visit = only_order(*order(pid=pid, pv1="PV1||O|||||||||||||||||V55")).visit

    assert visit["AdmissionID"] == "V55"
    assert "IssuerOfAdmissionIDSequence" not in visit


def test_identifiers_are_read_where_the_rows_say_with_their_issuers() -> None:
    found = only_order(*order(
        orc={2: "PO1^OP^1.2^ISO", 3: "FO1^OF"}, obr={18: "ACC1", 19: "RP1", 20: "SPS1"}, after=("ZDS|1.2.3^x^y^DICOM",)
    ))  # fmt: skip

    assert found.placer == Identifier("PO1", Issuer("OP", "1.2", "ISO"))
    assert found.filler == Identifier("FO1", Issuer("OF"))
    assert found.accession == Identifier("ACC1")
    assert (found.requested_procedure_id, found.step_id, found.study_uid) == ("RP1", "SPS1", "1.2.3")


def test_order_numbers_come_from_obr_where_orc_has_none() -> None:
    found = only_order(*order(orc={2: ""}, obr={2: "PO2^OP", 3: "FO2"}))

    assert (found.placer, found.filler) == (Identifier("PO2", Issuer("OP")), Identifier("FO2"))


def test_sources_that_differ_are_warned_of() -> None:
    found = placed(*order(obr={2: "PO9"}))

    assert found.orders[0].placer == Identifier("PO1")
    assert found.warnings == ("PlacerOrderNumberImagingServiceRequest: its sources differ, the first counts",)


def test_all_numbers_of_the_patient_are_read_in_their_order() -> None:
    found = placed(*order(pid="PID|||1^^^A&1.2&ISO^MR~2~3^^^C||Brook"))

    assert found.patient.identifiers == (
        Identifier("1", Issuer("A", "1.2", "ISO")),
        Identifier("2", NO_ISSUER),
        Identifier("3", Issuer("C")),
    )


def test_no_identifier_is_among_the_changes() -> None:
    found = placed(*order(obr={18: "ACC1", 19: "RP1", 20: "SPS1"}))

    changes = {*found.patient.changes, *found.orders[0].visit, *found.orders[0].step}

    assert not changes & {"PatientID", "AccessionNumber", "RequestedProcedureID", STEP + "ScheduledProcedureStepID"}


def test_an_empty_field_says_nothing_and_two_quotes_delete() -> None:
    step = step_of(*order(obr={13: '""', 31: "", 16: '""'}))

    assert step["MedicalAlerts"] is DELETE
    assert step["RequestingPhysician"] is DELETE
    assert "ReasonForTheRequestedProcedure" not in step


def test_a_type_1_value_is_not_deleted() -> None:
    found = placed(*order(obr={24: '""'}))

    assert STEP + "Modality" not in found.orders[0].step
    assert found.warnings == (f"{STEP}Modality: must have a value, is not deleted",)


@pytest.mark.parametrize(
    ("stamp", "date", "time"),
    [
        ("20260302101500", "20260302", "101500"),
        ("202603021015", "20260302", "101500"),
        ("20260302", "20260302", "000000"),
        ("20260302101500+0500", "20260302", "061500"),
        ("20260302233000-0500", "20260303", "053000"),
        ("20260302000000.000+0100", "20260302", "000000"),
    ],
)
def test_a_start_is_told_by_the_department_s_clock(stamp: str, date: str, time: str) -> None:
    step = step_of(*order(orc={7: f"^^^{stamp}"}))

    assert step[STEP + "ScheduledProcedureStepStartDate"] == date
    assert step[STEP + "ScheduledProcedureStepStartTime"] == time


def test_a_start_is_looked_for_in_tq1_orc_7_and_obr_27() -> None:
    key = STEP + "ScheduledProcedureStepStartDate"

    assert step_of(*order(obr={27: "^^^20260305"}))[key] == "20260305"
    assert step_of(*order(orc={7: "^^^20260304"}, obr={27: "^^^20260305"}))[key] == "20260304"
    assert step_of(*order(orc={7: "^^^20260304"}, after=("TQ1|1||||||20260303",)))[key] == "20260303"
    assert key not in step_of(*order())


@pytest.mark.parametrize(
    ("segments", "cause", "subject", "group"),
    [
        (("PID|||4711||Brook",), Cause.MISSING, "ORC", 0),
        (("PID|||4711||Brook", "OBR|1"), Cause.MISSING, "ORC", 0),
        (order(pid="PID|||^^^HOSP||Brook"), Cause.MISSING, "PatientID", 0),
        (order(pid='PID|||""||Brook'), Cause.MISSING, "PatientID", 0),
        (order(pid="PV1||O"), Cause.MISSING, "PatientID", 0),
        (order(pid="PID|||4711||^^"), Cause.MISSING, "PatientName", 0),
        (order(pid='PID|||4711||""'), Cause.MISSING, "PatientName", 0),
        (order(pid="PID|||" + "x" * 65 + "||Brook"), Cause.TOO_LONG, "PatientID", 0),
        (order(pid="PID|||4711^^^" + "x" * 228 + "||Brook"), Cause.TOO_LONG, "PatientID", 0),
        (order(pid="PID|||4711^^^HOSP&1.2&" + "x" * 21 + "||Brook"), Cause.TOO_LONG, "PatientID", 0),
        (order(pid="PID|||4711^^^HO\0SP||Brook"), Cause.UNREADABLE, "PatientID", 0),
        (order(pid=r"PID|||47\E\11||Brook"), Cause.UNREADABLE, "PatientID", 0),
        (order(pid="PID|||47\ufffd11||Brook"), Cause.UNREADABLE, "PatientID", 0),
        (order(obr={18: "x" * 17}), Cause.TOO_LONG, "AccessionNumber", 1),
        (order(obr={20: "x" * 17}), Cause.TOO_LONG, STEP + "ScheduledProcedureStepID", 1),
        (order(after=("ZDS|../../etc",)), Cause.UNREADABLE, "StudyInstanceUID", 1),
        (order(after=("ZDS|1." + "2" * 63,)), Cause.TOO_LONG, "StudyInstanceUID", 1),
        (order(orc={7: "^^^tomorrow"}), Cause.UNREADABLE, STEP + "ScheduledProcedureStepStartDate", 1),
        (order(orc={7: "^^^202603"}), Cause.UNREADABLE, STEP + "ScheduledProcedureStepStartDate", 1),
        (order(orc={7: "^^^20260230"}), Cause.UNREADABLE, STEP + "ScheduledProcedureStepStartDate", 1),
        ((*order(), "PID|||4712||Stone", *order()[1:]), Cause.CONTRADICTION, "PatientID", 0),
        (("PID|||4711||Brook", *(["ORC|NW|PO1"] * 1001)), Cause.TOO_MANY, "ORC", 1001),
    ],
)
def test_what_refuses_a_message(segments: tuple[str, ...], cause: Cause, subject: str, group: int) -> None:
    refusal = refused(*segments)

    assert (refusal.cause, refusal.subject, refusal.group) == (cause, subject, group)


def test_a_refusal_quotes_no_value() -> None:
    refusal = refused(*order(pid="PID|||" + "47110815" * 9 + "||Brook^Clara"))

    assert "4711" not in refusal.text
    assert "Brook" not in refusal.text


@pytest.mark.parametrize(
    ("options", "key", "kept", "warning"),
    [
        ({"obr": {24: "RAD"}}, STEP + "Modality", "RAD", "not a modality that the standard knows, kept as sent"),
        ({"obr": {24: "C-T"}}, STEP + "Modality", None, "not a value of CS, left out"),
        ({"obr": {24: "A" * 17}}, STEP + "Modality", None, "too long, left out"),
        ({"orc": {18: "A" * 17}}, STEP + "ScheduledStationAETitle", None, "too long, left out"),
        ({"orc": {18: "Raum ä"}}, STEP + "ScheduledStationAETitle", None, "not a value of AE, left out"),
        ({"obr": {31: "^" + "x" * 70}}, "ReasonForTheRequestedProcedure", "x" * 64, "too long, cut"),
        ({"after": ("OBX|1|NM|^Body Weight||heavy|kg",)}, "PatientWeight", None, "not a number with a unit, left out"),
        ({"after": ("OBX|1|NM|^Body Weight||72",)}, "PatientWeight", None,
         "not in a unit that can be converted, left out"),
        ({"obr": {4: "A^B^" + "S" * 17}}, "RequestedProcedureCodeSequence", None,
         "CodingSchemeDesignator does not fit, item left out"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_warned_of_and_kept_or_left_out(
    options: Any, key: str, kept: str | None, warning: str
) -> None:
    found = placed(*order(**options))

    assert found.orders[0].step.get(key) == kept
    assert f"{key}: {warning}" in found.warnings


def test_a_birth_date_that_is_none_is_left_out() -> None:
    found = placed(*order(pid="PID|||4711||Brook||1971"))

    assert "PatientBirthDate" not in found.patient.changes


def test_every_group_is_read() -> None:
    segments = order(orc={2: "PO1"}, obr={19: "RP1"}) + order(orc={1: "CA", 5: "CA", 2: "PO2", 9: "20260301090000"})[1:]

    first, second = placed(*segments).orders

    assert (first.group, first.control, first.requested_procedure_id) == (1, "NW", "RP1")
    assert (second.group, second.control, second.status, second.placer) == (2, "CA", "CA", Identifier("PO2"))
    assert second.order_time is not None
    assert second.order_time.isoformat() == "2026-03-01T08:00:00+00:00"


@pytest.mark.parametrize(
    ("numbers", "procedures", "ordinals"),
    [
        (["PO1", "PO1", "PO1"], ["", "", ""], [1, 2, 3]),
        (["PO1", "PO1", "PO1"], ["RP1", "RP2", "RP1"], [1, 2, 1]),
        (["PO1", "PO2", "PO1"], ["", "", ""], [1, 1, 2]),
        (["", ""], ["", ""], [1, 1]),
    ],
)
def test_procedures_are_counted_in_each_order(numbers: list[str], procedures: list[str], ordinals: list[int]) -> None:
    segments = list(order()[:1])
    for number, procedure in zip(numbers, procedures, strict=True):
        segments += order(orc={2: number}, obr={19: procedure})[1:]

    assert [found.ordinal for found in placed(*segments).orders] == ordinals


def test_an_obr_without_orc_is_the_next_procedure_of_its_order() -> None:
    segments = (*order(), segment("OBR", {4: "MR1^MRI^L", 24: "MR"}))

    first, second = placed(*segments).orders

    assert (second.control, second.placer, second.ordinal) == ("NW", first.placer, 2)
    assert second.step[STEP + "Modality"] == "MR"


def test_other_delimiters_are_read_too() -> None:
    usual = [message(*order(obr={13: "one~two", 17: "x"}, orc={3: "FO1^OF&x"})).raw.decode()]
    usual.append(usual[0].translate(str.maketrans("|^~\\&", "*#!@%")))

    readings = []
    for text in usual:
        found = read_segments(text.encode())
        received = ReceivedMessage(found.raw, "peer", datetime(2026, 3, 1, tzinfo=UTC), Sender("RIS", "HOSP", "g"))
        made = orm_o01.read(found, received, Reading())
        assert isinstance(made, PlaceOrder)
        readings.append((made.patient, made.orders))

    assert readings[0] == readings[1]


@given(st.lists(st.text(st.sampled_from('PIDORCBNTEX|^~\\&"0123456789ä '), max_size=40), max_size=8))
def test_any_message_is_read_or_refused(segments: list[str]) -> None:
    found = read(*order(), *segments)

    assert isinstance(found, PlaceOrder | KeepMessage)


def test_a_site_adds_an_attribute_with_one_row_and_nothing_else() -> None:
    rows = site_rows('rows.PatientInsurancePlanCodeSequence = { source = ["IN1-2"], transform = "code" }')

    step = step_of(*order(after=("IN1|1|PLAN^Best plan^L",)), rows=rows)

    assert step["PatientInsurancePlanCodeSequence"] == [
        {"CodeValue": "PLAN", "CodingSchemeDesignator": "L", "CodeMeaning": "Best plan"}
    ]


def test_a_site_reads_a_field_otherwise_with_one_row() -> None:
    rows = site_rows('rows."ScheduledProcedureStepSequence.Modality" = { source = ["OBR-25"], values = { X = "CR" } }')

    assert step_of(*order(obr={24: "", 25: "x"}), rows=rows)[STEP + "Modality"] == "CR"


def test_a_family_limits_a_source_to_its_messages() -> None:
    ipc = "IPC|ACC9^AI|RP9|1.2.9|SPS9|MR^^DCM|PC1^Brain^L~PC2^Spine^L|MR1|RM3|MR_A~MR_B"
    omi = only_order(*order(after=(ipc,)), kind="OMI^O23")

    assert (omi.accession, omi.requested_procedure_id) == (Identifier("ACC9", Issuer("AI")), "RP9")
    assert (omi.study_uid, omi.step_id) == ("1.2.9", "SPS9")
    assert omi.step[STEP + "Modality"] == "MR"
    assert omi.step[STEP + "ScheduledStationAETitle"] == ["MR_A", "MR_B"]
    assert [item["CodeValue"] for item in omi.step[STEP + "ScheduledProtocolCodeSequence"]] == ["PC1", "PC2"]
    assert omi.step["IssuerOfAccessionNumberSequence"] == [{"LocalNamespaceEntityID": "AI"}]
    assert only_order(*order(after=(ipc,))).accession is None


def test_two_patients_are_told_by_what_pid_says_and_not_by_its_set_id() -> None:
    found = placed("PID|1||4711||Brook", *order()[1:], "PID|2||4711||Brook|", *order()[1:])

    assert len(found.orders) == 2


@pytest.mark.parametrize(
    "segments",
    [
        order(obr={13: "~".join(["alert"] * 300_000)}),
        order(after=("NTE|1||line",) * 100_000),
        order(after=("AL1|1||^Nuts",) * 100_000),
        (*order()[:1], "ORC|NW|PO1", *(["TQ1|1"] * 100_000), *(["OBR|1"] * 900)),
        order(after=("OBX|1|NM|^Body Weight||" + "9" * 1_000_000 + "|kg",)),
        order(pid="PID|||4711||" + "x" * 1_000_000),
    ],
    ids=["repetitions", "notes", "allergies", "shared", "digits", "name"],
)
@pytest.mark.timeout(20)
def test_a_huge_message_is_read_in_bounded_time_and_size(segments: tuple[str, ...]) -> None:
    found = placed(*segments)

    assert sum(len(str(found_order.step)) for found_order in found.orders) < 1_000_000
    assert len(str(found.patient)) < 10_000


def test_more_values_than_an_attribute_may_have_are_left_out_with_a_warning() -> None:
    found = placed(*order(obr={13: "~".join(["alert"] * 300)}))

    assert len(found.orders[0].step["MedicalAlerts"]) == 100
    assert "MedicalAlerts: more than 100 values, the others are left out" in found.warnings
