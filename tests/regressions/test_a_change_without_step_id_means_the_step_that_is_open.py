"""A change that names no step means one that is still to be done, not a cancelled one beside it."""

from __future__ import annotations

from broker.domain.order import StepState
from broker.domain.scheduling import MODALITY, START_DATE
from tests.unit.domain.orders import Ris, order


def test_a_change_without_step_id_moves_the_open_step_and_not_the_cancelled_one() -> None:
    ris = Ris()
    ris.send(order(procedure_id="RP1", step_id="S1"), order(procedure_id="RP1", step_id="S2", group=2))
    ris.send(order("CA", procedure_id="RP1", step_id="S1"))

    ris.send(order("XO", procedure_id="RP1", step={START_DATE: "20260401"}))

    cancelled, moved = ris.steps()
    assert (cancelled.state, cancelled.start_at) == (StepState.CANCELED, "20260302101500")
    assert (moved.step_id, moved.start_at) == ("S2", "20260401101500")


def test_groups_without_step_ids_find_the_steps_of_their_modality() -> None:
    ris = Ris()
    both = (order(procedure_id="RP1"), order(procedure_id="RP1", step={MODALITY: "MR"}, group=2))
    ris.send(*both)
    ris.send(order("CA", procedure_id="RP1", step_id=ris.steps()[0].step_id))

    ris.send(*both)

    assert [step.modality for step in ris.steps()] == ["CT", "MR"]
