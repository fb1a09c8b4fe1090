"""How the values of an order arrive in a worklist item: names, character sets, codes, times, lengths."""

from __future__ import annotations

import pytest

from tests.kit.messages import Case
from tests.kit.scanner import step_of

WEIGHT = "OBX|1|NM|29463-7^Body Weight^LN||72|kg"
HEIGHT = "OBX|2|NM|8302-2^Body Height^LN||1.8|m"


def test_prefix_and_suffix_change_places_in_a_name(broker, case):
    broker.send(case.order(header={"name": "Doe^Jane^A^Jr^Dr^PhD"}))

    assert str(broker.item(case).PatientName) == "Doe^Jane^A^Dr^Jr PhD"


def test_a_japanese_name_has_three_groups_in_utf_8(broker, case):
    name = "Yamada^Tarou^^^^^L^A~山田^太郎^^^^^L^I~やまだ^たろう^^^^^L^P"

    broker.send(case.order(header={"name": name, "charset": "UNICODE UTF-8"}))

    item = broker.item(case)
    assert item.SpecificCharacterSet == "ISO_IR 192"
    assert str(item.PatientName) == "Yamada^Tarou=山田^太郎=やまだ^たろう"


def test_an_ideographic_name_alone_never_stands_in_the_first_group(broker, case):
    broker.send(case.order(header={"name": "山田^太郎^^^^^L^I", "charset": "UNICODE UTF-8"}))

    assert str(broker.item(case).PatientName) == "=山田^太郎"


@pytest.mark.parametrize(
    ("charset", "codec", "name"),
    [
        ("8859/1", "latin-1", "Müßig^Jörg"),
        ("8859/15", "iso8859-15", "Šimková^Zoë"),
        ("8859/2", "iso8859-2", "Dvořák^Jiří"),
        ("8859/5", "iso8859-5", "Иванов^Пётр"),
        ("8859/7", "iso8859-7", "Παπαδόπουλος^Νίκος"),
        ("UNICODE UTF-8", "utf-8", "Nguyễn^Ánh"),
    ],
)
def test_a_name_arrives_whatever_character_set_it_was_sent_in(broker, case, charset, codec, name):
    answer = broker.send(case.order(encoding=codec, header={"name": name, "charset": charset}))

    assert answer.code == "AA"
    assert str(broker.item(case).PatientName) == name


def test_the_request_s_character_set_is_used_when_it_holds_the_answer(broker, case):
    broker.send(case.order(encoding="latin-1", header={"name": "Müßig^Jörg", "charset": "8859/1"}))

    item = broker.item(case, SpecificCharacterSet="ISO_IR 100")
    assert item.SpecificCharacterSet == "ISO_IR 100"
    assert str(item.PatientName) == "Müßig^Jörg"


def test_an_ascii_answer_names_no_character_set(broker, case):
    broker.send(case.order())

    assert "SpecificCharacterSet" not in broker.item(case)


@pytest.mark.parametrize(("visit", "expected"), [("V55", "V55"), ("", "A77")])
def test_the_visit_number_comes_before_the_account_number(broker, case, visit, expected):
    broker.send(case.order(header={"visit": visit}))

    assert broker.item(case, AdmissionID="").AdmissionID == expected


def test_sex_priority_and_pregnancy_are_translated(broker, case):
    broker.send(case.order(priority="S", header={"sex": "A", "ambulatory": "B6"}))

    item = broker.item(case, RequestedProcedurePriority="", PregnancyStatus=None)
    assert item.PatientSex == "O"
    assert item.RequestedProcedurePriority == "STAT"
    assert item.PregnancyStatus == 3


def test_an_unknown_sex_is_empty(broker, case):
    broker.send(case.order(header={"sex": "U"}))

    assert broker.item(case).PatientSex == ""


def test_escapes_are_undone_and_a_backslash_never_reaches_a_name(broker, case):
    broker.send(case.order(reason="^a\\T\\b\\F\\c", header={"name": "Do\\E\\e^Jane"}))

    item = broker.item(case, ReasonForTheRequestedProcedure="")
    assert item.ReasonForTheRequestedProcedure == "a&b|c"
    assert "\\" not in str(item.PatientName)


def test_a_start_with_an_offset_is_converted_to_the_department_s_time(broker, case):
    broker.send(case.order(start="20260302101500+0500"))

    step = step_of(broker.item(case))
    assert "+" not in step.ScheduledProcedureStepStartTime
    assert (step.ScheduledProcedureStepStartDate, step.ScheduledProcedureStepStartTime[:4]) == broker.department_time(
        "2026-03-02T10:15:00+05:00"
    )


@pytest.mark.parametrize(
    ("weight", "height"),
    [(WEIGHT, HEIGHT), ("OBX|1|NM|^Body Weight||72000|g", "OBX|2|NM|^Body Height||180|cm")],
    ids=["LOINC, kg and m", "names, g and cm"],
)
def test_weight_and_height_are_taken_from_observations(broker, case, weight, height):
    broker.send(case.order(extra=(weight, height)))

    item = broker.item(case, PatientWeight=None, PatientSize=None)
    assert float(item.PatientWeight) == 72
    assert float(item.PatientSize) == 1.8


def test_allergies_and_alerts_may_have_several_values(broker, case):
    allergies = ("AL1|1|DA|PEN^Penicillin^L", "AL1|2|FA|NUT^Nuts^L")

    broker.send(case.order(clinical="hip prosthesis", header={"patient_extra": allergies}))

    item = broker.item(case, Allergies="", MedicalAlerts="")
    assert list(item.Allergies) == ["Penicillin", "Nuts"]
    assert item.MedicalAlerts == "hip prosthesis"


def test_codes_become_code_items(broker, case):
    broker.send(case.order(procedure="CTCHEST^Chest CT^L^CT01^Chest routine^L", procedure_code="71250^CT thorax^C4"))

    item = broker.item(case, RequestedProcedureCodeSequence=[], step={"ScheduledProtocolCodeSequence": []})
    requested = item.RequestedProcedureCodeSequence[0]
    protocol = step_of(item).ScheduledProtocolCodeSequence[0]
    assert (requested.CodeValue, requested.CodingSchemeDesignator) == ("71250", "C4")
    assert requested.CodeMeaning == "CT thorax"
    assert (protocol.CodeValue, protocol.CodeMeaning) == ("CT01", "Chest routine")
    assert item.RequestedProcedureDescription == "CT thorax"


def test_a_description_that_is_too_long_is_cut_and_the_order_accepted(broker, case):
    answer = broker.send(case.order(procedure_code=f"X^{'long words ' * 10}^L"))

    assert answer.code == "AA"
    assert 0 < len(broker.item(case).RequestedProcedureDescription) <= 64


def test_further_patient_numbers_are_values_and_find_nothing(broker, case):
    other = Case()

    broker.send(case.order(header={"patient": f"{case.patient_id}^^^HOSP~{other.patient_id}^^^NATION"}))

    item = broker.item(case, OtherPatientIDsSequence=[])
    assert [entry.PatientID for entry in item.OtherPatientIDsSequence] == [other.patient_id]
    assert broker.items(other) == []


def test_physicians_arrive_as_names(broker, case):
    broker.send(case.order())

    item = broker.item(case, ReferringPhysicianName="", RequestingPhysician="")
    assert str(item.ReferringPhysicianName) == "Refer^Rita"
    assert str(item.RequestingPhysician) == "Refer^Rita"
    assert str(step_of(item).ScheduledPerformingPhysicianName) == "Tech^Tom"
