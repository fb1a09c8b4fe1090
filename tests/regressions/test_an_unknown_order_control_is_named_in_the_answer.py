"""A sender must be told which order control is unknown; the code is no patient data, but bytes of a stranger."""

from __future__ import annotations

import pytest

from broker.domain.request import Cause
from tests.unit.domain.orders import Ris, order


@pytest.mark.parametrize(
    ("control", "words"),
    [
        ("RP", "order control RP is not in the table"),
        ("N\x1b[2JW", "order control N[2JW is not in the table"),
        ("X" * 5000, f"order control {'X' * 10} is not in the table"),
        ("", "order control is empty"),
        ("\x00", "order control is empty"),
    ],
)
def test_the_refusal_names_the_code_without_control_characters_and_not_longer_than_a_code(
    control: str, words: str
) -> None:
    answer = Ris().send(order(control))

    assert answer.refusal is not None
    assert (answer.refusal.cause, answer.refusal.text) == (Cause.ORDER_CONTROL, words)
