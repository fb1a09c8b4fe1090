"""A finished step does not follow what changes above it; it catches up when it comes back on the list."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from broker.domain.linking import LinkKeys
from broker.domain.order import PerformedState
from broker.domain.performed import PerformedCreate, PerformedMessage, PerformedSet, Progress
from broker.mapping.splice import value_of
from broker.store.tables import scheduled_steps
from broker.workflow.record_performed import record_performed_verb
from tests.kit.messages import Case
from tests.store.test_place_order import Desk

START = "20260302091500"


@pytest.fixture
def desk(database, clock):
    made = Desk(database, clock)
    yield made
    made.writer.stop(5.0)


def perform(desk, uid, case):
    """A modality begins the step that it names by its id."""
    keys = LinkKeys(case.patient_id, step_id=case.step_id, requested_procedure_id=case.procedure_id,
                    accession=case.accession, modality="CT", station="CT1", when=START)  # fmt: skip
    message = PerformedMessage(uid, b"", "1.2.840.10008.1.2", "CT1", desk.clock.now())
    begun = PerformedCreate(message, PerformedState.IN_PROGRESS, "PPS1", case.patient_id, "", "CT", "CT1", START,
                            Progress(), (keys,))  # fmt: skip
    desk.writer.ask(record_performed_verb(desk.site, desk.database.ids), begun, 100, 20.0)


def end(desk, uid):
    message = PerformedMessage(uid, b"", "1.2.840.10008.1.2", "CT1", desk.clock.now())
    done = PerformedSet(message, PerformedState.COMPLETED, Progress())
    desk.writer.ask(record_performed_verb(desk.site, desk.database.ids), done, 100, 20.0)


def step_of(desk, case):
    with desk.database.read() as tx:
        return tx.execute(select(scheduled_steps).where(scheduled_steps.c.step_id == case.step_id)).one()


def test_a_step_that_is_performed_again_has_the_patients_name_of_today(desk):
    first, second = Case(), Case()
    desk.place(first.order())
    perform(desk, "1.9.1", first)
    end(desk, "1.9.1")
    desk.place(second.order(header={"patient": f"{first.patient_id}^^^HOSP", "name": "Doe^Janet"}))

    perform(desk, "1.9.2", first)

    step = step_of(desk, first)
    assert (step.state, step.listed) == ("STARTED", True)
    assert value_of(desk.site.rows, step.elements, "PatientName") == "Doe^Janet"
    assert step.match_patient_name == step_of(desk, second).match_patient_name
