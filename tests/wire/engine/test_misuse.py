"""What a wrong peer gets: A-ABORT, A-ASSOCIATE-RJ or a status, as PS3.7 and PS3.8 name them, and then the close."""

from __future__ import annotations

import struct
from collections.abc import Callable

import pytest

from broker.dicom.contract import Command
from broker.dicom.listener import DicomListener
from tests.kit.raw_dicom import (
    ABORT_BY_USER,
    CT_IMAGE,
    PERFORMED,
    RELEASE_RP,
    RELEASE_RQ,
    VERIFICATION,
    WORKLIST,
    RawPeer,
    abort,
    associate_rq,
    cancel_rq,
    command_set,
    data,
    echo_rq,
    element,
    find_rq,
    rejection,
)
from tests.wire.engine.conftest import ANSWER, SmallServices

OpenDoor = Callable[..., DicomListener]
BAD_HEADS = {
    "an unknown type": b"\x09\x00\x00\x00\x00\x04\x00\x00\x00\x00",
    "four gigabytes": b"\x01\x00\xff\xff\xff\xff",
    "HTTP": b"GET / HTTP/1.1\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "a long release": b"\x05\x00\x00\x00\x00\x08" + bytes(8),
}
UNEXPECTED = {
    "data": echo_rq(),
    "release": RELEASE_RQ,
    "release reply": RELEASE_RP,
    "rejection": rejection(1, 1, 1),
    "acceptance": b"\x02" + associate_rq()[1:],
}


@pytest.mark.parametrize("head", BAD_HEADS.values(), ids=BAD_HEADS)
def test_what_is_no_pdu_is_aborted_at_once_before_an_association(open_door: OpenDoor, head: bytes) -> None:
    with RawPeer(open_door().port) as peer:
        peer.send(head)

        assert peer.rest() == ABORT_BY_USER  # AA-1


@pytest.mark.parametrize(("head", "reason"), [*zip(BAD_HEADS.values(), (1, 6, 1, 1, 6), strict=True)], ids=BAD_HEADS)
def test_what_is_no_pdu_is_aborted_with_its_reason_in_an_association(
    open_door: OpenDoor, head: bytes, reason: int
) -> None:
    with RawPeer(open_door().port).associate() as peer:
        peer.send(head)

        assert peer.rest() == abort(reason)  # AA-8


@pytest.mark.parametrize("pdu", UNEXPECTED.values(), ids=UNEXPECTED)
def test_a_pdu_before_the_request_is_aborted(open_door: OpenDoor, pdu: bytes) -> None:
    with RawPeer(open_door().port) as peer:
        peer.send(pdu)

        assert peer.rest() == ABORT_BY_USER  # AA-1


@pytest.mark.parametrize(
    "pdu", [associate_rq(), RELEASE_RP, rejection(1, 1, 1)], ids=["request", "release reply", "rejection"]
)
def test_a_pdu_that_an_open_association_does_not_expect_is_aborted(open_door: OpenDoor, pdu: bytes) -> None:
    with RawPeer(open_door().port).associate() as peer:
        peer.send(pdu)

        assert peer.rest() == abort(2)  # AA-8: unexpected PDU


def test_data_that_comes_with_the_request_came_too_early(open_door: OpenDoor, services: SmallServices) -> None:
    with RawPeer(open_door().port) as peer:
        peer.send(associate_rq() + echo_rq())

        assert peer.rest() == abort(2)


def test_data_behind_a_release_is_aborted(open_door: OpenDoor) -> None:
    with RawPeer(open_door(association_seconds=0.3).port).associate() as peer:
        peer.send(RELEASE_RQ + echo_rq())

        assert peer.rest() in (abort(2), RELEASE_RP)  # AA-8 in Sta8, ignored in Sta13


@pytest.mark.parametrize(
    ("wrong", "answer"),
    [
        (associate_rq(calling="STRANGER"), rejection(1, 1, 3)),
        (associate_rq(called="WRONG"), rejection(1, 1, 7)),
        (associate_rq()[:6] + b"\x00\x02" + associate_rq()[8:], rejection(1, 2, 2)),
        (associate_rq().replace(b"1.2.840.10008.3.1.1.1", b"1.2.840.10008.3.1.1.9"), rejection(1, 1, 2)),
        (associate_rq()[:74][:2] + struct.pack(">I", 68) + associate_rq()[6:74], abort(6)),
        (b"\x01\x00\x00\x00\x00\x04abcd", abort(6)),
    ],
    ids=["calling title", "called title", "version", "application context", "no items", "too short"],
)
def test_a_request_that_cannot_be_taken_is_told_why(open_door: OpenDoor, wrong: bytes, answer: bytes) -> None:
    with RawPeer(open_door().port) as peer:
        peer.send(wrong)

        assert peer.rest() == answer


