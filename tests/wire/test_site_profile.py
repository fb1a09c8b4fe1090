"""What a hospital writes into its site profile shows on the wire, and nothing but the profile had to change."""

from __future__ import annotations

import pytest

from broker.simulators.modality import ModalityError
from tests.kit.scanner import step_of


def test_one_row_is_enough_for_one_more_attribute(broker_with, case):
    broker = broker_with(
        """
[rows.PatientReligiousPreference]
source = ["PID-17.2", "PID-17.1"]
transform = "text"
match = "single"
return = "3"
title = "Religion"
"""
    )
    message = case.order().replace(b"|||||||A77", b"||||||BUD^Buddhist|A77")

    broker.send(message)

    item = broker.item(case, PatientReligiousPreference="")
    assert item.PatientReligiousPreference == "Buddhist"
    assert len(broker.items(case, PatientReligiousPreference="Buddhist")) == 1
    assert broker.items(case, PatientReligiousPreference="Pastafarian") == []


def test_one_row_changes_where_a_value_comes_from(broker_with, case):
    broker = broker_with('[rows.AccessionNumber]\nsource = ["OBR-3.1"]\n')

    broker.send(case.order())

    assert broker.item(case).AccessionNumber == case.filler


def test_one_row_adds_an_order_control(broker_with, case):
    broker = broker_with(
        '[order_control.ZZ]\nunknown = "create"\nnot_started = "update"\nstarted = "nothing"\n'
        'finished = "nothing"\ncanceled = "nothing"\n'
    )

    answer = broker.send(case.order(control="ZZ"))

    assert answer.code == "AA"
    assert len(broker.items(case)) == 1


def test_one_row_changes_what_an_order_control_does(broker_with, case):
    broker = broker_with(
        '[order_control.CA]\nunknown = "nothing"\nnot_started = "cancel"\nstarted = "cancel"\n'
        'finished = "nothing"\ncanceled = "nothing"\n'
    )
    broker.send(case.order())
    broker.scanner().start(broker.item(case))

    answer = broker.send(case.order(control="CA"))

    assert answer.code == "AA"
    assert broker.states(case.accession) == ["CANCELED"]


@pytest.mark.parametrize("name", ["accession", "study_uid", "requested_procedure_id", "step_id", "start", "modality"])
def test_a_missing_value_may_be_a_reason_to_refuse(broker_with, case, name):
    broker = broker_with(f'[missing]\n{name} = "reject"\n')
    field = {"requested_procedure_id": "procedure_id"}.get(name, name)

    answer = broker.send(case.order(**{field: ""}))

    assert (answer.code, answer.error) == ("AE", "101")
    assert broker.items(case) == []


def test_a_missing_station_may_hold_the_step(broker_with, case):
    broker = broker_with('[missing]\nstation = "hold"\n')

    answer = broker.send(case.order())

    assert answer.code == "AA"
    assert broker.items(case) == []
    assert "station" in broker.steps(case.accession)[0]["held"].lower()


def test_test_messages_are_taken_where_the_profile_says_so(broker_with, case):
    broker = broker_with('[hl7]\nprocessing_ids = ["P", "T"]\n')

    answer = broker.send(case.order(header={"processing_id": "T"}))

    assert answer.code == "AA"
    assert answer.field("MSH", 11) == "T"


def test_a_closed_list_of_peers_keeps_strangers_out(broker_with, case):
    broker = broker_with("[worklist]\nclosed = true\n\n[peers.CT1]\n")
    broker.send(case.order())

    assert len(broker.scanner("CT1").items(PatientID=case.patient_id)) == 1
    with pytest.raises(ModalityError):
        broker.scanner("STRANGER").echo()


def test_started_steps_can_be_hidden(broker_with, case):
    broker = broker_with("[worklist]\nhide_started = true\n")
    broker.send(case.order())
    broker.scanner().start(broker.item(case))

    assert broker.items(case) == []
    assert len(broker.items(case, {"ScheduledProcedureStepStatus": "STARTED"})) == 1


def test_a_procedure_code_may_name_the_modality_and_the_station(broker_with, case):
    broker = broker_with(
        """
[stations.MR1]
modalities = ["MR"]

[[modality_rules]]
when = { "RequestedProcedureCodeSequence.CodeValue" = "MR*" }
modality = "MR"

[[station_rules]]
when = { "ScheduledProcedureStepSequence.Modality" = "MR" }
stations = ["MR1"]
"""
    )

    broker.send(case.order(modality="", procedure="MRKNEE^Knee^L", procedure_code="MRKNEE^Knee^L"))

    step = step_of(broker.item(case))
    assert step.Modality == "MR"
    assert step.ScheduledStationAETitle == "MR1"
