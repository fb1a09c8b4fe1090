"""Which step an object belongs to: the sequence of names, and the patient who has to agree."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from broker.domain.identity import Issuers
from broker.domain.linking import How, Link, LinkKeys, Names, Sure, link, link_any
from broker.domain.order import (
    Alias,
    AliasKind,
    Forest,
    Order,
    Patient,
    PatientIdentifier,
    RequestedProcedure,
    ScheduledStep,
    StepState,
)
from broker.domain.request import NO_ISSUER, Identifier, Issuer

HOSPITAL = Issuer("HOSP", "1.2.3", "ISO")
CLINIC = Issuer("CLINIC", "1.2.9", "ISO")
ISSUERS = Issuers(frozenset({HOSPITAL, CLINIC}))
RECEIVED = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
JANE = 1
JOHN = 2


@pytest.fixture
def forest():
    """Jane: order 10 with procedure 100 (CT step 1000) and order 11 with 110 (CT 1100, MR 1101); John: order 20."""
    jane = Patient(
        JANE,
        (PatientIdentifier("P1", HOSPITAL), PatientIdentifier("OLD1", HOSPITAL, former=True)),
        values={"PatientName": "DOE^JANE", "PatientBirthDate": "19800101"},
    )
    john = Patient(JOHN, (PatientIdentifier("P2", HOSPITAL),), values={"PatientName": "ROE^JOHN"})
    made = Forest(patients={JANE: jane, JOHN: john})
    for order_id, patient_id in ((10, JANE), (11, JANE), (20, JOHN)):
        made.orders[order_id] = Order(order_id, patient_id, "RIS|HOSP", None, None)
    for key, order_id, name in ((100, 10, "RP1"), (110, 11, "RP2"), (200, 20, "RP3")):
        made.procedures[key] = RequestedProcedure(key, order_id, 1, name, Identifier(f"A{key}"), f"1.2.{key}")
    for key, procedure_id, modality in ((1000, 100, "CT"), (1100, 110, "CT"), (1101, 110, "MR"), (2000, 200, "CT")):
        made.steps[key] = step(made, key, procedure_id, modality)
    return made


def step(forest, key, procedure_id, modality):
    return ScheduledStep(
        id=key,
        order_id=forest.procedures[procedure_id].order_id,
        procedure_id=procedure_id,
        ordinal=key,
        step_id=f"S{key}",
        state=StepState.SCHEDULED,
        held=None,
        modality=modality,
        stations=("CT1",) if modality == "CT" else (),
        start_at="20260302090000",
        received_at=RECEIVED,
    )


def linked(forest, **keys):
    return link(Names(forest), forest, LinkKeys(**{"patient_id": "P1"} | keys), ISSUERS)


SAYS = {
    "step and procedure id": (
        {"step_id": "S1000", "requested_procedure_id": "RP1"}, Link(10, 100, 1000, How.STEP_ID, Sure.CERTAIN)),
    "step, procedure id and accession": (
        {"step_id": "S1100", "requested_procedure_id": "RP2", "accession": "A110"},
        Link(11, 110, 1100, How.STEP_ID, Sure.CERTAIN)),
    "step id alone is no name": ({"step_id": "S1000"}, None),
    "the step id decides before the Study UID": (
        {"step_id": "S1000", "requested_procedure_id": "RP1", "study_uid": "1.2.110"},
        Link(10, 100, 1000, How.STEP_ID, Sure.CERTAIN)),
    "a step id with another accession finds nothing, so the Study UID decides": (
        {"step_id": "S1000", "requested_procedure_id": "RP1", "accession": "A999", "study_uid": "1.2.110",
         "modality": "MR"},
        Link(11, 110, 1101, How.STUDY_UID, Sure.LIKELY)),
    "Study UID of a procedure with one step": (
        {"study_uid": "1.2.100"}, Link(10, 100, 1000, How.STUDY_UID, Sure.CERTAIN)),
    "Study UID before accession": (
        {"study_uid": "1.2.100", "accession": "A110"}, Link(10, 100, 1000, How.STUDY_UID, Sure.CERTAIN)),
    "several steps: the one of the modality": (
        {"study_uid": "1.2.110", "modality": "MR"}, Link(11, 110, 1101, How.STUDY_UID, Sure.LIKELY)),
    "several steps, none of the modality": (
        {"study_uid": "1.2.110", "modality": "US"}, Link(11, 110, None, How.STUDY_UID, Sure.LIKELY)),
    "accession": ({"accession": "A100"}, Link(10, 100, 1000, How.ACCESSION, Sure.LIKELY)),
    "patient, modality, station and time only propose": (
        {"modality": "CT", "station": "CT1", "when": "20260302093000"},
        Link(10, 100, 1000, How.PROPOSAL, Sure.PROPOSAL)),
    "an open step is proposed for any station": (
        {"modality": "MR", "station": "MR7", "when": "20260302205959"},
        Link(11, 110, 1101, How.PROPOSAL, Sure.PROPOSAL)),
    "another station": ({"modality": "CT", "station": "CT2", "when": "20260302093000"}, None),
    "more than twelve hours": ({"modality": "CT", "station": "CT1", "when": "20260302210001"}, None),
    "an unknown time": ({"modality": "CT", "station": "CT1"}, None),
    "nothing at all": ({}, None),
}  # fmt: skip


@pytest.mark.parametrize(("says", "expected"), SAYS.values(), ids=SAYS)
def test_names_are_tried_in_their_sequence(forest, says, expected):
    assert linked(forest, **says).links == ((expected,) if expected else ())


PATIENTS = {
    "the same identifier": ({"patient_id": "P1"}, True),
    "the same identifier and issuer": ({"patient_id": "P1", "patient_issuer": HOSPITAL}, True),
    "the issuer's namespace is enough": ({"patient_id": "P1", "patient_issuer": Issuer("HOSP")}, True),
    "the universal id counts, not the namespace": (
        {"patient_id": "P1", "patient_issuer": Issuer("OTHER", "1.2.3", "ISO")}, True),
    "a former identifier": ({"patient_id": "OLD1"}, True),
    "another issuer": ({"patient_id": "P1", "patient_issuer": CLINIC}, False),
    "an unknown issuer": ({"patient_id": "P1", "patient_issuer": Issuer("NEW")}, False),
    "another identifier": ({"patient_id": "P2"}, False),
    "no identifier": ({"patient_id": ""}, False),
    "the identifier in another case": ({"patient_id": "p1"}, False),
}  # fmt: skip


@pytest.mark.parametrize("names", [
    {"step_id": "S1000", "requested_procedure_id": "RP1"}, {"study_uid": "1.2.100"}, {"accession": "A100"},
], ids=["step id", "study uid", "accession"])  # fmt: skip
@pytest.mark.parametrize(("says", "agrees"), PATIENTS.values(), ids=PATIENTS)
def test_nothing_is_linked_against_the_patient(forest, says, agrees, names):
    found = linked(forest, **names, **says)

    assert bool(found.links) is agrees
    assert found.other_patient == (None if agrees else 10)


def test_an_identifier_with_an_issuer_does_not_agree_with_one_that_has_none(forest):
    forest.patients[JANE] = Patient(JANE, (PatientIdentifier("P1"),))

    found = linked(forest, study_uid="1.2.100", patient_issuer=HOSPITAL)

    assert (found.links, found.other_patient) == ((), 10)


def test_a_namespace_of_two_known_issuers_names_neither(forest):
    issuers = Issuers(frozenset({HOSPITAL, Issuer("HOSP", "9.9", "ISO")}))
    keys = LinkKeys(patient_id="P1", patient_issuer=Issuer("HOSP"), study_uid="1.2.100")

    found = link(Names(forest), forest, keys, issuers)

    assert found.links == ()


def test_the_first_names_that_find_anything_decide_even_against_the_patient(forest):
    found = linked(forest, study_uid="1.2.200", accession="A100")

    assert (found.links, found.other_patient) == ((), 20)


def test_a_shared_accession_links_to_the_order_of_the_patient_who_agrees(forest):
    forest.procedures[200] = replace(forest.procedures[200], accession=Identifier("A100"))

    found = linked(forest, accession="A100")

    assert [(one.order_id, one.step_id) for one in found.links] == [(10, 1000)]
    assert found.other_patient is None


FLAGS = {
    "the same name": ({"patient_name": "DOE^JANE"}, False),
    "the name in another case, with empty components": ({"patient_name": "Doe^Jane^^^"}, False),
    "another group of the same name": ({"patient_name": "DOE^JANE=X^Y"}, False),
    "no name": ({"patient_name": ""}, False),
    "another name": ({"patient_name": "DOE^JOAN"}, True),
    "another birth date": ({"birth_date": "19800102"}, True),
    "the same birth date": ({"birth_date": "19800101"}, False),
}


@pytest.mark.parametrize(("says", "flagged"), FLAGS.values(), ids=FLAGS)
def test_the_same_identifier_with_another_name_or_birth_date_is_linked_and_flagged(forest, says, flagged):
    found = linked(forest, study_uid="1.2.100", **says)

    assert len(found.links) == 1
    assert found.flagged == (10 if flagged else None)


ALIASES = {
    "a step id that we had made": (
        Alias(AliasKind.STEP_ID, "SPS7", NO_ISSUER, 10, 100, 1000),
        {"step_id": "SPS7", "requested_procedure_id": "RP1"}),
    "a procedure id that we had made": (
        Alias(AliasKind.PROCEDURE_ID, "RP7", NO_ISSUER, 10, 100),
        {"step_id": "S1000", "requested_procedure_id": "RP7"}),
    "a Study UID that a modality made": (
        Alias(AliasKind.STUDY_UID, "2.25.7", NO_ISSUER, 10, 100), {"study_uid": "2.25.7"}),
    "an accession that we had made": (Alias(AliasKind.ACCESSION, "B7", NO_ISSUER, 10, 100), {"accession": "B7"}),
    "an accession of the whole order": (Alias(AliasKind.ACCESSION, "B7", NO_ISSUER, 10), {"accession": "B7"}),
}  # fmt: skip


@pytest.mark.parametrize(("alias", "says"), ALIASES.values(), ids=ALIASES)
def test_a_replaced_value_still_finds_what_it_named(forest, alias, says):
    forest.aliases.append(alias)

    assert [one.step_id for one in linked(forest, **says).links] == [1000]


def test_an_accession_that_we_had_made_still_goes_with_the_step_id(forest):
    forest.aliases.append(Alias(AliasKind.ACCESSION, "B7", NO_ISSUER, 10, 100))

    found = linked(forest, step_id="S1000", requested_procedure_id="RP1", accession="B7")

    assert [one.how for one in found.links] == [How.STEP_ID]


def test_a_procedures_own_study_uid_comes_before_an_alias(forest):
    forest.aliases.append(Alias(AliasKind.STUDY_UID, "1.2.100", NO_ISSUER, 11, 110))

    found = linked(forest, study_uid="1.2.100")

    assert found.links == (Link(10, 100, 1000, How.STUDY_UID, Sure.CERTAIN),)


def test_two_unfinished_steps_of_the_modality_leave_the_choice_open(forest):
    forest.steps[1101] = replace(forest.steps[1101], modality="CT")

    found = linked(forest, study_uid="1.2.110", modality="CT")

    assert found.links == (Link(11, 110, None, How.STUDY_UID, Sure.LIKELY),)


def test_of_two_steps_of_the_modality_the_unfinished_one_is_meant(forest):
    forest.steps[1100] = replace(forest.steps[1100], state=StepState.COMPLETED)
    forest.steps[1101] = replace(forest.steps[1101], modality="CT")

    found = linked(forest, study_uid="1.2.110", modality="CT")

    assert [one.step_id for one in found.links] == [1101]


def test_a_cancelled_step_is_meant_only_when_there_is_no_other(forest):
    forest.steps[1101] = replace(forest.steps[1101], state=StepState.CANCELED)

    both = linked(forest, study_uid="1.2.110", modality="US")
    forest.steps[1100] = replace(forest.steps[1100], state=StepState.CANCELED)
    none = linked(forest, study_uid="1.2.110", modality="US")

    assert [one.step_id for one in both.links] == [1100]
    assert [one.step_id for one in none.links] == [None]


def test_one_accession_on_several_procedures_is_only_a_proposal_for_each(forest):
    forest.procedures[110] = replace(forest.procedures[110], accession=Identifier("A100"))

    found = linked(forest, accession="A100", modality="US")

    assert [(one.procedure_id, one.step_id, one.sure) for one in found.links] == [
        (100, None, Sure.PROPOSAL),
        (110, None, Sure.PROPOSAL),
    ]


def test_the_same_ids_in_two_orders_are_told_apart_by_the_study_uid(forest):
    forest.procedures[110] = replace(forest.procedures[110], requested_procedure_id="RP1")
    forest.steps[1100] = replace(forest.steps[1100], step_id="S1000")

    found = linked(forest, step_id="S1000", requested_procedure_id="RP1", study_uid="1.2.110")

    assert found.links == (Link(11, 110, 1100, How.STEP_ID, Sure.CERTAIN),)


def test_a_finished_step_is_never_proposed(forest):
    forest.steps = {1000: replace(forest.steps[1000], state=StepState.COMPLETED)}

    assert linked(forest, modality="CT", station="CT1", when="20260302090000").links == ()


def test_the_nearest_step_is_proposed(forest):
    forest.steps[1100] = replace(forest.steps[1100], start_at="20260302140000")

    found = linked(forest, modality="CT", station="CT1", when="20260302133000")

    assert [one.step_id for one in found.links] == [1100]


def test_an_object_with_several_requests_takes_the_first_that_finds_anything(forest):
    items = [LinkKeys("P1", step_id="S9", requested_procedure_id="RP9"), LinkKeys("P1", accession="A100")]

    found = link_any(Names(forest), forest, items, ISSUERS)

    assert [one.step_id for one in found.links] == [1000]


def test_one_request_of_another_patient_outweighs_all_others(forest):
    items = [LinkKeys("P1", study_uid="1.2.100"), LinkKeys("P1", accession="A200")]

    found = link_any(Names(forest), forest, items, ISSUERS)

    assert (found.links, found.other_patient) == ((), 20)


def test_only_orders_that_carry_step_and_procedure_id_together_are_looked_at():
    keys = LinkKeys("P1", step_id="1", requested_procedure_id="2")
    found = {(AliasKind.STEP_ID, "1"): {1, 2, 3}, (AliasKind.PROCEDURE_ID, "2"): {3, 4}}

    assert keys.orders(found) == {3}


def test_an_accession_makes_the_lookup_by_step_id_needless():
    keys = LinkKeys("P1", step_id="1", requested_procedure_id="2", accession="A", study_uid="1.2")

    assert set(keys.names()) == {(AliasKind.ACCESSION, "A"), (AliasKind.STUDY_UID, "1.2")}
