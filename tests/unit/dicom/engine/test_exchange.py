"""A request and the next one: what comes after the final reply belongs to nobody but the next request."""

from __future__ import annotations

import struct
import time
from collections.abc import Iterator

import pytest

from broker.dicom.command_set import C_CANCEL, CommandSet, read_command_set
from broker.dicom.contract import Reply
from broker.dicom.engine.messages import WRITE_BYTES, WRITE_SECONDS, Ended, Exchange
from broker.dicom.engine.pdu import Pdv
from broker.dicom.status import Status
from tests.kit.raw_dicom import WORKLIST, command_set


class QuickPeer:
    """A line to a peer whose next request is there as soon as it has an answer."""

    room = 16_384

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.is_gone = False

    @property
    def has_more(self) -> bool:
        return False

    def next_fragment(self, context_id: int, deadline: float) -> Pdv:
        raise Ended

    def write(self, buffers: list[bytes]) -> None:
        if self.is_gone:
            raise Ended
        self.written += buffers

    def look(self) -> list[CommandSet]:
        return [read_command_set(command_set(0x0020, 2, WORKLIST, dataset=True))] if len(self.written) > 1 else []

    def refuse_second_request(self) -> None:
        raise AssertionError("the first request was answered")


@pytest.mark.parametrize("slow", [0, 1])
def test_the_request_after_a_slow_answer_is_no_second_one_before_it(slow: int) -> None:
    peer = QuickPeer()

    def replies() -> Iterator[Reply]:
        for number in range(2):
            if number == slow:
                time.sleep(1.1 * WRITE_SECONDS)  # a store that is busy
            yield (Reply(Status.PENDING), Reply(Status.SUCCESS))[number]

    Exchange(peer, 3, read_command_set(command_set(0x0020, 1, WORKLIST)), None).answer_with(replies())

    assert len(peer.written) == 2


@pytest.mark.parametrize("statuses", [(Status.SUCCESS,), (Status.PENDING, Status.SUCCESS)], ids=["one", "two"])
def test_a_service_tells_what_it_did_when_its_final_reply_has_left(statuses: tuple[Status, ...]) -> None:
    peer = QuickPeer()
    left: list[int] = []

    def replies() -> Iterator[Reply]:
        try:
            for status in statuses:
                yield Reply(status)
        finally:
            left.append(len(peer.written))

    Exchange(peer, 3, read_command_set(command_set(0x0020, 1, WORKLIST)), None).answer_with(replies())

    assert left == [len(statuses)]


def test_a_service_whose_peer_is_gone_ends_all_the_same() -> None:
    peer = QuickPeer()
    peer.is_gone = True
    ended: list[str] = []

    def replies() -> Iterator[Reply]:
        try:
            yield Reply(Status.SUCCESS)
        finally:
            ended.append("service")

    with pytest.raises(Ended):
        Exchange(peer, 3, read_command_set(command_set(0x0020, 1, WORKLIST)), None).answer_with(replies())

    assert ended == ["service"]


class CancellingPeer(QuickPeer):
    """Its C-CANCEL lies there once something has left."""

    room = 100

    def look(self) -> list[CommandSet]:
        return [read_command_set(command_set(C_CANCEL, 1, WORKLIST))] if self.written else []


def test_what_was_cancelled_while_many_answers_leave_ends_among_them() -> None:
    peer = CancellingPeer()
    exchange = Exchange(peer, 3, read_command_set(command_set(0x0020, 1, WORKLIST)), None)

    def replies() -> Iterator[Reply]:
        yield Reply(Status.PENDING, datasets=[b"\0" * 1_000] * 1_000)
        yield Reply(Status.CANCELLED if exchange.is_cancelled() else Status.SUCCESS)

    exchange.answer_with(replies())

    assert 0 < sum(map(len, peer.written)) < 2 * WRITE_BYTES
    assert struct.pack("<HHLH", 0, 0x0900, 2, Status.CANCELLED) in peer.written[-1]
