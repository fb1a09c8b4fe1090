"""The sender's side of MLLP: one connection, one answer for each message, a limit on every wait."""

from __future__ import annotations

import socket

import hl7

START, END = b"\x0b", b"\x1c\x0d"
MAX_ANSWER_BYTES = 1_000_000


class MllpError(Exception):
    """The connection was closed, or the answer was none, before the wait was over."""


class MllpSender:
    """One connection to an HL7 door; use it in a `with` statement."""

    def __init__(self, host: str, port: int, timeout_seconds: float = 10.0) -> None:
        self._socket = socket.create_connection((host, port), timeout=timeout_seconds)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._rest = b""

    def __enter__(self) -> MllpSender:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        self._socket.close()

    def exchange(self, message: bytes) -> bytes:
        """Send one message and return its answer, both without framing.

        raises  MllpError on a close or an answer without end, TimeoutError when nothing comes within the limit
        """
        self._socket.sendall(START + message + END)
        return self._read_block()

    def _read_block(self) -> bytes:
        while END not in self._rest:
            if len(self._rest) > MAX_ANSWER_BYTES:
                raise MllpError("answer without end")
            chunk = self._socket.recv(65536)
            if not chunk:
                raise MllpError("connection closed before the answer")
            self._rest += chunk
        block, _, self._rest = self._rest.partition(END)
        return block.partition(START)[2]


class Acknowledgement:
    """An answer as python-hl7 reads it.

    code        MSA-1: AA, AE or AR
    control_id  MSA-2: the message that is answered
    text        MSA-3, or what ERR-8 or ERR-7 says
    """

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        self.message = hl7.parse(raw.decode("utf-8", "replace"))
        self.code = self._value("MSA", 1)
        self.control_id = self._value("MSA", 2)
        self.text = self._value("MSA", 3) or self._value("ERR", 8) or self._value("ERR", 7)

    @property
    def accepted(self) -> bool:
        return self.code in ("AA", "CA")

    def _value(self, segment: str, field: int) -> str:
        try:
            return str(self.message.segment(segment)[field])
        except (KeyError, IndexError):
            return ""
