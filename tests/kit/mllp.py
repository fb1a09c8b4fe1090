"""A plain-socket HL7 sender that knows nothing of the broker: it frames, waits with a limit, and splits the answer."""

from __future__ import annotations

import socket
from dataclasses import dataclass

START, END = b"\x0b", b"\x1c\x0d"
COMMIT_BLOCK = b"\x0b\x06\x1c\x0d"
REFUSE_BLOCK = b"\x0b\x15\x1c\x0d"


@dataclass(frozen=True)
class Answer:
    """One answer, split at the delimiters of its own MSH."""

    raw: bytes

    @property
    def segments(self) -> list[list[str]]:
        separator = chr(self.raw[3])
        return [line.split(separator) for line in self.raw.decode("utf-8", "replace").split("\r") if line]

    def field(self, segment: str, number: int) -> str:
        """Field of the first segment of this name, in HL7 numbering; "" when absent."""
        offset = 1 if segment == "MSH" else 0
        for fields in self.segments:
            if fields[0] == segment:
                return fields[number - offset] if len(fields) > number - offset else ""
        return ""

    @property
    def code(self) -> str:
        return self.field("MSA", 1)

    @property
    def error(self) -> str:
        """The code of table 0357: ERR-1.4.1 up to 2.4, ERR-3.1 from 2.5 on."""
        if self.field("MSH", 12) >= "2.5":
            return self.field("ERR", 3).split("^")[0]
        parts = self.field("ERR", 1).split("^")
        return parts[3].split("&")[0] if len(parts) > 3 else ""

    @property
    def location(self) -> str:
        """Where the error is, as far as segment^ordinal^field."""
        number = 2 if self.field("MSH", 12) >= "2.5" else 1
        return "^".join(self.field("ERR", number).split("^")[:3])


class Sender:
    """One HL7 connection; every wait ends after timeout_seconds. source: the address that it comes from."""

    def __init__(self, port: int, timeout_seconds: float = 10.0, source: str = "127.0.0.1") -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout_seconds, (source, 0))
        self._rest = b""

    def __enter__(self) -> Sender:
        return self

    def __exit__(self, *error: object) -> None:
        self.socket.close()

    def send(self, message: bytes) -> Answer:
        """Send one message and wait for its answer."""
        self.write(START + message + END)
        answer = self.read()
        assert answer is not None, "the connection was closed instead of an answer"
        return answer

    def write(self, data: bytes) -> None:
        """Bytes as they are, without framing."""
        self.socket.sendall(data)

    def half_close(self) -> None:
        """Say that nothing more will be sent."""
        self.socket.shutdown(socket.SHUT_WR)

    def read(self) -> Answer | None:
        """The next answer; None when the broker closed the connection first."""
        while END not in self._rest:
            try:
                chunk = self.socket.recv(65536)
            except ConnectionResetError:
                return None
            if not chunk:
                return None
            self._rest += chunk
        block, _, self._rest = self._rest.partition(END)
        assert block.startswith(START), block[:20]
        return Answer(block[1:])


def send(port: int, message: bytes) -> Answer:
    """Send one message on a connection of its own."""
    with Sender(port) as sender:
        return sender.send(message)
