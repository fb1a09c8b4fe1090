"""A step with several protocol codes comes as one OBR for each (IHE RAD-4); all of them reach the scanner."""

from __future__ import annotations

from broker.domain.request import Outcome
from broker.domain.scheduling import PROTOCOL_CODES
from tests.unit.domain.orders import Ris, code, order


def test_each_obr_of_one_step_adds_its_protocol_code() -> None:
    ris = Ris()
    groups = [
        order(group=n, procedure_id="RP1", step_id="S1", step={PROTOCOL_CODES: code(word)})
        for n, word in enumerate(("PLAIN", "CONTRAST"), start=1)
    ]

    ris.send(*groups)
    assert ris.step().values[PROTOCOL_CODES] == code("PLAIN") + code("CONTRAST")

    again = ris.send(*groups)
    assert ris.step().values[PROTOCOL_CODES] == code("PLAIN") + code("CONTRAST")
    assert again.outcome is Outcome.UPDATED

    ris.send(order("XO", procedure_id="RP1", step_id="S1", step={PROTOCOL_CODES: code("OTHER")}))
    assert ris.step().values[PROTOCOL_CODES] == code("OTHER")
