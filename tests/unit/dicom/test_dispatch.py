"""Whatever a service does, a request gets its pending replies and then exactly one final one."""

from __future__ import annotations

import pytest

from broker.dicom.contract import Command, Context, Peer, Reply, Request
from broker.dicom.dispatch import MODALITY_WORKLIST_FIND, PERFORMED_STEP, VERIFICATION, answer
from broker.dicom.verification import verify
from broker.errors import DatabaseUnavailable

CT_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.2"


def request(abstract_syntax: str, command: Command) -> Request:
    return Request(
        peer=Peer("CT1", "BROKER", "127.0.0.1"),
        context=Context(abstract_syntax, "1.2.840.10008.1.2"),
        command=command,
        message_id=7,
        sop_class_uid=abstract_syntax,
        sop_instance_uid="",
        dataset=None,
        cancelled=lambda: False,
    )


def statuses(service, abstract_syntax=MODALITY_WORKLIST_FIND, command=Command.C_FIND) -> list[int]:
    return [reply.status for reply in answer({abstract_syntax: service}, request(abstract_syntax, command))]


def test_pending_replies_come_before_the_final_one():
    def find(_):
        yield Reply(0xFF00)
        yield Reply(0xFF01)
        yield Reply(0x0000)

    assert statuses(find) == [0xFF00, 0xFF01, 0x0000]


def test_nothing_follows_a_final_reply():
    def find(_):
        yield Reply(0x0000)
        yield Reply(0xFF00)

    assert statuses(find) == [0x0000]


def test_a_service_that_forgets_its_final_reply_has_failed():
    def find(_):
        yield Reply(0xFF00)

    assert statuses(find) == [0xFF00, 0xC001]


def test_an_error_between_replies_ends_them():
    def find(_):
        yield Reply(0xFF00)
        raise DatabaseUnavailable("gone")

    assert statuses(find) == [0xFF00, 0xA700]


@pytest.mark.parametrize(
    ("abstract_syntax", "command", "status"),
    [
        (MODALITY_WORKLIST_FIND, Command.C_FIND, 0xC001),
        (CT_IMAGE_STORAGE, Command.C_STORE, 0xC001),
        (PERFORMED_STEP, Command.N_CREATE, 0x0110),
        (PERFORMED_STEP, Command.N_SET, 0x0110),
    ],
)
def test_a_failure_nobody_foresaw_is_answered_and_its_text_is_not_told(abstract_syntax, command, status, capsys):
    def broken(_):
        raise ValueError("DOE^ANN cannot be encoded")
        yield

    replies = list(answer({abstract_syntax: broken}, request(abstract_syntax, command)))

    assert [reply.status for reply in replies] == [status]
    assert "DOE" not in replies[0].comment
    told = capsys.readouterr()
    assert "DOE" not in told.out + told.err


@pytest.mark.parametrize(
    ("abstract_syntax", "command"),
    [
        (VERIFICATION, Command.C_STORE),
        (MODALITY_WORKLIST_FIND, Command.C_ECHO),
        (PERFORMED_STEP, Command.C_FIND),
        (CT_IMAGE_STORAGE, Command.N_SET),
    ],
)
def test_an_operation_of_another_service_is_not_recognized(abstract_syntax, command):
    assert statuses(verify, abstract_syntax, command) == [0x0211]


def test_a_class_without_service_is_not_supported():
    assert [reply.status for reply in answer({}, request(VERIFICATION, Command.C_ECHO))] == [0x0122]


def test_an_echo_is_success():
    assert statuses(verify, VERIFICATION, Command.C_ECHO) == [0x0000]