WRONG_MESSAGES = {
    "unknown context": (data(99, command_set(0x0030, 1, VERIFICATION), command=True), abort(6)),
    "a dataset without command": (data(1, b"\x08\x00\x05\x00\x00\x00\x00\x00", command=False), abort(5)),
    "command in another context": (
        data(1, command_set(0x0030, 1, VERIFICATION)[:20], command=True, last=False)
        + data(3, command_set(0x0030, 1, VERIFICATION)[20:], command=True),
        abort(5),
    ),
    "dataset in another context": (
        data(3, command_set(0x0020, 1, WORKLIST, dataset=True), command=True) + data(1, b"12345678", command=False),
        abort(5),
    ),
    "command inside a dataset": (
        data(3, command_set(0x0020, 1, WORKLIST, dataset=True), command=True)
        + data(3, b"12345678", command=False, last=False)
        + cancel_rq(),
        abort(5),
    ),
    "no Message ID": (data(1, element(0x0100, 0x30) + element(0x0800, 0x0101), command=True), ABORT_BY_USER),
    "no command set": (data(1, b"\xff" * 30, command=True), ABORT_BY_USER),
    "an endless command set": (data(1, bytes(16_000), command=True, last=False) * 5, ABORT_BY_USER),
    "a response": (data(1, element(0x0100, 0x8030) + element(0x0800, 0x0101), command=True), ABORT_BY_USER),
    "a command in a thousand empty fragments": (data(1, b"", command=True, last=False) * 1_001, ABORT_BY_USER),
}


@pytest.mark.parametrize(("message", "answer"), WRONG_MESSAGES.values(), ids=WRONG_MESSAGES)
def test_a_message_that_contradicts_itself_is_aborted(open_door: OpenDoor, message: bytes, answer: bytes) -> None:
    with RawPeer(open_door().port).associate() as peer:
        peer.send(message)

        assert peer.rest() == answer


@pytest.mark.parametrize(
    ("context_id", "command", "status"),
    [
        (3, command_set(0x0021, 1, WORKLIST), 0x0211),  # C-MOVE, which nobody serves
        (1, command_set(0x0020, 1, VERIFICATION), 0x0211),  # C-FIND where only C-ECHO was agreed on
        (5, command_set(0x0150, 1, PERFORMED, instance="1.2.3"), 0x0211),  # N-DELETE
        (7, command_set(0x0030, 1, CT_IMAGE), 0x0211),
        (1, command_set(0x0030, 1), 0x0212),  # no SOP class
        (1, command_set(0x0030, 1, WORKLIST), 0x0122),
        (5, command_set(0x0120, 1, WORKLIST, instance="1.2.3"), 0x0118),
    ],
)
def test_a_command_that_was_not_agreed_on_is_answered_and_the_association_goes_on(
    open_door: OpenDoor, context_id: int, command: bytes, status: int
) -> None:
    with RawPeer(open_door().port).associate() as peer:
        peer.send(data(context_id, command, command=True))

        assert peer.status() == status
        assert peer.echo() == 0


def test_a_second_request_before_the_answer_is_aborted(open_door: OpenDoor, services: SmallServices) -> None:
    services.answers = 1_000_000
    with RawPeer(open_door().port).associate() as peer:
        peer.send(find_rq(1))
        peer.pdu()
        peer.send(echo_rq(2))

        assert peer.rest()[-10:] == ABORT_BY_USER
    assert services.ended.wait(10)


def test_a_cancel_while_answers_stream_ends_them(open_door: OpenDoor, services: SmallServices) -> None:
    services.answers = 1_000_000
    with RawPeer(open_door().port).associate() as peer:
        peer.send(find_rq(7))
        peer.pdu()
        peer.send(cancel_rq(8))  # of nothing
        peer.send(cancel_rq(7))

        assert peer.status() == 0xFE00
        assert peer.echo() == 0
    assert services.cancelled.is_set()


