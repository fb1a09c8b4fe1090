"""Who is who, as a table of cases."""

from __future__ import annotations

from dataclasses import replace

import pytest

from broker.domain.identity import Issuers
from broker.domain.order import AliasKind, PatientIdentifier, StepState
from broker.domain.request import NO_ISSUER, Cause, Identifier, Issuer, Outcome, Sender
from broker.domain.rules import Authority
from tests.unit.domain.orders import HOSP, RULES, Ris, code, named, order

OID = Issuer("HOSP", "1.2.3", "ISO")
OTHER_OID = Issuer("HOSP", "9.9.9", "ISO")
CLINIC = Issuer("CLIN")


@pytest.mark.parametrize(
    ("one", "other", "known", "authorities", "same"),
    [
        (OID, Issuer("ANY", "1.2.3", "ISO"), (), (), True),
        (OID, OTHER_OID, (), (), False),
        (HOSP, HOSP, (), (), True),
        (HOSP, OID, (), (), True),
        (HOSP, OID, (OTHER_OID,), (), False),
        (HOSP, HOSP, (OID, OTHER_OID), (), True),
        (HOSP, CLINIC, (), (), False),
        (HOSP, NO_ISSUER, (), (), False),
        (NO_ISSUER, NO_ISSUER, (), (), True),
        (Issuer(None, "1.2.3"), HOSP, (), (), False),
        (Issuer(None, "1.2.3"), HOSP, (), (Authority(OID, also=(HOSP,)),), True),
        (HOSP, CLINIC, (), (Authority(HOSP, also=(CLINIC,)),), True),
    ],
)
def test_two_issuers_are_the_same_only_where_the_law_says_so(one, other, known, authorities, same):
    issuers = Issuers(frozenset(known), authorities)

    assert issuers.same(one, other) is same
    assert issuers.same(other, one) is same


@pytest.mark.parametrize(
    ("sent", "defaults", "known", "settled"),
    [
        (NO_ISSUER, (NO_ISSUER, NO_ISSUER), (), NO_ISSUER),
        (NO_ISSUER, (NO_ISSUER, HOSP), (), HOSP),
        (NO_ISSUER, (CLINIC, HOSP), (), CLINIC),
        (CLINIC, (HOSP, HOSP), (), CLINIC),
        (HOSP, (NO_ISSUER,), (OID,), HOSP),
        (HOSP, (NO_ISSUER,), (OID, OTHER_OID), None),
        (HOSP, (OTHER_OID,), (OID, OTHER_OID), OTHER_OID),
        (HOSP, (CLINIC,), (OID, OTHER_OID), None),
    ],
)
def test_a_number_without_issuer_gets_a_default_and_a_namespace_for_two_is_never_guessed(
    sent, defaults, known, settled
):
    assert Issuers(frozenset(known)).settle(sent, defaults) == settled


def test_the_same_number_of_another_issuer_is_another_patient():
    ris = Ris()

    ris.send(order(placer="A"), patient="P1", issuer=HOSP)
    ris.send(order(placer="B"), patient="P1", issuer=CLINIC)

    assert len(ris.book.forest.patients) == 2


def test_a_universal_id_that_comes_later_is_the_same_patient_and_is_kept():
    ris = Ris()

    ris.send(order(), issuer=HOSP)
    ris.send(order("XO"), issuer=OID)

    (patient,) = ris.book.forest.patients.values()
    assert patient.identifiers == (PatientIdentifier("P1", OID),)


def test_a_namespace_that_fits_two_issuers_is_refused():
    ris = Ris()
    ris.send(order(placer="A"), issuer=OID)
    ris.send(order(placer="B"), issuer=OTHER_OID)

    answer = ris.send(order(placer="C"), issuer=HOSP)

    assert (answer.refusal.cause, answer.refusal.subject) == (Cause.AMBIGUOUS, "PID-3.4")


