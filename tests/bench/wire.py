"""DICOM upper layer and DIMSE bytes as a lean peer writes and reads them (PS3.8 9.3, PS3.7 6.3); no library."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Sequence
from struct import Struct, pack, unpack_from

VERIFICATION = "1.2.840.10008.1.1"
WORKLIST_FIND = "1.2.840.10008.5.1.4.31"
PERFORMED_STEP = "1.2.840.10008.3.1.2.3.3"
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
ABSTRACT_SYNTAXES = (VERIFICATION, WORKLIST_FIND, PERFORMED_STEP, SECONDARY_CAPTURE)
IMPLICIT_LITTLE = "1.2.840.10008.1.2"
APPLICATION_CONTEXT = "1.2.840.10008.3.1.1.1"
IMPLEMENTATION = "2.25.881"
CALLING, MAXIMUM_PDU = "BENCH", 65_536
BUFFER_BYTES = 262_144
LIMIT_SECONDS = 120.0

C_STORE, C_FIND, C_ECHO, N_CREATE = 0x0001, 0x0020, 0x0030, 0x0140
PENDING = (0xFF00, 0xFF01)
SUCCESS = 0x0000

_HEADER = Struct(">BxI").unpack_from
_STATUS = b"\x00\x00\x00\x09\x02\x00\x00\x00"
"""Tag and length of (0000,0900) Status in Implicit VR."""
_A_ASSOCIATE_AC, _P_DATA, _A_RELEASE_RQ = 0x02, 0x04, b"\x05\0\0\0\0\x04\0\0\0\0"


class WireError(Exception):
    """The peer did not answer as a peer does: a rejection, an abort, a close, an unexpected status."""


class LeanAssociation:
    """One open association. Requests leave in one write; answers are counted by hopping over PDU headers.

    quick  True: acknowledge at once (TCP_QUICKACK, re-armed after each read); False: late, as unmodified clients do
    """

    def __init__(self, port: int, called: str, *, quick: bool, calling: str = CALLING) -> None:
        self.quick = quick
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=LIMIT_SECONDS)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = bytearray(BUFFER_BYTES)
        self._view = memoryview(self._buffer)
        self.peer_maximum = 16_384
        self._associate(called, calling)

    def __enter__(self) -> LeanAssociation:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Release, without waiting long for the answer."""
        try:
            self.socket.settimeout(2.0)
            self.socket.sendall(_A_RELEASE_RQ)
            self.socket.recv(16)
        except OSError:
            pass
        finally:
            self.socket.close()

    def send(self, message: bytes) -> None:
        self.socket.sendall(message)

    def pending(self) -> int:
        """Read to the final status; the number of pending ones before it. raises WireError for any but success."""
        buffer, view = self._buffer, self._view
        end = count = 0
        while True:
            end += self._receive(view[end:])
            done, found, used = hopped(buffer, end)
            count += found
            if done:
                return count
            if used:
                buffer[: end - used] = buffer[used:end]
                end -= used

    def recorded(self) -> bytes:
        """Read to the final status; everything that came."""
        data = bytearray()
        at = 0
        while True:
            while len(data) - at >= 6 and len(data) - at >= 6 + _HEADER(data, at)[1]:
                following = at + 6 + _HEADER(data, at)[1]
                if data[at] != _P_DATA:
                    raise WireError(f"PDU of type {data[at]:02X} instead of an answer")
                for control, body in values_of(data[at + 6 : following]):
                    if control & 1 and status_of(body) not in PENDING:
                        if status_of(body) != SUCCESS:
                            raise WireError(f"status {status_of(body):04X}")
                        return bytes(data)
                at = following
            got = self._receive(self._view)
            data += self._view[:got]

    def _receive(self, into: memoryview) -> int:
        got = self.socket.recv_into(into)
        if not got:
            raise WireError("the peer closed the connection")
        if self.quick:
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        return got

    def _associate(self, called: str, calling: str) -> None:
        self.socket.sendall(associate_request(called, calling))
        answer = _one_pdu(self.socket)
        if answer[0] != _A_ASSOCIATE_AC:
            raise WireError(f"association refused: PDU {answer[:10].hex()}")
        where = answer.find(b"\x51\0\0\x04")
        if where >= 0:
            self.peer_maximum = unpack_from(">I", answer, where + 4)[0] or MAXIMUM_PDU


