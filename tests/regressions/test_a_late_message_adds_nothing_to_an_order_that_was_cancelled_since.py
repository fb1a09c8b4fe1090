"""What is added to an order that was cancelled as a whole needs the same proof as what comes back."""

from __future__ import annotations

from datetime import timedelta

import pytest

from broker.domain.order import StepState
from broker.domain.request import Outcome
from tests.unit.domain.orders import NOON, Ris, order


def cancelled_at_noon() -> Ris:
    ris = Ris()
    ris.send(order(procedure_id="RP1", at=NOON - timedelta(minutes=9)))
    ris.send(order("CA", at=NOON))
    return ris


@pytest.mark.parametrize("control", ["NW", "XO"])
@pytest.mark.parametrize("minutes", [-5, 0])
@pytest.mark.parametrize("named", [{"procedure_id": "RP2"}, {"procedure_id": "RP1", "step_id": "S2"}])
def test_a_late_message_adds_no_procedure_and_no_step(control: str, minutes: int, named: dict[str, str]) -> None:
    ris = cancelled_at_noon()

    answer = ris.send(order(control, at=NOON + timedelta(minutes=minutes), **named))

    assert (answer.refusal, ris.step().state) == (None, StepState.CANCELED)
    assert answer.outcome in (Outcome.SUPERSEDED, Outcome.UPDATED)


def test_a_newer_order_adds_its_procedure() -> None:
    ris = cancelled_at_noon()

    answer = ris.send(order(procedure_id="RP2", at=NOON + timedelta(minutes=1)))

    assert (answer.outcome, len(ris.steps())) == (Outcome.CREATED, 2)