def test_only_the_first_identifier_resolves_a_patient():
    ris = Ris()
    ris.send(order(placer="A"), patient="P1")

    ris.send(order(placer="B"), patient="P2", others=(Identifier("P1", HOSP),))

    assert len(ris.book.forest.patients) == 2


def test_a_ranked_authority_is_primary_and_its_number_resolves_even_when_it_comes_second():
    national = Issuer("NAT")
    ris = Ris(replace(RULES, authorities=(Authority(national, rank=1),)))
    ris.send(order(placer="A"), patient="P1", others=(Identifier("N1", national),))

    ris.send(order(placer="B"), patient="P2", others=(Identifier("N1", national),))

    (patient,) = ris.book.forest.patients.values()
    assert patient.primary.value == "N1"
    assert patient.others == (Identifier("P2", HOSP),)


def test_a_former_identifier_still_finds_its_patient():
    ris = Ris()
    ris.send(order(placer="A"))
    (patient,) = ris.book.forest.patients.values()
    merged = (PatientIdentifier("P9", HOSP), PatientIdentifier("P1", HOSP, former=True))
    ris.book.forest.patients[patient.id] = replace(patient, identifiers=merged)

    ris.send(order(placer="B"), patient="P1")

    (same,) = ris.book.forest.patients.values()
    assert same.primary.value == "P9"
    assert {o.patient_id for o in ris.book.forest.orders.values()} == {same.id}


@pytest.mark.parametrize("first", [{"placer": "PO1", "filler": "FO1"}, {"placer": None, "filler": "FO1"}])
def test_an_order_is_known_by_its_filler_number(first):
    ris = Ris()
    ris.send(order(**first))

    answer = ris.send(order("XO", placer=None, filler="FO1", step={"RequestedProcedureDescription": "Chest"}))

    assert answer.outcome is Outcome.UPDATED
    assert len(ris.book.forest.orders) == 1


def test_an_order_known_by_its_placer_number_takes_the_filler_number_that_comes_later():
    ris = Ris()
    ris.send(order(placer="PO1"))
    ris.send(order("XO", placer="PO1", filler="FO1"))

    answer = ris.send(order("CA", placer=None, filler="FO1"))

    assert answer.outcome is Outcome.CANCELLED


def test_one_placer_order_split_into_two_filler_orders_is_two_orders():
    ris = Ris()

    ris.send(order(placer="PO1", filler="FO1"))
    ris.send(order(placer="PO1", filler="FO2"))

    assert {o.filler.value for o in ris.book.forest.orders.values()} == {"FO1", "FO2"}
    answer = ris.send(order("CA", placer="PO1"))
    assert answer.refusal.cause is Cause.AMBIGUOUS


def test_two_numbers_that_name_two_orders_contradict_each_other():
    ris = Ris()
    ris.send(order(placer="PO1", filler="FO1"))
    ris.send(order(placer="PO2", filler="FO2"))

    answer = ris.send(order("XO", placer="PO1", filler="FO2"))

    assert answer.refusal.cause is Cause.CONTRADICTION
    assert answer.outcome is Outcome.REJECTED


def test_order_numbers_live_in_the_senders_group():
    ris = Ris()
    ris.send(order(placer="PO1"))

    ris.send(order(placer="PO1"), sender=Sender("OTHER", "HOSP", "OTHER|HOSP"))

    assert len(ris.book.forest.orders) == 2


def test_order_numbers_with_different_issuers_are_different_orders():
    ris = Ris()

    ris.send(order(placer=named("PO1", Issuer("WARD"))))
    ris.send(order(placer=named("PO1", Issuer("CLINIC"))))
    ris.send(order("XO", placer=named("PO1", Issuer("WARD"))))

    assert len(ris.book.forest.orders) == 2


def test_without_placer_and_filler_the_accession_number_names_the_order():
    ris = Ris()
    ris.send(order(placer=None, accession="A1"))

    answer = ris.send(order("CA", placer=None, accession="A1"))

    assert answer.outcome is Outcome.CANCELLED


def test_none_of_the_three_numbers_is_refused():
    answer = Ris().send(order(placer=None))

    assert answer.refusal.cause is Cause.MISSING


