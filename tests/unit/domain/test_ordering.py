"""What an order message does: the table of order controls, orders in time, and what an order leaves out."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from broker.domain.order import PerformedState, StepState, order_status
from broker.domain.order_control import ACTIONS_BY_CELL, CELLS, SHIPPED, row_of
from broker.domain.request import DELETE, Cause, Outcome, Sender
from broker.domain.rules import MissingPolicies, ModalityRule, NumberFormats, Policy, Station, StationRule
from broker.domain.scheduling import MODALITY, START_DATE, START_TIME, STATION
from tests.unit.domain.orders import NOON, RULES, Ris, code, order

S = StepState
TEXT = "RequestedProcedureDescription"


@pytest.mark.parametrize(
    ("control", "status", "before", "after", "ended"),
    [
        ("SC", "IP", S.SCHEDULED, S.STARTED, Outcome.UPDATED),
        ("SC", "IP", S.ARRIVED, S.STARTED, Outcome.UPDATED),
        ("SC", "IP", S.COMPLETED, S.COMPLETED, Outcome.UNCHANGED),
        ("SC", "CM", S.SCHEDULED, S.COMPLETED, Outcome.UPDATED),
        ("SC", "CM", S.STARTED, S.COMPLETED, Outcome.UPDATED),
        ("SC", "CM", S.DISCONTINUED, S.DISCONTINUED, Outcome.UNCHANGED),
        ("SC", "CA", S.SCHEDULED, S.CANCELED, Outcome.CANCELLED),
        ("SC", "CA", S.STARTED, S.STARTED, Outcome.REJECTED),
        ("SC", "CA", S.COMPLETED, S.COMPLETED, Outcome.UNCHANGED),
        ("SC", "DC", S.STARTED, S.DISCONTINUED, Outcome.CANCELLED),
        ("SC", "", S.SCHEDULED, S.SCHEDULED, Outcome.UNCHANGED),
        ("SC", "A", S.STARTED, S.STARTED, Outcome.UNCHANGED),
        ("XO", "IP", S.SCHEDULED, S.STARTED, Outcome.UPDATED),
        ("XO", "CM", S.STARTED, S.COMPLETED, Outcome.UPDATED),
        ("XO", "CM", S.COMPLETED, S.COMPLETED, Outcome.UNCHANGED),
        ("CA", "", S.SCHEDULED, S.CANCELED, Outcome.CANCELLED),
        ("CA", "CA", S.READY, S.CANCELED, Outcome.CANCELLED),
        ("CA", "", S.STARTED, S.STARTED, Outcome.REJECTED),
        ("CA", "", S.COMPLETED, S.COMPLETED, Outcome.REJECTED),
        ("CA", "", S.CANCELED, S.CANCELED, Outcome.UNCHANGED),
        ("DC", "", S.SCHEDULED, S.CANCELED, Outcome.CANCELLED),
        ("DC", "", S.STARTED, S.DISCONTINUED, Outcome.CANCELLED),
        ("DC", "", S.COMPLETED, S.COMPLETED, Outcome.REJECTED),
        ("NW", "", S.CANCELED, S.CANCELED, Outcome.SUPERSEDED),
    ],
)
def test_an_order_control_moves_a_step_as_the_table_says(control, status, before, after, ended):
    ris = Ris()
    ris.send(order())
    ris.put_state(before)

    answer = ris.send(order(control, status))

    assert (ris.step().state, answer.outcome) == (after, ended)


@pytest.mark.parametrize("control", ["CA", "DC"])
def test_a_cancel_that_the_state_forbids_is_refused_as_such(control):
    ris = Ris()
    ris.send(order())
    ris.put_state(S.COMPLETED)

    assert ris.send(order(control)).refusal.cause is Cause.STATE_FORBIDS


@pytest.mark.parametrize(("control", "status"), [("CA", ""), ("DC", ""), ("SC", "IP"), ("SC", "CM"), ("SC", "")])
def test_a_cancel_or_status_of_an_unknown_order_is_refused(control, status):
    ris = Ris()

    answer = ris.send(order(control, status))

    assert answer.refusal.cause is Cause.UNKNOWN_ORDER
    assert ris.steps() == []
    assert ris.book.forest.patients == {}


def test_an_unknown_order_control_is_refused():
    assert Ris().send(order("ZZ")).refusal.cause is Cause.ORDER_CONTROL


def test_an_order_status_that_is_not_in_the_table_takes_the_row_without_it():
    assert row_of(SHIPPED, "NW", "IP") is SHIPPED["NW"]
    assert row_of(SHIPPED, "SC", "CM") is SHIPPED["SC/CM"]
    assert row_of(SHIPPED, "HD", "") is None


def test_every_shipped_row_names_an_action_that_its_cell_allows():
    for table_row in SHIPPED.values():
        assert tuple(table_row) == CELLS
        assert all(action in ACTIONS_BY_CELL[cell] for cell, action in table_row.items())


def test_a_change_of_an_unknown_order_creates_it():
    ris = Ris()

    answer = ris.send(order("XO"))

    assert answer.outcome is Outcome.CREATED
    assert ris.step().state is S.SCHEDULED


def test_completing_by_message_while_a_performed_step_is_open_changes_nothing_and_raises_an_alarm():
    ris = Ris()
    ris.send(order())
    ris.put_state(S.STARTED)
    ris.book.forest.performed[ris.step().id] = {1: PerformedState.IN_PROGRESS}

    answer = ris.send(order("SC", "CM"))

    assert (ris.step().state, answer.outcome) == (S.STARTED, Outcome.UNCHANGED)
    assert ris.alarms == ["completed-while-performing"]


def test_a_started_step_takes_descriptive_values_only():
    ris = Ris()
    ris.send(order(step={STATION: ["CT1"], TEXT: "Head"}))
    ris.put_state(S.STARTED)

    ris.send(order("XO", accession="A1", step={STATION: ["CT2"], TEXT: "Chest", START_DATE: "20260401"}))

    step = ris.step()
    assert (step.stations, step.start_at, step.state) == (("CT1",), "20260302101500", S.STARTED)
    assert step.values[TEXT] == "Chest"
    assert ris.procedure().accession.value == "A1"


@pytest.mark.parametrize("finished", [S.COMPLETED, S.DISCONTINUED])
def test_a_late_order_never_reopens_finished_work(finished):
    ris = Ris()
    ris.send(order())
    ris.put_state(finished)

    ris.send(order("NW"), sent=NOON + timedelta(days=1))

    assert ris.step().state is finished


def test_a_cancelled_step_comes_back_only_with_a_strictly_newer_stamp():
    ris = Ris()
    ris.send(order(at=NOON))
    ris.send(order("CA", at=NOON + timedelta(minutes=1)))

    equal = ris.send(order(at=NOON + timedelta(minutes=1)))
    missing = ris.send(order())
    assert (equal.outcome, missing.outcome, ris.step().state) == (Outcome.SUPERSEDED, Outcome.SUPERSEDED, S.CANCELED)

    newer = ris.send(order(at=NOON + timedelta(minutes=2)))
    assert (newer.outcome, ris.step().state) == (Outcome.UPDATED, S.SCHEDULED)


def test_a_change_of_a_cancelled_step_takes_its_values_and_leaves_it_cancelled():
    ris = Ris()
    ris.send(order())
    ris.send(order("CA"))

    ris.send(order("XO", step={TEXT: "Chest"}))

    assert (ris.step().state, ris.step().values[TEXT]) == (S.CANCELED, "Chest")


def test_an_older_message_is_superseded_and_changes_nothing():
    ris = Ris()
    ris.send(order(at=NOON, step={TEXT: "new"}))

    answer = ris.send(order("XO", at=NOON - timedelta(minutes=1), step={TEXT: "old"}))

    assert answer.outcome is Outcome.SUPERSEDED
    assert answer.refusal is None
    assert ris.step().values[TEXT] == "new"
    assert ris.alarms == []


def test_a_superseded_cancel_raises_an_alarm():
    ris = Ris()
    ris.send(order(at=NOON))

    answer = ris.send(order("CA", at=NOON - timedelta(minutes=1)))

    assert (answer.outcome, ris.step().state, ris.alarms) == (Outcome.SUPERSEDED, S.SCHEDULED, ["cancel-superseded"])


def test_message_times_count_where_one_side_has_no_transaction_time():
    ris = Ris()
    ris.send(order(at=NOON), sent=NOON)

    older = ris.send(order("XO", step={TEXT: "old"}), sent=NOON - timedelta(minutes=1))

    assert older.outcome is Outcome.SUPERSEDED


def test_stamps_of_another_application_are_not_compared():
    ris = Ris()
    ris.send(order(at=NOON))
    answer = ris.send(
        order("XO", at=NOON - timedelta(hours=1), step={TEXT: "x"}), sender=Sender("OTHER", "HOSP", "RIS|HOSP")
    )

    assert answer.outcome is Outcome.UPDATED


def test_an_exact_repeat_gets_the_first_answer_and_changes_nothing():
    ris = Ris()
    first = ris.send(order(), control_id="C1", digest="D")
    ris.send(order("XO", step={TEXT: "later"}))

    again = ris.send(order(), control_id="C1", digest="D")

    assert again.outcome is Outcome.DUPLICATE
    assert (again.message_id, again.answered_at, again.refusal) == (first.message_id, first.answered_at, None)
    assert ris.step().values[TEXT] == "later"


@pytest.mark.parametrize(("control_id", "digest"), [("C1", "other bytes"), ("", "D")])
def test_any_other_repeat_is_processed_anew(control_id, digest):
    ris = Ris()
    ris.send(order(), control_id=control_id, digest="D")

    answer = ris.send(order(), control_id=control_id, digest=digest)

    assert answer.outcome is Outcome.UNCHANGED


def test_a_repeat_of_a_refused_message_is_processed_anew():
    ris = Ris()
    refused = ris.send(order("SC", "IP"), control_id="C1", digest="D")
    ris.send(order())

    answer = ris.send(order("SC", "IP"), control_id="C1", digest="D")

    assert refused.refusal is not None
    assert (answer.outcome, ris.step().state) == (Outcome.UPDATED, S.STARTED)


def test_a_cancel_before_its_order_stops_that_order():
    ris = Ris()
    assert ris.send(order("CA", at=NOON)).refusal.cause is Cause.UNKNOWN_ORDER

    answer = ris.send(order(at=NOON - timedelta(minutes=1)))

    assert (answer.outcome, answer.refusal, ris.alarms) == (Outcome.SUPERSEDED, None, ["order-after-cancel"])
    assert ris.steps() == []


def test_an_order_strictly_newer_than_its_early_cancel_is_placed():
    ris = Ris()
    ris.send(order("CA", at=NOON))

    answer = ris.send(order(at=NOON + timedelta(seconds=1)))

    assert answer.outcome is Outcome.CREATED


def test_an_early_cancel_is_forgotten_after_a_day():
    ris = Ris()
    ris.send(order("CA"))
    ris.later(hours=24, seconds=1)

    assert ris.send(order()).outcome is Outcome.CREATED


def test_a_message_fails_as_a_whole():
    ris = Ris()
    ris.send(order(placer="PO1"))

    answer = ris.send(order("XO", placer="PO1", step={TEXT: "Chest"}), order("CA", placer="PO9", group=2, ordinal=1))

    assert (answer.refusal.cause, answer.refusal.group) == (Cause.UNKNOWN_ORDER, 2)
    assert TEXT not in ris.step().values


def test_empty_keeps_delete_removes_and_a_type_1_value_is_never_removed():
    ris = Ris()
    ris.send(order(step={TEXT: "Head", "ReasonForTheRequestedProcedure": "fall"}))

    ris.send(order("XO", step={TEXT: DELETE, MODALITY: DELETE}))

    step = ris.step()
    assert TEXT not in step.values
    assert step.values["ReasonForTheRequestedProcedure"] == "fall"
    assert step.modality == "CT"


def test_older_patient_data_does_not_overwrite_newer():
    ris = Ris()
    ris.send(order(placer="A"), sent=NOON, values={"PatientName": "New^Jane"})

    ris.send(order(placer="B"), sent=NOON - timedelta(hours=1), values={"PatientName": "Old^Jane"})

    (patient,) = ris.book.forest.patients.values()
    assert patient.values["PatientName"] == "New^Jane"


@pytest.mark.parametrize(
    ("rules", "said", "held"),
    [
        ({}, {MODALITY: None}, "no modality"),
        ({"start": Policy.HOLD}, {START_DATE: None, START_TIME: None}, "no start"),
        ({"station": Policy.HOLD}, {}, "no station"),
        ({"accession": Policy.HOLD}, {}, "no accession"),
        ({"study_uid": Policy.HOLD}, {}, "no study uid"),
        ({"step_id": Policy.HOLD}, {}, "no step id"),
    ],
)
def test_a_step_is_held_for_what_the_profile_holds_it_for_and_accepted(rules, said, held):
    ris = Ris(replace(RULES, missing=replace(MissingPolicies(), **rules)))

    answer = ris.send(order(step=said))

    assert (answer.outcome, answer.refusal, ris.step().held) == (Outcome.HELD, None, held)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("modality", {MODALITY: None}),
        ("start", {START_DATE: None, START_TIME: None}),
        ("station", {}),
        ("accession", {}),
        ("study_uid", {}),
        ("requested_procedure_id", {}),
        ("step_id", {}),
    ],
)
def test_a_strict_profile_refuses_what_an_order_leaves_out(name, said):
    ris = Ris(replace(RULES, missing=replace(MissingPolicies(), **{name: Policy.REJECT})))

    answer = ris.send(order(step=said))

    assert answer.refusal.cause is Cause.MISSING
    assert ris.steps() == []


def test_a_held_step_is_shown_once_the_reason_is_gone():
    ris = Ris()
    ris.send(order(step={MODALITY: None}))

    ris.send(order("XO", step={MODALITY: "MR"}))

    assert (ris.step().held, ris.step().modality) == (None, "MR")


def test_a_held_step_keeps_its_hold_whatever_its_state():
    ris = Ris()
    ris.send(order(step={MODALITY: None}))

    ris.send(order("SC", "IP"))

    assert (ris.step().held, ris.step().state) == ("no modality", S.STARTED)


def test_no_start_is_the_time_of_receipt_in_the_departments_zone():
    ris = Ris()

    ris.send(order(step={START_DATE: None, START_TIME: None}))

    assert ris.step().start_at == "20260302130000"
    assert "start_at" in ris.step().generated


def test_a_start_that_was_filled_in_stays_until_the_sender_names_one():
    ris = Ris()
    ris.send(order(step={START_DATE: None, START_TIME: None}))
    ris.later(hours=2)

    ris.send(order("XO", step={START_DATE: None, START_TIME: None, TEXT: "x"}))
    assert ris.step().start_at == "20260302130000"

    ris.send(order("XO", step={START_DATE: "20260305", START_TIME: "080000"}))
    assert (ris.step().start_at, "start_at" in ris.step().generated) == ("20260305080000", False)


def test_the_modality_comes_from_procedure_code_rules():
    rule = ModalityRule({"RequestedProcedureCodeSequence.CodeValue": "MR*"}, "MR")
    ris = Ris(replace(RULES, modality_rules=(rule,)))

    ris.send(order(step={MODALITY: None, "RequestedProcedureCodeSequence": code("MRHEAD")}))

    assert (ris.step().modality, ris.step().held) == ("MR", None)


@pytest.mark.parametrize(
    ("proposed", "named", "stations"),
    [
        (["CT1"], {}, ("CT1",)),
        (["CT9"], {"CT1": Station("CT1")}, ("RULE",)),
        (["CT1"], {"CT1": Station("CT1")}, ("CT1",)),
        (None, {}, ("RULE",)),
    ],
)
def test_the_station_is_the_senders_where_the_profile_knows_it_else_by_rule(proposed, named, stations):
    rule = StationRule({MODALITY: "C?"}, ("RULE",))
    ris = Ris(replace(RULES, stations=named, station_rules=(rule,)))

    ris.send(order(step={STATION: proposed}))

    assert ris.step().stations == stations


def test_without_station_and_rule_a_step_is_open():
    ris = Ris()

    ris.send(order())

    assert (ris.step().stations, ris.step().held) == ((), None)


def test_generated_numbers_have_the_profiles_form():
    numbers = NumberFormats(accession_prefix="X-", accession_width=4, uid_root="1.2.9")
    ris = Ris(replace(RULES, numbers=numbers))

    ris.send(order(placer="P" * 20))

    assert len(ris.procedure().accession.value) == 6
    assert ris.procedure().accession.value.startswith("X-")


@pytest.mark.parametrize(
    ("states", "status"),
    [
        ([], ""),
        ([S.SCHEDULED, S.SCHEDULED], "SCHEDULED"),
        ([S.SCHEDULED, S.STARTED], "STARTED"),
        ([S.SCHEDULED, S.COMPLETED], "STARTED"),
        ([S.COMPLETED, S.CANCELED], "COMPLETED"),
        ([S.COMPLETED, S.DISCONTINUED], "COMPLETED"),
        ([S.DISCONTINUED, S.CANCELED], "DISCONTINUED"),
        ([S.CANCELED, S.CANCELED], "CANCELED"),
        ([S.SCHEDULED, S.CANCELED], "SCHEDULED"),
    ],
)
def test_the_status_of_an_order_is_derived_from_its_steps(states, status):
    assert order_status(states) == status
