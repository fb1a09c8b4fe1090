"""No message, however it is made, keeps the HL7 door from answering others; what passes a bound is told which."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kit.brokers import RunningBroker, running
from tests.kit.databases import KINDS, Databases
from tests.kit.messages import Case
from tests.kit.mllp import Answer, Sender
from tests.kit.worst_hl7 import CHARSETS, LINES, ORDERS, PARTS, Maker, lines_of_base64, many, message

AT_ONCE = 4
MOST_SECONDS = 5.0
"""For an order of somebody else meanwhile; it takes some hundredths, and the machines of tests are slow."""


@pytest.fixture(scope="module", params=KINDS)
def broker(
    request: pytest.FixtureRequest, databases: Databases, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningBroker]:
    folder: Path = tmp_path_factory.mktemp("broker")
    with databases.fresh(request.param, folder) as url, running(folder, url) as made:
        yield made


def answers_while_another_orders(broker: RunningBroker, raw: bytes) -> list[Answer]:
    """Send a message several times at once; an order on another connection is answered meanwhile."""
    answers: list[Answer] = []

    def send() -> None:
        with Sender(broker.hl7_port, 60.0) as sender:
            answers.append(sender.send(raw))

    threads = [threading.Thread(target=send) for _ in range(AT_ONCE)]
    for thread in threads:
        thread.start()
    began = time.monotonic()
    other = broker.send(Case().order())
    seconds = time.monotonic() - began
    for thread in threads:
        thread.join(60.0)

    assert other.code == "AA"
    assert seconds < MOST_SECONDS
    assert len(answers) == AT_ONCE
    return answers


@pytest.mark.parametrize(
    ("make", "size"),
    [
        (LINES["line feeds"], 100_000),
        (LINES["returns"], 1_000_000),
        (PARTS["observations that are looked for"], 100_000),
        (PARTS["notes"], 200_000),
        (CHARSETS["ISO 2022 escapes with letters"], 100_000),
        (lines_of_base64, 3_000_000),
    ],
)
def test_what_is_only_hard_to_read_is_read_and_others_are_served(
    broker: RunningBroker, make: Maker, size: int
) -> None:
    answers = answers_while_another_orders(broker, make(size))

    assert {answer.code for answer in answers} == {"AA"}


@pytest.mark.parametrize(
    ("raw", "location", "text"),
    [
        (ORDERS["orders with observations"](182_000), "ORC^1", "more than 1000 orders"),
        (LINES["segments of one letter"](3_000_000), "", "more than 200000 segments"),
        (message(many(b"\rOBX")(3_000_000)), "OBX^199997", "more than 200000 segments"),
        (message(patient=b"\rPID|||" + b"~".join(b"%d" % n for n in range(5_000)) + b"||Brook^Clara"),
         "PID^1^3", "more than 200 patient numbers"),
    ],
    ids=["orders", "letters", "observations", "numbers"],
)  # fmt: skip
def test_what_passes_a_bound_is_refused_by_its_name_and_others_are_served(
    broker: RunningBroker, raw: bytes, location: str, text: str
) -> None:
    answers = answers_while_another_orders(broker, raw)

    assert {(answer.code, answer.error, answer.field("MSA", 2)) for answer in answers} == {("AE", "102", "C1")}
    assert {answer.field("ERR", 1).rsplit("^", 1)[0].rstrip("^") for answer in answers} == {location}
    assert {answer.field("MSA", 3).removeprefix("more parts than are taken: ") for answer in answers} == {text}
    assert len(broker.kept(answers[0])) == 4_096