def test_an_accession_number_shared_by_two_orders_names_neither():
    ris = Ris()
    ris.send(order(placer="PO1", accession="A1"))
    ris.send(order(placer="PO2", accession="A1"))

    answer = ris.send(order("CA", placer=None, accession="A1"))

    assert (answer.refusal.cause, answer.refusal.subject) == (Cause.AMBIGUOUS, "AccessionNumber")


def test_an_accession_number_for_each_obr_makes_a_procedure_each():
    ris = Ris()

    ris.send(order(accession="A1"))
    ris.send(order(accession="A2"))
    ris.send(order("XO", accession="A1", step={"RequestedProcedureDescription": "Chest"}))

    assert sorted(p.accession.value for p in ris.book.forest.procedures.values()) == ["A1", "A2"]
    assert len(ris.book.forest.orders) == 1


def test_two_procedures_of_one_message_without_ids_are_found_again_by_the_same_message():
    ris = Ris()
    groups = (order(group=1, ordinal=1), order(group=2, ordinal=2))

    ris.send(*groups)
    answer = ris.send(*groups)

    assert len(ris.steps()) == 2
    assert answer.outcome is Outcome.UNCHANGED


def test_procedures_of_one_order_are_told_apart_by_their_code():
    ris = Ris()
    first = order(group=1, ordinal=1, step={"RequestedProcedureCodeSequence": code("HEAD")})
    second = order(group=2, ordinal=2, step={"RequestedProcedureCodeSequence": code("CHEST")})
    ris.send(first, second)

    ris.send(order("CA", step={"RequestedProcedureCodeSequence": code("CHEST")}))

    assert [step.state for step in ris.steps()] == [StepState.SCHEDULED, StepState.CANCELED]


def test_two_steps_of_one_procedure_keep_their_own_ids():
    ris = Ris()

    ris.send(
        order(group=1, procedure_id="RP1", step_id="S1"),
        order(group=2, procedure_id="RP1", step_id="S2", step={"ScheduledProcedureStepSequence.Modality": "MR"}),
    )

    assert [(step.step_id, step.modality) for step in ris.steps()] == [("S1", "CT"), ("S2", "MR")]
    assert len(ris.book.forest.procedures) == 1


def test_the_order_of_another_patient_is_refused_and_raises_an_alarm():
    ris = Ris()
    ris.send(order(), patient="P1")

    answer = ris.send(order("XO", step={"RequestedProcedureDescription": "Head"}), patient="P2")

    assert (answer.refusal.cause, answer.refusal.subject) == (Cause.OTHER_PATIENT, "PatientID")
    assert ris.alarms == ["other-patient"]
    assert "RequestedProcedureDescription" not in ris.step().values
    assert len(ris.book.forest.patients) == 1


def test_a_study_instance_uid_of_another_patient_is_refused_and_raises_an_alarm():
    ris = Ris()
    ris.send(order(placer="PO1", study_uid="1.2.3"), patient="P1")

    answer = ris.send(order(placer="PO2", study_uid="1.2.3"), patient="P2")

    assert (answer.refusal.cause, answer.refusal.subject) == (Cause.OTHER_PATIENT, "StudyInstanceUID")
    assert ris.alarms == ["study-uid-of-other-patient"]
    assert len(ris.book.forest.orders) == 1


def test_two_orders_of_one_patient_may_share_a_study():
    ris = Ris()

    ris.send(order(placer="PO1", study_uid="1.2.3"))
    answer = ris.send(order(placer="PO2", study_uid="1.2.3"))

    assert answer.outcome is Outcome.CREATED


def test_a_study_uid_that_was_replaced_still_belongs_to_its_patient():
    ris = Ris()
    ris.send(order())
    generated = ris.procedure().study_uid
    ris.send(order("XO", study_uid="1.2.3"))

    answer = ris.send(order(placer="PO2", study_uid=generated), patient="P2")

    assert answer.refusal.cause is Cause.OTHER_PATIENT