def hopped(buffer: bytearray, end: int | None = None) -> tuple[bool, int, int]:
    """Hop over the complete PDUs in buffer[:end]: whether the final status came, pending ones seen, bytes used.

    raises  WireError for a final status that is no success, or a PDU that is no P-DATA-TF
    """
    limit = len(buffer) if end is None else end
    at = count = 0
    while limit - at >= 6:
        following = at + 6 + _HEADER(buffer, at)[1]
        if following > limit:
            break
        if buffer[at] != _P_DATA:
            raise WireError(f"PDU of type {buffer[at]:02X} instead of an answer")
        if buffer[at + 11] & 1:
            found = buffer.find(_STATUS, at + 12, following)
            status = buffer[found + 8] | buffer[found + 9] << 8
            if status not in PENDING:
                if status != SUCCESS:
                    raise WireError(f"status {status:04X}")
                return True, count, following
            count += 1
        at = following
    return False, count, at


def datasets_in(recorded: bytes) -> list[bytes]:
    """The datasets of all pending answers in recorded bytes."""
    found: list[bytes] = []
    parts: list[bytes] = []
    at = 0
    while at < len(recorded):
        length = _HEADER(recorded, at)[1]
        for control, body in values_of(recorded[at + 6 : at + 6 + length]):
            if not control & 1:
                parts.append(body)
                if control & 2:
                    found.append(b"".join(parts))
                    parts = []
        at += 6 + length
    return found


def values_of(body: bytes | bytearray) -> Iterable[tuple[int, bytes]]:
    """Control headers and contents of the PDVs in a P-DATA-TF body (PS3.8 9.3.5.1, Annex E)."""
    at = 0
    while at < len(body):
        length = unpack_from(">I", body, at)[0]
        yield body[at + 5], bytes(body[at + 6 : at + 4 + length])
        at += 4 + length


def status_of(command: bytes) -> int:
    where = command.find(_STATUS)
    return int.from_bytes(command[where + 8 : where + 10], "little")


def find_request(identifier: bytes) -> bytes:
    """A C-FIND-RQ of the worklist with its identifier."""
    command = {0x0002: uid(WORKLIST_FIND), 0x0100: us(C_FIND), 0x0110: us(1), 0x0700: us(0), 0x0800: us(1)}
    return message(WORKLIST_FIND, command, identifier)


def echo_request() -> bytes:
    return message(VERIFICATION, {0x0002: uid(VERIFICATION), 0x0100: us(C_ECHO), 0x0110: us(1), 0x0800: us(0x0101)})


def create_request(sop_instance_uid: str, dataset: bytes) -> bytes:
    """An N-CREATE-RQ of a performed step."""
    command = {0x0002: uid(PERFORMED_STEP), 0x0100: us(N_CREATE), 0x0110: us(1), 0x0800: us(1),
               0x1000: uid(sop_instance_uid)}  # fmt: skip
    return message(PERFORMED_STEP, command, dataset)


def store_request(sop_instance_uid: str, dataset: bytes, maximum_pdu: int) -> bytes:
    """A C-STORE-RQ of a secondary capture image, in fragments of the peer's size."""
    command = {0x0002: uid(SECONDARY_CAPTURE), 0x0100: us(C_STORE), 0x0110: us(1), 0x0700: us(0), 0x0800: us(1),
               0x1000: uid(sop_instance_uid)}  # fmt: skip
    return message(SECONDARY_CAPTURE, command, dataset, maximum_pdu)