def test_a_release_while_answers_stream_is_answered_after_them(open_door: OpenDoor, services: SmallServices) -> None:
    services.answers = 3_000
    with RawPeer(open_door().port).associate() as peer:
        peer.send(find_rq(7))
        peer.pdu()
        peer.send(RELEASE_RQ)

        assert peer.status() == 0
        assert peer.pdu() == RELEASE_RP
        peer.socket.close()


def test_an_abort_while_answers_stream_ends_the_service(open_door: OpenDoor, services: SmallServices) -> None:
    services.answers = 1_000_000
    with RawPeer(open_door().port).associate() as peer:
        peer.send(find_rq(7))
        peer.pdu()
        peer.send(ABORT_BY_USER)

        assert services.ended.wait(10)
        peer.rest()


def test_a_release_inside_a_message_is_answered(open_door: OpenDoor) -> None:
    with RawPeer(open_door().port).associate() as peer:
        peer.send(data(3, command_set(0x0020, 1, WORKLIST, dataset=True), command=True) + RELEASE_RQ)

        assert peer.pdu() == RELEASE_RP


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1_000])
def test_fragments_of_any_size_make_the_same_request(open_door: OpenDoor, services: SmallServices, size: int) -> None:
    command, identifier = command_set(0x0020, 1, WORKLIST, dataset=True), b"\x08\x00\x50\x00\x00\x00\x00\x00"
    with RawPeer(open_door().port).associate() as peer:
        for content, is_command in ((command, True), (identifier, False)):
            for at in range(0, len(content), size):
                last = at + size >= len(content)
                peer.send(data(3, content[at : at + size], command=is_command, last=last))

        assert peer.status() == 0
    assert services.commands() == [Command.C_FIND]


def test_answers_respect_a_small_maximum_of_the_peer(open_door: OpenDoor, services: SmallServices) -> None:
    with RawPeer(open_door().port).associate(maximum_bytes=1_024) as peer:
        peer.send(find_rq())
        longest, answers, parts = 0, [], b""
        while True:
            pdu = peer.pdu()
            longest = max(longest, len(pdu) - 6)
            if pdu[11] & 1:
                if len(answers) == services.answers:
                    break
                continue
            parts += pdu[12:]
            if pdu[11] & 2:
                answers.append(parts)
                parts = b""

    assert longest <= 1_024
    assert answers == [ANSWER] * 3


def test_an_identifier_that_is_endless_ends_its_association_only(open_door: OpenDoor) -> None:
    door = open_door(message_bytes=100_000)
    with RawPeer(door.port).associate() as peer:
        peer.send(data(5, command_set(0x0140, 1, PERFORMED, dataset=True), command=True))
        for _ in range(20):
            peer.send(data(5, bytes(10_000), command=False, last=False))

        assert peer.status() == 0x0110  # the dataset cannot be read
        assert peer.rest() == ABORT_BY_USER
    assert RawPeer(door.port).associate().echo() == 0


def test_a_refused_object_is_taken_to_its_end_and_the_association_goes_on(
    open_door: OpenDoor, services: SmallServices
) -> None:
    services.refuses = 0xA700
    with RawPeer(open_door().port).associate() as peer:
        peer.send(data(7, command_set(0x0001, 1, CT_IMAGE, dataset=True, instance="1.2.3"), command=True))
        for _ in range(100):
            peer.send(data(7, bytes(100_000), command=False, last=False))
        peer.send(data(7, b"", command=False))

        assert peer.status() == 0xA700
        assert peer.echo() == 0


def test_what_was_refused_is_counted_with_its_reason(open_door: OpenDoor) -> None:
    door = open_door()
    for wrong in (b"\x09", associate_rq(calling="STRANGER")):
        with RawPeer(door.port) as peer:
            peer.send(wrong)
            peer.rest()
    with RawPeer(door.port).associate() as peer:
        peer.echo()

        seen = door.snapshot()

    assert seen is not None
    assert seen.refused == {"unknown type": 1}
    assert seen.rejected == {"calling AE title": 1}
    assert seen.open == 1
    assert [(one.calling_ae_title, one.host, one.open) for one in seen.peers] == [("CT1", "127.0.0.1", 1)]
    assert seen.associations == {"accepted": 1, "rejected": 1}