def test_generated_values_yield_to_the_senders_own_and_stay_as_aliases():
    ris = Ris()
    ris.send(order())
    made, made_step = ris.procedure(), ris.step()
    assert made.generated == {"accession", "study_uid", "requested_procedure_id"}

    ris.send(order("XO", accession="A1", study_uid="1.2.3", procedure_id="RP1", step_id="S1"))

    now = ris.procedure()
    assert (now.accession.value, now.study_uid, now.requested_procedure_id) == ("A1", "1.2.3", "RP1")
    assert now.generated == frozenset()
    assert ris.step().step_id == "S1"
    assert {(a.kind, a.value) for a in ris.book.forest.aliases} == {
        (AliasKind.ACCESSION, made.accession.value),
        (AliasKind.STUDY_UID, made.study_uid),
        (AliasKind.PROCEDURE_ID, made.requested_procedure_id),
        (AliasKind.STEP_ID, made_step.step_id),
    }


def test_a_study_that_has_begun_keeps_its_uid_and_the_senders_becomes_an_alias():
    ris = Ris()
    ris.send(order())
    generated = ris.procedure().study_uid
    ris.put_state(StepState.STARTED)

    ris.send(order("XO", study_uid="1.2.3"))

    assert ris.procedure().study_uid == generated
    assert (AliasKind.STUDY_UID, "1.2.3") in {(a.kind, a.value) for a in ris.book.forest.aliases}
    assert ris.send(order(placer="PO2", study_uid="1.2.3"), patient="P2").refusal.cause is Cause.OTHER_PATIENT


def test_named_steps_replace_derived_ones_by_modality_and_a_started_one_lives_on_under_the_new_name():
    ris = Ris()
    mr = {"ScheduledProcedureStepSequence.Modality": "MR"}
    ris.send(order(procedure_id="RP1"), order(group=2, procedure_id="RP1", step=mr))
    ct, mr_step = ris.steps()
    ris.book.forest.steps[mr_step.id] = replace(mr_step, state=StepState.STARTED)

    ris.send(order("XO", procedure_id="RP1", step_id="S-MR", step=mr))

    after = {step.id: step for step in ris.steps()}
    assert (after[mr_step.id].step_id, after[mr_step.id].state) == ("S-MR", StepState.STARTED)
    assert after[ct.id].state is StepState.CANCELED
    assert {(a.value, a.step_id) for a in ris.book.forest.aliases} == {
        (mr_step.step_id, mr_step.id),
        (ct.step_id, mr_step.id),
    }


def test_the_procedure_id_and_the_study_uid_may_not_name_two_procedures():
    ris = Ris()
    ris.send(
        order(group=1, procedure_id="RP1", study_uid="1.1"),
        order(group=2, ordinal=2, procedure_id="RP2", study_uid="1.2"),
    )

    answer = ris.send(order("XO", procedure_id="RP1", study_uid="1.2"))

    assert answer.refusal.cause is Cause.CONTRADICTION


@pytest.mark.parametrize(
    ("numbers", "accession"),
    [
        ({"placer": "PO1", "filler": "FO1"}, "FO1"),
        ({"placer": "PO1", "filler": None}, "PO1"),
        ({"placer": "PO1", "filler": "F" * 17}, "PO1"),
        ({"placer": "P" * 17, "filler": None}, "B0000000"),
        ({"placer": "P\\1", "filler": None}, "B0000000"),
    ],
)
def test_an_accession_number_comes_from_the_order_numbers_when_they_fit(numbers, accession):
    ris = Ris()

    ris.send(order(**numbers))

    assert ris.procedure().accession.value.startswith(accession)


def test_an_order_number_that_another_order_has_as_accession_is_not_taken():
    ris = Ris()
    ris.send(order(placer="X", accession="PO1"))

    ris.send(order(placer="PO1"))

    numbers = [p.accession.value for p in ris.book.forest.procedures.values()]
    assert len(set(numbers)) == 2
