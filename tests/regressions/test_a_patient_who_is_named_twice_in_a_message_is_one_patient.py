"""A message may repeat its PID before each order; only another patient number makes it another patient."""

from __future__ import annotations

import pytest

from broker.domain.request import Cause
from tests.unit.mapping.reading import order, placed, refused


@pytest.mark.parametrize("again", ["PID|2||4711^^^HOSP||Brook^Clara", "PID|10||4711^^^HOSP||Brook^Clara||19800102|F"])
def test_a_repeated_pid_may_say_less_or_more_than_the_first(again: str) -> None:
    request = placed(*order(pid="PID|||4711^^^HOSP||Brook^Clara|Stone"), again, *order(orc={2: "PO2"})[1:])

    assert [o.placer.value for o in request.orders if o.placer] == ["PO1", "PO2"]


def test_a_pid_with_another_number_refuses_the_message() -> None:
    refusal = refused(*order(), "PID|2||4712^^^HOSP||Brook^Clara", *order()[1:])

    assert (refusal.cause, refusal.subject) == (Cause.CONTRADICTION, "PatientID")