def message(abstract: str, command: dict[int, bytes], dataset: bytes | None = None, maximum_pdu: int = 16_384) -> bytes:
    """A whole DIMSE message as P-DATA-TF PDUs."""
    context = context_of(abstract)
    elements = b"".join(pack("<HHI", 0, tag, len(value)) + value for tag, value in sorted(command.items()))
    encoded = pack("<HHII", 0, 0, 4, len(elements)) + elements
    return b"".join(_pdus(context, encoded, 1, maximum_pdu)) + b"".join(_pdus(context, dataset or b"", 0, maximum_pdu))


def _pdus(context: int, data: bytes, kind: int, maximum_pdu: int) -> Iterable[bytes]:
    step = maximum_pdu - 6
    for at in range(0, len(data), step):
        part = data[at : at + step]
        last = 2 if at + step >= len(data) else 0
        yield pack(">BBIIBB", _P_DATA, 0, len(part) + 6, len(part) + 2, context, kind | last) + part


def context_of(abstract: str) -> int:
    return 2 * ABSTRACT_SYNTAXES.index(abstract) + 1


def us(value: int) -> bytes:
    return pack("<H", value)


def uid(value: str) -> bytes:
    return value.encode() + b"\0" * (len(value) % 2)


def associate_request(called: str, calling: str) -> bytes:
    """A-ASSOCIATE-RQ that proposes all that the benchmark uses, in Implicit VR Little Endian."""
    contexts = b"".join(
        _item(0x20, pack(">BBBB", context_of(one), 0, 0, 0)
              + _item(0x30, one.encode()) + _item(0x40, IMPLICIT_LITTLE.encode()))
        for one in ABSTRACT_SYNTAXES
    )  # fmt: skip
    user = _item(0x50, _item(0x51, pack(">I", MAXIMUM_PDU)) + _item(0x52, IMPLEMENTATION.encode()))
    return _associate(0x01, called, calling, contexts, user)


def associate_accept(called: str, calling: str) -> bytes:
    """A-ASSOCIATE-AC that takes all of it; for the loop that only sends ready-made bytes."""
    contexts = b"".join(
        _item(0x21, pack(">BBBB", context_of(one), 0, 0, 0) + _item(0x40, IMPLICIT_LITTLE.encode()))
        for one in ABSTRACT_SYNTAXES
    )
    user = _item(0x50, _item(0x51, pack(">I", MAXIMUM_PDU)) + _item(0x52, IMPLEMENTATION.encode()))
    return _associate(0x02, called, calling, contexts, user)


def _associate(kind: int, called: str, calling: str, contexts: bytes, user: bytes) -> bytes:
    titles = called.ljust(16).encode() + calling.ljust(16).encode()
    body = pack(">HH", 1, 0) + titles + bytes(32) + _item(0x10, APPLICATION_CONTEXT.encode()) + contexts + user
    return pack(">BBI", kind, 0, len(body)) + body


def _item(kind: int, value: bytes) -> bytes:
    return pack(">BBH", kind, 0, len(value)) + value


def _one_pdu(connection: socket.socket) -> bytes:
    data = _exactly(connection, 6)
    return data + _exactly(connection, _HEADER(data, 0)[1])


def _exactly(connection: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        part = connection.recv(count - len(data))
        if not part:
            raise WireError("the peer closed the connection")
        data += part
    return data


def serve_ready_made(connection: socket.socket, answers: Sequence[bytes]) -> None:
    """One association of the loop that computes nothing: each message is answered with the next ready-made bytes."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    _one_pdu(connection)
    connection.sendall(associate_accept("READYMADE", CALLING))
    turn = 0
    buffer = bytearray()
    while True:
        part = connection.recv(65_536)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        if not part:
            return
        buffer += part
        while len(buffer) >= 6 and len(buffer) >= 6 + _HEADER(buffer, 0)[1]:
            length = 6 + _HEADER(buffer, 0)[1]
            ends_message = buffer[0] == _P_DATA and buffer[11] == 2
            if buffer[0] == _A_RELEASE_RQ[0]:
                connection.sendall(b"\x06\0\0\0\0\x04\0\0\0\0")
            del buffer[:length]
            if ends_message:
                connection.sendall(answers[turn % len(answers)])
                turn += 1
