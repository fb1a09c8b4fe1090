"""Places at the HL7 door: a host that opens them all and says nothing keeps nobody out, not even itself.

Seen: 520 silent connections of one host, and no other sender got in until they had idled for five minutes.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.kit.brokers import RunningBroker, running
from tests.kit.messages import Case
from tests.kit.mllp import START, Sender

OTHER_HOST = "127.0.0.2"
SETTLED_SECONDS = 1.2


@pytest.fixture
def broker(database_url, tmp_path) -> Iterator[RunningBroker]:
    with running(tmp_path / "data", database_url) as started:
        yield started


@pytest.fixture
def small(tmp_path) -> Iterator[RunningBroker]:
    """Ten places, eight of them for one host."""
    url = f"sqlite:///{tmp_path}/data/broker.db"
    with running(tmp_path / "data", url, hl7_connections=10, hl7_connections_per_host=8) as started:
        yield started


def silent(stack: ExitStack, broker: RunningBroker, count: int, source: str = "127.0.0.1") -> list[Sender]:
    return [stack.enter_context(Sender(broker.hl7_port, source=source)) for _ in range(count)]


def answered(broker: RunningBroker, source: str) -> bool:
    try:
        with Sender(broker.hl7_port, source=source) as sender:
            return sender.send(Case().order()).code == "AA"
    except (OSError, AssertionError):
        return False


def test_520_silent_connections_keep_neither_other_hosts_nor_their_own_out(broker):
    with ExitStack() as held:
        silent(held, broker, 520)

        assert answered(broker, OTHER_HOST)

        time.sleep(SETTLED_SECONDS)
        assert answered(broker, "127.0.0.1")


def test_a_half_message_and_a_sender_that_has_delivered_keep_their_places(small):
    with ExitStack() as held:
        begun, known = silent(held, small, 2)
        message = START + Case().order() + b"\x1c\x0d"
        assert known.send(Case().order()).code == "AA"
        begun.write(message[:30])
        silent(held, small, 6)
        time.sleep(SETTLED_SECONDS)

        assert all(answered(small, "127.0.0.1") for _ in range(10))

        begun.write(message[30:])
        answer = begun.read()
        assert answer is not None
        assert answer.code == "AA"
        assert known.send(Case().order()).code == "AA"


def test_where_nobody_can_give_way_the_newcomer_is_closed_and_others_have_their_places(small):
    with ExitStack() as held:
        for one in silent(held, small, 8):
            one.write(START + b"MSH|")
        time.sleep(SETTLED_SECONDS)

        assert not answered(small, "127.0.0.1")
        assert answered(small, OTHER_HOST)


def test_a_host_that_holds_less_loses_nothing_to_one_that_holds_more(small):
    with ExitStack() as held:
        (quiet,) = silent(held, small, 1, OTHER_HOST)
        silent(held, small, 20)
        time.sleep(SETTLED_SECONDS)
        silent(held, small, 20)

        assert quiet.send(Case().order()).code == "AA"


def test_one_host_may_use_all_its_connections_again_and_again(broker):
    with ExitStack() as held:
        senders = silent(held, broker, 450)

        for one in senders[::50] + senders[::50]:
            assert one.send(Case().order()).code == "AA"
