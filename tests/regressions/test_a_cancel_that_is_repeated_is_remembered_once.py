"""A cancel of an unknown order is refused, and senders repeat what is refused: one row remembers it, the latest.

Seen: each repeat made one more row, and each message that named the order read them all; the 3,000th took ten times as
long as the first, and everybody else waited for it.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.kit.brokers import RunningBroker, running
from tests.kit.messages import Case
from tests.kit.mllp import Sender


@pytest.fixture
def broker(database_url, tmp_path) -> Iterator[RunningBroker]:
    with running(tmp_path / "data", database_url) as started:
        yield started


def sent_at(case: Case, control: str, minute: int) -> bytes:
    return case.order(control=control, order_time="", header={"message_time": f"2026030109{minute:02d}00"})


def test_repeats_leave_one_row_and_the_latest_of_them_counts(broker):
    case, other = Case(), Case()
    with Sender(broker.hl7_port) as sender:
        for minute in (10, 30, 20, 30):
            assert sender.send(sent_at(case, "CA", minute)).error == "204"
        assert sender.send(sent_at(other, "CA", 10)).error == "204"

        assert broker.cancels_kept() == 2
        assert broker.outcome(sender.send(sent_at(case, "NW", 25))) == "superseded"
        assert broker.outcome(sender.send(sent_at(case, "NW", 40))) == "created"
        assert broker.outcome(sender.send(sent_at(other, "NW", 20))) == "created"


def test_repeats_that_are_written_together_leave_one_row(broker):
    case = Case()
    senders = [Sender(broker.hl7_port) for _ in range(10)]

    for minute, sender in enumerate(senders):
        sender.write(b"\x0b" + sent_at(case, "CA", minute) + b"\x1c\x0d")
    for sender in senders:
        assert sender.read() is not None
        sender.socket.close()

    assert broker.cancels_kept() == 1
    assert broker.outcome(broker.send(sent_at(case, "NW", 5))) == "superseded"
