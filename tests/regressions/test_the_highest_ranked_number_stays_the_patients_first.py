"""A patient known by a number of higher rank keeps it on the list when a message names only one of lower rank."""

from __future__ import annotations

from dataclasses import replace

from broker.domain.request import Issuer
from broker.domain.rules import Authority
from tests.unit.domain.orders import HOSP, RULES, Ris, named, order

REGION = Issuer("REGION")


def test_a_message_with_the_lower_number_alone_does_not_change_the_primary_one() -> None:
    ris = Ris(replace(RULES, authorities=(Authority(HOSP, rank=1), Authority(REGION, rank=2))))
    ris.send(order(placer="PO1"), patient="P1", others=(named("R1", REGION),))

    ris.send(order(placer="PO2"), patient="R1", issuer=REGION)

    (patient,) = ris.book.forest.patients.values()
    assert [held.value for held in patient.identifiers] == ["P1", "R1"]
