"""Sends HL7 messages over MLLP and waits for each answer, on one connection with limits on every wait."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from broker.errors import PeerFailed, UnreadableMessage
from broker.hl7v2.reader import read

START, END = b"\x0b", b"\x1c\x0d"  # HL7 2.5.1 implementation guide, MLLP release 1
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
CONNECT_SECONDS = 10.0
ANSWER_SECONDS = 60.0
ANSWER_BYTES = 1_000_000
CHUNK_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class Answer:
    """What a receiver said to one message. code: MSA-1, "" when the answer is no acknowledgement."""

    raw: bytes
    code: str
    control_id: str
    seconds: float

    @property
    def accepted(self) -> bool:
        return self.code in ("AA", "CA")


def split_messages(content: bytes) -> list[bytes]:
    """Cut the content of a file into messages, each with CR between its segments; MLLP framing is taken off."""
    found: list[list[bytes]] = []
    for raw_line in re.split(rb"[\r\n\x0b\x1c]+", content):
        line = raw_line.removeprefix(BYTE_ORDER_MARK)
        if not line:
            continue
        if line.startswith(b"MSH"):
            found.append([])
        if found:
            found[-1].append(line)
    return [b"\r".join(message) + b"\r" for message in found]


def send(host: str, port: int, messages: Iterable[bytes], answer_seconds: float = ANSWER_SECONDS) -> Iterator[Answer]:
    """Send messages one after the other, each when the one before was answered.

    raises  PeerFailed when the receiver cannot be reached, closes, or does not answer in time
    """
    peer = f"{host}:{port}"
    try:
        with socket.create_connection((host, port), timeout=CONNECT_SECONDS) as connection:
            for message in messages:
                began = time.monotonic()
                connection.settimeout(answer_seconds)
                connection.sendall(START + message + END)
                raw = _receive(connection, peer, began + answer_seconds)
                yield _answer(raw, time.monotonic() - began)
    except TimeoutError:
        raise PeerFailed("the receiver did not answer in time", peer=peer, seconds=answer_seconds) from None
    except OSError as error:
        raise PeerFailed("the receiver cannot be reached", peer=peer, reason=error.strerror or str(error)) from None


def _receive(connection: socket.socket, peer: str, give_up_at: float) -> bytes:
    received = bytearray()
    while (end := received.find(END)) < 0:
        left = give_up_at - time.monotonic()
        if left <= 0:
            raise TimeoutError
        connection.settimeout(left)
        chunk = connection.recv(CHUNK_BYTES)
        if not chunk:
            raise PeerFailed("the receiver closed the connection without an answer", peer=peer)
        received += chunk
        if len(received) > ANSWER_BYTES:
            raise PeerFailed("the receiver's answer has no end", peer=peer, bytes=len(received))
    return bytes(received[received.find(START) + 1 : end])


def _answer(raw: bytes, seconds: float) -> Answer:
    try:
        acknowledgement = read(raw).first("MSA")
    except UnreadableMessage:
        acknowledgement = None
    if acknowledgement is None:
        return Answer(raw, "", "", seconds)
    return Answer(raw, acknowledgement.field(1), acknowledgement.field(2), seconds)
