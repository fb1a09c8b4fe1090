"""What reading an order costs, from its bytes to the request: in proportion to the bytes, and nothing stays."""

from __future__ import annotations

import gc
import tracemalloc
from datetime import UTC, datetime

import pytest

from broker.domain.request import Cause, KeepMessage, PlaceOrder, ReceivedMessage, Sender
from broker.errors import TooMany
from broker.hl7v2.reader import read
from broker.mapping.groups import MOST_GROUPS
from broker.mapping.identifiers import MOST_IDENTIFIERS
from broker.mapping.messages import orm_o01
from tests.kit.doubling import check_linear
from tests.kit.worst_hl7 import EVERY, ORDERS, PARTS, Maker, lines_of_base64, message
from tests.unit.mapping.reading import Reading

SITE = Reading()
MOST_TIMES_ITS_BYTES = 10
HEAVY = (
    "returns", "segments of one letter", "fields", "kana", "spelt ISO 2022 escapes", "one wide character",
    "bytes without meaning", "repetitions of a name", "observations that are looked for", "allergies", "stray",
    "base64 in one field", "orders that share",
)  # fmt: skip
"""What weighed most when every piece of a message was kept: up to eighty times its bytes."""
WORST = {**PARTS, **ORDERS}


def read_order(raw: bytes) -> PlaceOrder | KeepMessage | None:
    received = ReceivedMessage(raw, "peer", datetime(2026, 3, 1, tzinfo=UTC), Sender("RIS", "HOSP", "RIS|HOSP"))
    try:
        return orm_o01.read(read(raw), received, SITE)
    except TooMany:
        return None


def refused(raw: bytes) -> tuple[Cause, str]:
    request = read_order(raw)
    assert isinstance(request, KeepMessage)
    assert request.refusal is not None
    return request.refusal.cause, request.refusal.detail


@pytest.mark.parametrize("make", WORST.values(), ids=WORST)
def test_an_order_is_read_in_proportion_to_its_bytes(make: Maker) -> None:
    check_linear(make, read_order, 2_000)


@pytest.mark.parametrize("make", [EVERY[name] for name in HEAVY], ids=HEAVY)
def test_reading_takes_at_most_ten_times_the_bytes_and_keeps_none(make: Maker) -> None:
    raw = make(100_000)
    read_order(raw)
    gc.collect()
    tracemalloc.start()
    try:
        read_order(raw)
        _, peak = tracemalloc.get_traced_memory()
        gc.collect()
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    # What is the same for every message (the profile's rows are looked at, some fields kept) is no share of its bytes.
    assert peak <= MOST_TIMES_ITS_BYTES * len(raw) + 200_000
    assert kept < 50_000


def orders(count: int) -> bytes:
    one = b"\rORC|NW|PO%d\rOBR|1|PO%d||CT1^CT|||||||||||||||||||||||^^^20260303101500"
    return b"".join(one % (n, n) for n in range(count))


def test_as_many_orders_are_read_as_are_taken_and_not_one_more() -> None:
    most = read_order(message(order=orders(MOST_GROUPS)))

    assert isinstance(most, PlaceOrder)
    assert len(most.orders) == MOST_GROUPS
    assert refused(message(order=orders(MOST_GROUPS + 1))) == (Cause.TOO_MANY, "more than 1000 orders")


def test_a_patient_has_as_many_numbers_as_are_taken_and_not_one_more() -> None:
    def numbers(count: int) -> bytes:
        return b"\rPID|||" + b"~".join(b"%d^^^I%d" % (n, n) for n in range(count)) + b"||Brook^Clara"

    most = read_order(message(patient=numbers(MOST_IDENTIFIERS)))

    assert isinstance(most, PlaceOrder)
    assert len(most.patient.identifiers) == MOST_IDENTIFIERS
    assert refused(message(patient=numbers(MOST_IDENTIFIERS + 1))) == (Cause.TOO_MANY, "more than 200 patient numbers")


def test_a_number_in_a_field_whose_end_is_not_looked_at_is_refused() -> None:
    long = b"\rPID|||1^^^HOSP~" + b"^" * 200_000 + b"~2^^^HOSP||Brook^Clara"

    assert refused(message(patient=long))[0] is Cause.TOO_LONG


def test_obrs_that_share_a_long_orc_are_refused_before_each_has_read_it() -> None:
    cause, detail = refused(message(b"\rOBR" * 100, order=b"\rORC|NW|PO1|" + b"a" * 50_000 + b"\rOBR"))

    assert (cause, detail) == (Cause.TOO_MANY, "more than 1000000 characters that OBRs without ORC share")


@pytest.mark.parametrize("lines", ["OBX", "NTE"])
def test_ten_megabytes_of_a_document_in_lines_are_read_like_any_order(lines: str) -> None:
    request = read_order(lines_of_base64(10_500_000).replace(b"OBX", lines.encode()))

    assert isinstance(request, PlaceOrder)
    assert request.orders[0].placer is not None


def test_a_weight_behind_ten_thousand_observations_is_found() -> None:
    request = read_order(message(b"\rOBX|1|NM|x||1" * 10_000 + b"\rOBX|2|NM|29463-7^Body Weight^LN||71|kg"))

    assert isinstance(request, PlaceOrder)
    assert "PatientWeight" in {**request.patient.changes, **request.orders[0].step}


def test_what_stands_before_all_orders_holds_for_each_of_them() -> None:
    request = read_order(message(before=b"\rPV1||O|R^^^HOSP|||||7^Refer^Rita", order=orders(3)))

    assert isinstance(request, PlaceOrder)
    assert [order.visit for order in request.orders] == [request.orders[0].visit] * 3
    assert request.orders[0].visit
    assert [order.placer.value for order in request.orders if order.placer] == ["PO0", "PO1", "PO2"]
