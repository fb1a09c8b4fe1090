"""What an order becomes on the worklist: new, changed, cancelled, discontinued, its status told by the RIS."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from tests.kit.messages import Case
from tests.kit.scanner import step_of


def test_a_new_order_is_on_the_worklist_with_all_its_names(broker, case):
    broker.send(case.order(start="20260302101500"))

    item = broker.item(case)
    step = step_of(item)
    assert item.AccessionNumber == case.accession
    assert item.RequestedProcedureID == case.procedure_id
    assert item.StudyInstanceUID == case.study_uid
    assert step.ScheduledProcedureStepID == case.step_id
    assert step.Modality == "CT"
    assert step.ScheduledProcedureStepStartDate == "20260302"
    assert step.ScheduledProcedureStepStartTime.startswith("1015")


def test_every_group_of_a_message_becomes_a_step(broker, case):
    groups = [
        case.group(
            accession=f"{case.accession}{letter}",
            procedure_id=f"{case.procedure_id}{letter}",
            step_id=f"{case.step_id}{letter}",
            study_uid=f"{case.study_uid}{number}",
        )
        for number, letter in enumerate("ABC", 1)
    ]

    broker.send(case.message(*groups))

    found = broker.items(case)
    assert sorted(item.AccessionNumber for item in found) == [f"{case.accession}{letter}" for letter in "ABC"]
    assert len({item.StudyInstanceUID for item in found}) == 3


def test_procedures_may_share_one_accession(broker, case):
    groups = [
        case.group(procedure_id=f"R{n}-{case.number}", step_id=f"S{n}-{case.number}", study_uid=f"{case.study_uid}{n}")
        for n in (1, 2)
    ]

    broker.send(case.message(*groups))

    found = broker.items(case)
    assert [item.AccessionNumber for item in found] == [case.accession] * 2
    assert len({item.StudyInstanceUID for item in found}) == 2


def test_an_obr_without_orc_is_a_procedure_of_the_orc_before_it(broker, case):
    names = {"procedure_id": f"X{case.number}", "step_id": f"Y{case.number}", "study_uid": f"{case.study_uid}1"}
    second = case.group(orc=False, modality="MR", **names)

    broker.send(case.message(case.group(), second))

    found = broker.items(case)
    assert sorted(step_of(item).Modality for item in found) == ["CT", "MR"]
    assert len({step["requested_procedure_id"] for step in broker.steps(case.placer)}) == 2


def test_two_plain_procedures_of_one_order_get_names_of_their_own(broker, case):
    groups = [case.plain(procedure="CTCHEST^Chest^L"), case.plain(orc=False, procedure="CTHEAD^Head^L")]

    answer = broker.send(case.message(*groups))

    found = broker.items(case)
    assert answer.code == "AA"
    assert len(found) == 2
    assert len({item.StudyInstanceUID for item in found}) == 2


def test_a_plain_order_is_on_the_list_with_everything_filled_in(broker, case):
    answer = broker.send(case.message(case.plain()))

    item = broker.item(case)
    step = step_of(item)
    assert answer.code == "AA"
    assert item.AccessionNumber == case.placer
    assert item.StudyInstanceUID.startswith("2.25.")
    assert item.RequestedProcedureID
    assert step.ScheduledProcedureStepID
    assert step.ScheduledStationAETitle == "CTAE"


def test_the_filler_number_is_preferred_as_accession(broker, case):
    broker.send(case.message(case.plain(filler=case.filler)))

    assert broker.item(case).AccessionNumber == case.filler


def test_an_accession_that_another_order_has_is_not_taken_a_second_time(broker, case):
    other = Case()
    broker.send(other.order(accession=case.placer))

    broker.send(case.message(case.plain()))

    assert broker.item(case).AccessionNumber not in ("", case.placer)


def test_a_number_that_is_too_long_for_an_accession_is_replaced_by_a_made_one(broker, case):
    broker.send(case.message(case.plain(placer=f"PLACER-NUMBER-{case.number:06d}")))

    accession = broker.item(case).AccessionNumber
    assert 0 < len(accession) <= 16
    assert not accession.startswith("PLACER")


def test_an_order_without_a_start_starts_when_it_came(broker, case):
    broker.send(case.message(case.plain(start="", priority="")))

    step = step_of(broker.item(case))
    said = datetime.strptime(step.ScheduledProcedureStepStartDate, "%Y%m%d")
    assert abs(said - datetime.now()) < timedelta(days=2)


def test_a_date_without_time_starts_at_midnight(broker, case):
    broker.send(case.order(start="20260302"))

    step = step_of(broker.item(case))
    assert step.ScheduledProcedureStepStartDate == "20260302"
    assert step.ScheduledProcedureStepStartTime == "000000"


@pytest.mark.parametrize("start", ["202603", "20260231", "tomorrow", "20260302251500"])
def test_an_unreadable_start_is_refused_with_102(broker, case, start):
    answer = broker.send(case.order(start=start))

    assert (answer.code, answer.error) == ("AE", "102")
    assert answer.location == "ORC^1^7"
    assert broker.items(case) == []


def test_an_ae_title_in_orc_18_is_the_station(broker, case):
    broker.send(case.order(device="CT7"))

    assert broker.scanner("CTAE").items({"ScheduledStationAETitle": "CTAE"}, PatientID=case.patient_id) == []
    found = broker.scanner("CT7").items({"ScheduledStationAETitle": "CT7"}, PatientID=case.patient_id)
    assert [step_of(item).ScheduledStationAETitle for item in found] == ["CT7"]


def test_a_step_without_station_is_open_and_names_whoever_asks(broker, case):
    broker.send(case.order())

    asked = broker.scanner("CT1").items({"ScheduledStationAETitle": "CT9"}, PatientID=case.patient_id)
    calling = broker.scanner("CT1").items(PatientID=case.patient_id)
    assert [step_of(item).ScheduledStationAETitle for item in asked] == ["CT9"]
    assert [step_of(item).ScheduledStationAETitle for item in calling] == ["CT1"]


def test_a_step_without_modality_is_held_with_its_reason_until_the_modality_comes(broker, case):
    held = broker.send(case.order(modality="", order_time="20260301090000"))
    while_held = broker.items(case)
    reason = broker.steps(case.accession)[0]["held"]

    broker.send(case.order(control="XO", modality="CT", order_time="20260301091000"))

    assert held.code == "AA"
    assert while_held == []
    assert "modality" in reason.lower()
    assert step_of(broker.item(case)).Modality == "CT"


def test_an_unknown_modality_word_is_kept_as_sent(broker, case):
    answer = broker.send(case.order(modality="GONIO"))

    assert answer.code == "AA"
    assert step_of(broker.item(case)).Modality == "GONIO"


def test_values_that_were_filled_in_yield_to_the_sender_s_own(broker, case):
    broker.send(case.message(case.plain(filler=case.filler)))
    before = broker.item(case)

    broker.send(case.order(control="XO", placer=case.placer, filler=case.filler, order_time="20260301091000"))

    after = broker.item(case)
    assert before.AccessionNumber != case.accession
    assert after.AccessionNumber == case.accession
    assert after.StudyInstanceUID == case.study_uid
    assert after.RequestedProcedureID == case.procedure_id
    assert step_of(after).ScheduledProcedureStepID == case.step_id


def test_old_names_still_find_the_order_after_they_were_replaced(broker, case):
    scanner = broker.scanner()
    broker.send(case.message(case.plain(filler=case.filler)))
    before = broker.item(case)
    broker.send(case.order(control="XO", placer=case.placer, filler=case.filler, order_time="20260301091000"))

    uid, started = scanner.start(before)
    stored = scanner.store(scanner.take(before))

    assert (started, stored) == (0x0000, [0x0000])
    story = broker.show(case.accession)
    assert broker.states(case.accession) == ["STARTED"]
    assert [study["images"] for study in story["studies"]] == [1]
    assert broker.show(before.AccessionNumber) == story


def test_a_derived_step_that_has_started_becomes_an_alias_of_the_named_one(broker, case):
    scanner = broker.scanner()
    broker.send(case.message(case.plain(filler=case.filler)))
    before = broker.item(case)
    uid, _ = scanner.start(before)

    broker.send(case.order(control="XO", placer=case.placer, filler=case.filler, order_time="20260301091000"))
    ended = scanner.end(uid)

    assert ended == 0x0000
    assert [step["step_id"] for step in broker.steps(case.accession)] == [case.step_id]
    assert broker.states(case.accession) == ["COMPLETED"]


def test_a_change_before_the_start_shows_on_the_list_and_keeps_the_study(broker, case):
    broker.send(case.order(order_time="20260301090000"))

    broker.send(
        case.order(control="XO", status="SC", start="20260303080000", device="CT2", order_time="20260301100000")
    )

    item = broker.item(case)
    assert step_of(item).ScheduledProcedureStepStartDate == "20260303"
    assert step_of(item).ScheduledStationAETitle == "CT2"
    assert item.StudyInstanceUID == case.study_uid


def test_a_change_of_an_unknown_order_creates_it(broker, case):
    answer = broker.send(case.order(control="XO"))

    assert answer.code == "AA"
    assert broker.item(case).AccessionNumber == case.accession


def test_a_new_order_for_a_known_one_is_an_update(broker, case):
    broker.send(case.order(order_time="20260301090000"))

    broker.send(case.order(start="20260304090000", order_time="20260301100000"))

    assert step_of(broker.item(case)).ScheduledProcedureStepStartDate == "20260304"


def test_steps_that_a_message_does_not_name_stay(broker, case):
    second = case.group(procedure_id=f"X{case.number}", step_id=f"Y{case.number}", study_uid=f"{case.study_uid}1")
    broker.send(case.message(case.group(), second))

    broker.send(case.order(control="XO", start="20260305090000", order_time="20260301100000"))

    steps = [step_of(item) for item in broker.items(case)]
    dates = {step.ScheduledProcedureStepID: step.ScheduledProcedureStepStartDate for step in steps}
    assert dates == {case.step_id: "20260305", f"Y{case.number}": "20260302"}


def test_an_empty_field_keeps_and_two_quotes_delete(broker, case):
    broker.send(case.order(order_time="20260301090000"))

    broker.send(
        case.order(
            control="XO", reason='""', clinical="", order_time="20260301100000", header={"sex": "", "address": '""'}
        )
    )

    item = broker.item(case, ReasonForTheRequestedProcedure="", MedicalAlerts="", PatientAddress="")
    assert item.PatientSex == "F"
    assert item.MedicalAlerts == "hip prosthesis"
    assert item.ReasonForTheRequestedProcedure == ""
    assert item.PatientAddress == ""


def test_a_new_name_of_the_patient_shows_on_every_open_step(broker, case):
    other = Case()
    broker.send(case.order(header={"message_time": "20260301090000"}))
    broker.send(
        other.order(
            header={
                "patient": f"{case.patient_id}^^^HOSP",
                "name": "Roe^Jane^A",
                "message_time": "20260301100000",
            }
        )
    )

    names = {str(item.PatientName) for item in broker.items(case)}
    assert names == {"Roe^Jane^A"}


def test_a_cancel_before_the_start_takes_the_step_off_the_list(broker, case):
    broker.send(case.order())

    answer = broker.send(case.order(control="CA", status="CA"))

    assert answer.code == "AA"
    assert broker.items(case) == []
    assert broker.states(case.accession) == ["CANCELED"]


def test_a_second_cancel_changes_nothing(broker, case):
    broker.send(case.order())
    broker.send(case.order(control="CA"))

    assert broker.send(case.order(control="CA")).code == "AA"
    assert broker.states(case.accession) == ["CANCELED"]


def test_a_cancel_after_the_start_is_refused_with_206_and_changes_nothing(broker, case):
    broker.send(case.order())
    broker.scanner().start(broker.item(case))

    answer = broker.send(case.order(control="CA"))

    assert (answer.code, answer.error) == ("AE", "206")
    assert broker.states(case.accession) == ["STARTED"]


def test_a_cancel_by_the_placer_s_number_alone_is_enough(broker, case):
    broker.send(case.order())

    answer = broker.send(case.message(case.plain(control="CA", placer=f"{case.placer}^OP", modality="", start="")))

    assert answer.code == "AA"
    assert broker.states(case.accession) == ["CANCELED"]


def test_a_discontinue_before_the_start_cancels(broker, case):
    broker.send(case.order())

    broker.send(case.order(control="DC"))

    assert broker.states(case.accession) == ["CANCELED"]


def test_a_discontinue_after_the_start_leaves_the_performed_step_alone(broker, case):
    scanner = broker.scanner()
    broker.send(case.order())
    uid, _ = scanner.start(broker.item(case))

    answer = broker.send(case.order(control="DC", status="CA"))

    assert answer.code == "AA"
    assert broker.states(case.accession) == ["DISCONTINUED"]
    assert scanner.end(uid) == 0x0000


@pytest.mark.parametrize("control", ["CA", "DC"])
def test_finished_work_can_no_longer_be_cancelled(broker, case, control):
    scanner = broker.scanner()
    broker.send(case.order())
    uid, _ = scanner.start(broker.item(case))
    scanner.end(uid)

    answer = broker.send(case.order(control=control))

    assert (answer.code, answer.error) == ("AE", "206")
    assert broker.states(case.accession) == ["COMPLETED"]


@pytest.mark.parametrize("control", ["CA", "DC", "SC"])
def test_a_cancel_discontinue_or_status_of_an_unknown_order_is_refused_with_204(broker, case, control):
    answer = broker.send(case.order(control=control))

    assert (answer.code, answer.error) == ("AE", "204")
    assert broker.items(case) == []


def test_the_ris_may_say_that_a_step_is_in_progress_and_then_complete(broker, case):
    broker.send(case.order())

    broker.send(case.order(control="SC", status="IP"))
    running = broker.states(case.accession)
    broker.send(case.order(control="SC", status="CM"))

    assert running == ["STARTED"]
    assert broker.states(case.accession) == ["COMPLETED"]


def test_the_ris_cannot_complete_a_step_whose_performed_step_is_open(broker, case):
    broker.send(case.order())
    broker.scanner().start(broker.item(case))

    answer = broker.send(case.order(control="SC", status="CM"))

    assert answer.code == "AA"
    assert broker.states(case.accession) == ["STARTED"]
    assert broker.alarms()


def test_an_unknown_order_control_is_refused_with_101_at_orc_1(broker, case):
    answer = broker.send(case.order(control="ZZ"))

    assert (answer.code, answer.error, answer.location) == ("AE", "101", "ORC^1^1")
    assert broker.items(case) == []


def test_an_order_without_any_number_is_refused_with_101(broker, case):
    answer = broker.send(case.message(case.plain(placer="")))

    assert (answer.code, answer.error) == ("AE", "101")
    assert broker.items(case) == []


@pytest.mark.parametrize(
    ("field", "location"), [("accession", "OBR^1^18"), ("procedure_id", "OBR^1^19"), ("step_id", "OBR^1^20")]
)
def test_an_identifier_that_is_too_long_is_refused_with_102_and_never_cut(broker, case, field, location):
    answer = broker.send(case.order(**{field: "X" * 17}))

    assert (answer.code, answer.error, answer.location) == ("AE", "102", location)
    assert broker.items(case) == []


def test_a_message_whose_second_order_is_refused_places_none(broker, case):
    other = Case()

    answer = broker.send(case.message(case.group(), other.group(control="CA")))

    assert (answer.code, answer.error) == ("AE", "204")
    assert answer.location.startswith("ORC^2")
    assert broker.items(case) == []


def test_an_order_number_in_obr_that_differs_from_orc_s_does_not_count(broker, case):
    answer = broker.send(case.order(obr_placer="ELSE^OP"))

    assert answer.code == "AA"
    assert broker.show(case.placer)


def test_the_same_number_from_another_application_is_another_order(broker, case):
    other = Case()
    broker.send(case.order())

    broker.send(
        other.order(placer=f"{case.placer}^OP", filler=f"{case.filler}^OF", header={"application": "ELSEWHERE"})
    )

    assert len(broker.items(case)) == 1
    assert len(broker.items(other)) == 1


def test_numbers_that_name_two_orders_are_refused_with_205(broker, case):
    other = Case()
    broker.send(case.order())
    broker.send(other.order(header={"patient": f"{case.patient_id}^^^HOSP"}))

    answer = broker.send(case.order(control="XO", filler=f"{other.filler}^OF"))

    assert (answer.code, answer.error) == ("AE", "205")


def test_a_known_order_for_another_patient_is_refused_with_205_at_pid_3_and_alarmed(broker, case):
    broker.send(case.order())

    answer = broker.send(case.order(control="XO", header={"patient": f"OTHER{case.number}^^^HOSP"}))

    assert (answer.code, answer.error, answer.location) == ("AE", "205", "PID^1^3")
    assert broker.item(case).PatientID == case.patient_id
    assert broker.alarms()


def test_a_study_uid_of_another_patient_is_refused_with_205(broker, case):
    other = Case()
    broker.send(case.order())

    answer = broker.send(other.order(study_uid=case.study_uid))

    assert (answer.code, answer.error, answer.location) == ("AE", "205", "ZDS^1^1")
    assert broker.items(other) == []


def test_the_same_patient_number_of_another_hospital_is_another_patient(broker, case):
    other = Case()
    broker.send(case.order())

    broker.send(other.order(header={"patient": f"{case.patient_id}^^^CLINIC", "name": "Roe^Rita"}))

    found = {item.IssuerOfPatientID: str(item.PatientName) for item in broker.items(case)}
    assert found == {"HOSP": "Doe^Jane^A", "CLINIC": "Roe^Rita"}


def test_a_held_step_can_be_cancelled(broker, case):
    broker.send(case.order(modality=""))

    answer = broker.send(case.order(control="CA", modality=""))

    assert answer.code == "AA"
    assert broker.states(case.accession) == ["CANCELED"]


def test_a_new_accession_of_a_started_step_is_taken_and_the_old_one_still_links(broker, case):
    scanner = broker.scanner()
    broker.send(case.order(order_time="20260301090000"))
    before = broker.item(case)
    scanner.start(before)

    broker.send(case.order(control="XO", accession=f"NEW{case.number}", order_time="20260301100000"))

    assert broker.item(case).AccessionNumber == f"NEW{case.number}"
    assert scanner.store(scanner.take(before)) == [0x0000]
    assert [study["images"] for study in broker.show(f"NEW{case.number}")["studies"]] == [1]


def test_a_known_control_id_with_other_content_is_a_message_of_its_own(broker, case):
    broker.send(case.order(start="20260302101500", header={"control_id": f"SAME{case.number}"}))

    answer = broker.send(case.order(start="20260303101500", header={"control_id": f"SAME{case.number}"}))

    assert answer.code == "AA"
    assert step_of(broker.item(case)).ScheduledProcedureStepStartDate == "20260303"


def test_a_descriptive_change_of_the_ris_after_the_start_never_moves_the_patient_s_other_steps(broker, case):
    other = Case()
    patient = {"patient": f"{case.patient_id}^^^HOSP"}
    broker.send(case.order(order_time="20260301090000"))
    broker.send(other.order(header=patient))
    broker.scanner().start(broker.item(case, AccessionNumber=case.accession))

    broker.send(case.order(control="XO", start="20260309090000", order_time="20260301100000"))

    assert broker.states(case.accession) == ["STARTED"]
    assert broker.states(other.accession) == ["SCHEDULED"]
