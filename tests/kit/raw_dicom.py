"""DICOM by hand: requests as bytes, for peers that are wrong on purpose and for measuring without a library."""

from __future__ import annotations

import socket
import ssl
import struct
from collections.abc import Sequence
from typing import Any

from pynetdicom import build_context
from pynetdicom.pdu import A_ASSOCIATE_RQ
from pynetdicom.pdu_primitives import A_ASSOCIATE, ImplementationClassUIDNotification, MaximumLengthNotification

WAIT_SECONDS = 20.0
VERIFICATION = "1.2.840.10008.1.1"
WORKLIST = "1.2.840.10008.5.1.4.31"
PERFORMED = "1.2.840.10008.3.1.2.3.3"
CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
IMPLICIT = "1.2.840.10008.1.2"
ALL = (VERIFICATION, WORKLIST, PERFORMED, CT_IMAGE)
"""What `associate` proposes, with context ids 1, 3, 5, 7."""

RELEASE_RQ = bytes.fromhex("0500 0000 0004 0000 0000")
RELEASE_RP = bytes.fromhex("0600 0000 0004 0000 0000")
ABORT_BY_USER = bytes.fromhex("0700 0000 0004 0000 0000")


def abort(reason: int) -> bytes:
    """A-ABORT of the service provider (PS3.8 9.3.8)."""
    return bytes.fromhex("0700 0000 0004 0000 02") + bytes([reason])


def rejection(result: int, source: int, reason: int) -> bytes:
    return bytes.fromhex("0300 0000 0004 00") + bytes([result, source, reason])


def associate_rq(
    contexts: Sequence[tuple[str, Sequence[str]]] = tuple((uid, [IMPLICIT]) for uid in ALL),
    maximum_bytes: int = 16_384,
    calling: str = "CT1",
    called: str = "BROKER",
    extra: Sequence[Any] = (),
) -> bytes:
    """An A-ASSOCIATE-RQ. contexts: abstract syntax with transfer syntaxes; extra: more user information primitives"""
    asked = A_ASSOCIATE()
    asked.application_context_name = "1.2.840.10008.3.1.1.1"
    asked.calling_ae_title, asked.called_ae_title = calling, called
    proposed = []
    for number, (abstract, syntaxes) in enumerate(contexts):
        context = build_context(abstract, list(syntaxes))
        context.context_id = 2 * number + 1
        proposed.append(context)
    asked.presentation_context_definition_list = proposed
    length, uid = MaximumLengthNotification(), ImplementationClassUIDNotification()
    length.maximum_length_received = maximum_bytes
    uid.implementation_class_uid = "1.2.3"
    asked.user_information = [length, uid, *extra]
    pdu = A_ASSOCIATE_RQ()
    pdu.from_primitive(asked)
    return pdu.encode()


def element(number: int, value: bytes | int | str) -> bytes:
    """An element of group 0000, Implicit VR Little Endian; a number is a US."""
    if isinstance(value, int):
        value = struct.pack("<H", value)
    elif isinstance(value, str):
        value = value.encode() + b"\0" * (len(value) % 2)
    return struct.pack("<HHI", 0, number, len(value)) + value


def command_set(field: int, message_id: int = 1, sop_class: str = "", dataset: bool = False, **more: Any) -> bytes:
    """A request's command set; more: e0000_1000="1.2.3" style elements by name instance or responded_to."""
    parts = [element(0x0002, sop_class)] if sop_class else []
    parts.append(element(0x0100, field))
    parts.append(element(0x0120 if field == 0x0FFF else 0x0110, message_id))
    parts.append(element(0x0800, 0x0001 if dataset else 0x0101))
    if "instance" in more:
        parts.append(element(0x1000, more["instance"]))
    content = b"".join(parts)
    return element(0x0000, struct.pack("<I", len(content))) + content


def data(context_id: int, content: bytes, *, command: bool, last: bool = True) -> bytes:
    """A P-DATA-TF with one value."""
    return struct.pack(">BxIIBB", 4, len(content) + 6, len(content) + 2, context_id, command | last << 1) + content


def echo_rq(message_id: int = 1) -> bytes:
    return data(1, command_set(0x0030, message_id, VERIFICATION), command=True)


def find_rq(message_id: int = 1, identifier: bytes = struct.pack("<HHI", 0x0008, 0x0050, 0)) -> bytes:
    command = command_set(0x0020, message_id, WORKLIST, dataset=True)
    return data(3, command, command=True) + data(3, identifier, command=False)


def cancel_rq(message_id: int = 1) -> bytes:
    return data(3, command_set(0x0FFF, message_id, WORKLIST), command=True)


class RawPeer:
    """A connection that sends what it is told."""

    def __init__(
        self, port: int, context: ssl.SSLContext | None = None, receive_buffer: int = 0, source: str = "127.0.0.1"
    ) -> None:
        self.socket = socket.socket()
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(WAIT_SECONDS)
        self.socket.bind((source, 0))
        self.socket.connect(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if context is not None:
            self.socket = context.wrap_socket(self.socket, server_hostname="127.0.0.1")

    def __enter__(self) -> RawPeer:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, content: bytes) -> None:
        self.socket.sendall(content)

    def associate(self, **request: Any) -> RawPeer:
        """Ask for an association and get it."""
        self.send(associate_rq(**request))
        answer = self.pdu()
        assert answer[:1] == b"\x02", answer
        return self

    def exactly(self, size: int) -> bytes:
        content = b""
        while len(content) < size:
            part = self.socket.recv(size - len(content))
            if not part:
                return content
            content += part
        return content

    def pdu(self) -> bytes:
        """The next PDU, whole; b"" at the end of the stream."""
        head = self.exactly(6)
        return head + self.exactly(int.from_bytes(head[2:], "big")) if len(head) == 6 else head

    def rest(self) -> bytes:
        """Everything until the other side closes."""
        content = b""
        try:
            while part := self.socket.recv(65_536):
                content += part
        except ConnectionResetError:
            pass
        return content

    def status(self) -> int:
        """The status of the next final response; pending ones are passed by."""
        while True:
            pdu = self.pdu()
            assert pdu[:1] == b"\x04", pdu
            if not pdu[11] & 1:
                continue
            status = status_of(pdu[12:])
            if status not in (0xFF00, 0xFF01):
                return status

    def echo(self) -> int:
        self.send(echo_rq())
        return self.status()


def status_of(command: bytes) -> int:
    """Element (0000,0900) of a command set."""
    position = 0
    while position < len(command):
        _, number, length = struct.unpack_from("<HHI", command, position)
        if number == 0x0900:
            return int.from_bytes(command[position + 8 : position + 10], "little")
        position += 8 + length
    raise AssertionError("no status")
