"""A cancel counts by the number that it names, and its time counts even where there was nothing left to cancel."""

from __future__ import annotations

from datetime import timedelta

from broker.domain.order import StepState
from broker.domain.request import Outcome
from tests.unit.domain.orders import NOON, Ris, order


def test_an_early_cancel_by_accession_stops_the_order_that_also_has_a_placer_number() -> None:
    ris = Ris()
    ris.send(order("CA", placer=None, accession="ACC1"))

    answer = ris.send(order(placer="PO1", accession="ACC1"))

    assert (answer.outcome, ris.steps()) == (Outcome.SUPERSEDED, [])


def test_an_early_cancel_by_order_number_says_nothing_about_another_order_with_its_accession() -> None:
    ris = Ris()
    ris.send(order("CA", placer="PO1", accession="ACC1"))

    answer = ris.send(order(placer="PO2", accession="ACC1"))

    assert answer.outcome is Outcome.CREATED


def test_an_order_older_than_the_second_of_two_cancels_brings_nothing_back() -> None:
    ris = Ris()
    ris.send(order(at=NOON))
    ris.send(order("CA", at=NOON + timedelta(minutes=1)))
    ris.send(order("CA", at=NOON + timedelta(minutes=3)))

    answer = ris.send(order(at=NOON + timedelta(minutes=2)))

    assert (answer.outcome, ris.step().state) == (Outcome.SUPERSEDED, StepState.CANCELED)
