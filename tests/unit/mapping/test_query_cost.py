"""Reading an identifier costs what it weighs, whatever it is heavy with; past a bound the refusal names the key."""

from __future__ import annotations

from contextlib import suppress

import pytest

from broker.dicom.contract import Command
from broker.dicom.status import reply_for
from broker.domain.matching import All
from broker.errors import BeyondBounds, UnreadableDataset
from broker.mapping.query import MOST_PATTERN, read_query
from broker.site.profile import load
from tests.kit.doubling import check_linear
from tests.kit.heavy_datasets import HEAVY, PATIENT_NAME, SCHEDULED, element, elements, items, marks, nested, text

IMPLICIT = "1.2.840.10008.1.2"
ROWS = load(None).rows
STUDY_UID, PATIENT_ID, BIRTH_DATE = 0x0020000D, 0x00100020, 0x00100030
STEPS, START_DATE = 0x00400100, 0x00400002


def read(identifier):
    return read_query(ROWS, identifier, IMPLICIT, "CT1")


@pytest.mark.parametrize("make", HEAVY.values(), ids=HEAVY)
def test_an_identifier_costs_what_it_weighs(make):
    def refused_or_read(identifier):
        with suppress(UnreadableDataset):
            read(identifier)

    check_linear(make, refused_or_read, 20_000)


def test_a_list_of_uids_costs_what_it_weighs():
    def made(size):
        return text(STUDY_UID, "\\".join(f"1.2.{number}" for number in range(size)).encode())

    check_linear(made, read, 50_000)


BEYOND = {
    "a name of marks": (marks(200_000), PATIENT_NAME),
    "a name": (text(PATIENT_NAME, b"A" * (MOST_PATTERN + 1)), PATIENT_NAME),
    "components and no name": (text(PATIENT_NAME, b"^" * 2_000 + b"A"), PATIENT_NAME),
    "wild cards": (text(PATIENT_ID, b"*A" * MOST_PATTERN), PATIENT_ID),
    "a key": (text(PATIENT_ID, b"A" * 100_000), PATIENT_ID),
    "values": (text(PATIENT_ID, b"A\\" * 200), PATIENT_ID),
    "keys": (elements(2_000), 0x000903E8),
    "items": (items(STEPS, 2_000), STEPS),
    "nested keys": (nested(SCHEDULED, 300), SCHEDULED),
}


@pytest.mark.parametrize(("identifier", "tag"), BEYOND.values(), ids=BEYOND)
def test_past_a_bound_the_query_is_refused_with_a900_and_the_key_is_named(identifier, tag):
    with pytest.raises(BeyondBounds) as refused:
        read(identifier)

    reply = reply_for(refused.value, Command.C_FIND)
    assert (reply.status, reply.offending) == (0xA900, (tag,))
    assert "too" in reply.comment


@pytest.mark.parametrize("value", [b"*" * 60_000, b"*" * 7 + b"\\" + b"*" * 7])
@pytest.mark.parametrize("tag", [PATIENT_NAME, PATIENT_ID])
def test_stars_are_a_universal_key_however_many(tag, value):
    assert read(text(tag, value)).tree == All()


def test_a_long_key_without_wild_cards_matches_nothing_and_is_no_fault():
    assert read(text(PATIENT_ID, b"9" * 5_000)).tree != All()


def test_a_range_of_a_thousand_dashes_is_no_date():
    with pytest.raises(UnreadableDataset) as refused:
        read(element(STEPS, element(0xFFFEE000, text(START_DATE, b"-" * 1_000))))

    assert refused.value.facts["tags"] == (START_DATE,)
