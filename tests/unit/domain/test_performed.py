"""Performed steps: what their state allows, and what they do to the scheduled step."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from broker.domain.linking import How, Link, Sure
from broker.domain.order import PerformedState, StepState
from broker.domain.performed import (
    Faults,
    PerformedCreate,
    PerformedMessage,
    PerformedStep,
    Progress,
    Verdict,
    may_create,
    may_set,
    state_on_end,
    state_on_start,
)

AT = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
RUNNING, DONE, GIVEN_UP = PerformedState.IN_PROGRESS, PerformedState.COMPLETED, PerformedState.DISCONTINUED
BY_ID = Link(1, 2, 3, How.STEP_ID, Sure.CERTAIN)
BY_STUDY = Link(1, 2, 3, How.STUDY_UID, Sure.CERTAIN)
PROPOSED = Link(1, 2, 3, How.PROPOSAL, Sure.PROPOSAL)
PROCEDURE_ONLY = Link(1, 2, None, How.STUDY_UID, Sure.LIKELY)


def present(state):
    return PerformedStep(1, "1.2", state, "P", "", "", "CT", "CT1", "20260302090000", None, "", 0, 0, "CT1", AT)


def create(state):
    message = PerformedMessage("1.2", b"", "1.2.840.10008.1.2", "CT1", AT)
    return PerformedCreate(message, state, "P", "", "", "CT", "CT1", "20260302090000", Progress(), ())


@pytest.mark.parametrize(("known", "state", "verdict"), [
    (None, RUNNING, Verdict.RECORDED), (None, DONE, Verdict.INVALID_VALUE), (None, GIVEN_UP, Verdict.INVALID_VALUE),
    (RUNNING, RUNNING, Verdict.DUPLICATE), (DONE, RUNNING, Verdict.DUPLICATE),
])  # fmt: skip
def test_a_performed_step_is_created_once_and_in_progress(known, state, verdict):
    assert may_create(present(known) if known else None, create(state)) is verdict


@pytest.mark.parametrize(("known", "verdict"), [
    (None, Verdict.UNKNOWN), (RUNNING, Verdict.RECORDED), (DONE, Verdict.FINAL), (GIVEN_UP, Verdict.FINAL),
])  # fmt: skip
def test_a_performed_step_is_set_only_while_in_progress(known, verdict):
    assert may_set(present(known) if known else None) is verdict


@pytest.mark.parametrize("state", [StepState.SCHEDULED, StepState.ARRIVED, StepState.READY, StepState.DEPARTED])
@pytest.mark.parametrize("link", [BY_ID, BY_STUDY])
def test_a_step_that_waits_starts(state, link):
    assert state_on_start(state, link) is StepState.STARTED


@pytest.mark.parametrize("state", [StepState.COMPLETED, StepState.DISCONTINUED])
def test_a_finished_step_starts_again_only_for_work_that_names_it(state):
    assert state_on_start(state, BY_ID) is StepState.STARTED
    assert state_on_start(state, BY_STUDY) is state


@pytest.mark.parametrize("state", StepState)
@pytest.mark.parametrize("link", [PROPOSED, PROCEDURE_ONLY])
def test_a_proposal_or_a_link_to_the_procedure_moves_no_step(state, link):
    assert state_on_start(state, link) is state


def test_a_cancelled_step_stays_cancelled():
    assert state_on_start(StepState.CANCELED, BY_ID) is StepState.CANCELED


@pytest.mark.parametrize(("performed", "expected"), [
    ([DONE], StepState.COMPLETED), ([GIVEN_UP], StepState.DISCONTINUED), ([GIVEN_UP, DONE], StepState.COMPLETED),
    ([DONE, RUNNING], StepState.STARTED), ([RUNNING], StepState.STARTED), ([], StepState.STARTED),
])  # fmt: skip
def test_a_started_step_ends_with_its_last_performed_step(performed, expected):
    assert state_on_end(StepState.STARTED, performed) is expected


@pytest.mark.parametrize("state", [state for state in StepState if state is not StepState.STARTED])
def test_only_a_started_step_ends(state):
    assert state_on_end(state, [DONE]) is state


def test_of_several_faults_the_missing_attribute_is_told_first():
    faults = Faults(missing=(1,), empty=(2,), invalid=(3,))

    assert (faults.verdict, faults.tags) == (Verdict.MISSING_ATTRIBUTE, (1,))
    assert replace(faults, missing=()).verdict is Verdict.MISSING_VALUE
    assert Faults(invalid=(3,)).verdict is Verdict.INVALID_VALUE
    assert Faults().verdict is None
