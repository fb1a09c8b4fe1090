"""Command sets: written as pynetdicom writes them, read as it reads them, refused when they contradict themselves."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pynetdicom.dimse_primitives import C_ECHO, C_FIND, C_STORE, N_CREATE, N_SET
from pynetdicom.dsutils import encode

from broker.dicom.command_set import BadCommand, read_command_set, write_response
from broker.dicom.contract import Reply
from broker.dicom.engine.pdu import data_pdus, fragment_room
from tests.kit.raw_dicom import VERIFICATION, command_set, element
from tests.kit.stock_messages import COMMAND_FIELDS, fragments
from tests.kit.stock_messages import command_set as stock_command_set

uids = st.from_regex(r"\A[12](\.[1-9][0-9]{0,5}){1,7}\Z")
KINDS: dict[type[Any], tuple[str, str]] = {
    C_ECHO: ("AffectedSOPClassUID", ""),
    C_FIND: ("AffectedSOPClassUID", ""),
    C_STORE: ("AffectedSOPClassUID", "AffectedSOPInstanceUID"),
    N_CREATE: ("AffectedSOPClassUID", "AffectedSOPInstanceUID"),
    N_SET: ("RequestedSOPClassUID", "RequestedSOPInstanceUID"),
}


def encoded_request(kind: type[Any], message_id: int, sop_class: str, instance: str, dataset: bool) -> bytes:
    command = Dataset()
    class_name, instance_name = KINDS[kind]
    setattr(command, class_name, sop_class)
    command.CommandField = COMMAND_FIELDS[kind]
    command.MessageID = message_id
    command.Priority = 2
    command.CommandDataSetType = 1 if dataset else 0x0101
    if instance_name:
        setattr(command, instance_name, instance)
    command.CommandGroupLength = 0
    command.CommandGroupLength = len(encode(command, True, True) or b"") - 12
    return encode(command, True, True) or b""


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(list(KINDS)), st.integers(0, 65_535), uids, uids, st.booleans())
def test_requests_are_read_as_pydicom_writes_them(
    kind: type[Any], message_id: int, sop_class: str, instance: str, dataset: bool
) -> None:
    read = read_command_set(encoded_request(kind, message_id, sop_class, instance, dataset))

    assert (read.field, read.message_id, read.has_dataset) == (COMMAND_FIELDS[kind], message_id, dataset)
    assert (read.sop_class_uid, read.sop_instance_uid) == (sop_class, instance if KINDS[kind][1] else "")


replies = st.builds(
    Reply,
    status=st.integers(0, 65_535),
    dataset=st.sampled_from([None, b"", b"\x08\x00\x50\x00\x00\x00\x00\x00"]),
    comment=st.text(st.characters(min_codepoint=33, max_codepoint=0x17F), max_size=70),
    error_id=st.one_of(st.none(), st.integers(0, 65_535)),
    offending=st.lists(st.integers(0, 2**32 - 1), max_size=3).map(tuple),
    sop_instance_uid=st.one_of(st.just(""), uids),
)


@settings(max_examples=500, deadline=None)
@given(st.sampled_from(list(KINDS)), st.integers(0, 65_535), uids, uids, replies)
def test_responses_are_byte_for_byte_what_pynetdicom_sends(
    kind: type[Any], message_id: int, sop_class: str, instance: str, reply: Reply
) -> None:
    read = read_command_set(encoded_request(kind, message_id, sop_class, instance, False))
    message = kind()
    message.MessageID = message_id
    for name, value in zip(KINDS[kind], (sop_class, instance), strict=True):
        if name:
            setattr(message, name, value)

    twin = encode(stock_command_set(message, reply), True, True)

    assert write_response(read, reply) == twin


def test_the_whole_message_is_what_pynetdicom_sends() -> None:
    message = C_FIND()
    message.MessageID, message.AffectedSOPClassUID, message.Priority = 7, VERIFICATION, 2
    message.Identifier = BytesIO(b"")
    reply = Reply(0xFF00, bytes(range(256)) * 40)
    read = read_command_set(encoded_request(C_FIND, 7, VERIFICATION, "", True))

    room = fragment_room(1_024)
    ours = data_pdus(3, write_response(read, reply), room, command=True)
    ours += data_pdus(3, reply.dataset or b"", room, command=False)
    theirs = [item for part in fragments(message, 3, reply, 1_024) for _, item in part.presentation_data_value_list]

    assert [ours[at][11:] + ours[at + 1] for at in range(0, len(ours), 2)] == theirs


@pytest.mark.parametrize(
    "wrong",
    [
        b"",
        b"\0\0\0",
        element(0x0100, 0x0030) + element(0x0110, 1),  # no Command Data Set Type
        element(0x0110, 1) + element(0x0800, 0x0101),  # no Command Field
        element(0x0100, 0x0030) + element(0x0800, 0x0101),  # no Message ID
        element(0x0100, 0x8030) + element(0x0120, 1) + element(0x0800, 0x0101),  # a response
        element(0x0100, 0x0FFF) + element(0x0110, 1) + element(0x0800, 0x0101),  # cancels nothing
        element(0x0100, 0x0FFF) + element(0x0120, 1) + element(0x0800, 0x0001),  # cancel with a dataset
        element(0x0100, b"\x30\x00\x00\x00") + element(0x0110, 1) + element(0x0800, 0x0101),  # not a US
        command_set(0x0030) + element(0x0110, 2),  # twice
        command_set(0x0030)[:-1],
        command_set(0x0030) + b"\x08\x00\x05\x00\x00\x00\x00\x00",  # a group that is no command
        element(0x0002, "1.2.3") + element(0x0003, "1.2.4") + command_set(0x0120)[12:],  # two classes
    ],
)
def test_commands_that_lack_or_contradict_something_are_refused(wrong: bytes) -> None:
    with pytest.raises(BadCommand):
        read_command_set(wrong)


@settings(max_examples=1_000, deadline=None)
@given(st.binary(max_size=80), st.integers(0, 80), st.integers(0, 255))
def test_anything_else_is_read_or_refused_and_nothing_else(tail: bytes, position: int, byte: int) -> None:
    damaged = bytearray(command_set(0x0001, 3, VERIFICATION, dataset=True, instance="1.2.3") + tail)
    damaged[position % len(damaged)] = byte

    for content in (bytes(damaged), tail):
        try:
            read_command_set(content)
        except BadCommand:
            continue
