"""A line of the timeline that says only "updated" answers nobody's question."""

from __future__ import annotations

import pytest

from broker.domain.scheduling import START_DATE, START_TIME
from tests.unit.domain.orders import NOON, Ris, order

REASON = "RequestedProcedureDescription"


def test_facts_are_told_with_both_values_and_others_by_name_only() -> None:
    ris = Ris()
    ris.send(order(filler="F1"))
    later = {START_DATE: "20260303", START_TIME: "083000", REASON: "told to nobody"}

    ris.send(order("XO", filler="F1", accession="A9", step=later))
    (event,) = ris.told

    assert event.kind == "updated"
    assert event.detail == {
        "start_at": {"before": "20260302101500", "after": "20260303083000"},
        "accession": {"before": "F1", "after": "A9"},
        "changed": [REASON],
    }


def test_a_patients_new_name_is_an_update_that_names_the_attribute_alone() -> None:
    ris = Ris()
    ris.send(order())

    ris.send(order("XO"), values={"PatientName": "Roe^Jane"})
    (event,) = ris.told

    assert (event.kind, event.detail) == ("updated", {"changed": ["PatientName"]})


def test_a_number_that_we_made_and_the_sender_now_says_is_confirmed() -> None:
    ris = Ris()
    ris.send(order())

    ris.send(order("XO", accession="PO1"))
    (event,) = ris.told

    assert event.detail == {"confirmed": ["accession"]}


@pytest.mark.parametrize("control", ["NW", "XO"])
def test_a_message_without_news_has_nothing_to_tell(control: str) -> None:
    ris = Ris()
    ris.send(order(at=NOON))

    ris.send(order(control, at=NOON))
    (event,) = ris.told

    assert (event.kind, event.detail) == ("unchanged", {})
