"""One patient may stand for many, as "unknown" does: his next order costs no more than anybody's.

Seen: each message loaded every open order of its patient, though only a change of the patient touches them; the
1,000th order of one patient took thirty times as long as the first, and everybody else waited for it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.kit.brokers import RunningBroker, running
from tests.kit.messages import Case
from tests.kit.mllp import Sender

ORDERS = 300
MOST_TIMES = 3.0


@pytest.fixture
def broker(database_url, tmp_path) -> Iterator[RunningBroker]:
    with running(tmp_path / "data", database_url) as started:
        yield started


def cpu_seconds(broker: RunningBroker, patient: str, orders: int) -> float:
    """What one process, broker and sender, spends on so many orders."""
    began = time.process_time()
    with Sender(broker.hl7_port, 60.0) as sender:
        for _ in range(orders):
            assert sender.send(Case().order(header={"patient": patient})).code == "AA"
    return time.process_time() - began


def test_the_orders_after_the_first_hundreds_cost_what_the_first_ones_did(broker):
    cpu_seconds(broker, "WARM^^^HOSP", 30)
    first = cpu_seconds(broker, "UNKNOWN^^^HOSP", 50)
    cpu_seconds(broker, "UNKNOWN^^^HOSP", ORDERS)

    later = cpu_seconds(broker, "UNKNOWN^^^HOSP", 50)

    assert later < MOST_TIMES * first


def test_a_new_name_still_reaches_each_open_order(broker):
    cases = [Case() for _ in range(3)]
    with Sender(broker.hl7_port) as sender:
        for case in cases:
            sender.send(case.order(header={"patient": "NAMED^^^HOSP"}))
        newer = {"patient": "NAMED^^^HOSP", "name": "Stone^Ada", "message_time": "20260301100000"}
        assert sender.send(Case().order(header=newer)).code == "AA"

    names = {str(item.PatientName) for item in broker.scanner().items(PatientID="NAMED")}

    assert names == {"Stone^Ada"}


def test_a_name_that_changes_twice_in_one_batch_reaches_each_open_order(broker):
    first, second = Case(), Case()
    broker.send(first.order(header={"patient": "TWICE^^^HOSP", "name": "Doe^Jane"}))
    newer = [
        second.order(
            header={"patient": "TWICE^^^HOSP", "name": name, "message_time": f"2026030110000{at}"}, control="XO"
        )
        for at, name in enumerate(("Stone^Ada", "Doe^Jane", "Brook^Clara"))
    ]
    senders = [Sender(broker.hl7_port) for _ in newer]

    for sender, message in zip(senders, newer, strict=True):
        sender.write(b"\x0b" + message + b"\x1c\x0d")
    for sender in senders:
        sender.read()
        sender.socket.close()

    assert {str(item.PatientName) for item in broker.scanner().items(PatientID="TWICE")} == {"Brook^Clara"}
