"""One message from a sender with a wrong clock must not make every later one look old."""

from __future__ import annotations

from datetime import timedelta

from broker.domain.request import Outcome
from tests.unit.domain.orders import NOON, Ris, order


def test_a_clock_in_the_far_future_supersedes_nothing() -> None:
    ris = Ris()
    ris.send(order(at=NOON + timedelta(days=20_000)), sent=NOON + timedelta(days=20_000))

    answer = ris.send(order("CA", at=NOON), sent=NOON)

    assert answer.outcome is Outcome.CANCELLED
