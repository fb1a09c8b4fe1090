"""A plain RIS leaves MSH-18 empty and sends its names all the same: the patient is listed under the right name."""

from __future__ import annotations

import pytest

from tests.kit.brokers import RunningBroker
from tests.kit.messages import Case


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_a_name_is_right_when_no_character_set_is_declared(broker: RunningBroker, encoding: str) -> None:
    case = Case()

    answer = broker.send(case.order(encoding=encoding, header={"name": "Müller^Jörg"}))

    assert answer.code == "AA"
    assert str(broker.item(case).PatientName) == "Müller^Jörg"


def test_a_sender_may_have_a_character_set_of_its_own(broker_with, case: Case) -> None:
    broker = broker_with('[senders."OF|*"]\ncharset = "8859/2"\n')

    broker.send(case.order(encoding="iso-8859-2", header={"name": "Łukasz^Święty"}))

    assert str(broker.item(case).PatientName) == "Łukasz^Święty"
