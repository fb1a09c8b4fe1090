"""Cuts MLLP blocks out of a stream, with a limit on every wait and on every byte that is kept.

`readblock` of hl7.mllp loses a message that follows a stray byte, and keeps up to twice the longest message for each
connection; so only its streams are used. Source: HL7 2.5.1 appendix C (0B, data, 1C 0D).
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from enum import Enum

START = b"\x0b"
END = b"\x1c\x0d"
COMMIT_BLOCKS = frozenset({b"\x06", b"\x15"})
"""MLLP release 2 acknowledgement blocks; they ask for no answer."""

CHUNK_BYTES = 65_536
MAX_GARBAGE_BYTES = 65_536
"""Most bytes outside a block that one connection may send in a row."""
HEAD_BYTES = 4_096
"""What is kept of a message that cannot be taken: enough for its MSH."""


class BrokenFrame(Exception):
    """The stream cannot go on: "idle", "half message" or "garbage"."""


class Fault(Enum):
    """Why a complete block was not kept."""

    TOO_LONG = "too long"
    NO_ROOM = "no room"


@dataclass(frozen=True, slots=True)
class Frame:
    """One block without its marks. fault: `raw` is only the message's beginning."""

    raw: bytes
    fault: Fault | None = None


@dataclass(frozen=True, slots=True)
class FrameLimits:
    """idle_seconds: until a block begins; message_seconds: from its first byte to its last; message_bytes: length."""

    idle_seconds: float = 300.0
    message_seconds: float = 60.0
    message_bytes: int = 11_000_000


class Room:
    """Memory that all connections share for messages in arrival and in hand."""

    def __init__(self, total_bytes: int) -> None:
        self._free_bytes = total_bytes

    def take(self, count_bytes: int) -> bool:
        if count_bytes > self._free_bytes:
            return False
        self._free_bytes -= count_bytes
        return True

    def give(self, count_bytes: int) -> None:
        self._free_bytes += count_bytes


class FrameReader:
    """The blocks of one connection, in order."""

    def __init__(self, stream: asyncio.StreamReader, limits: FrameLimits, room: Room) -> None:
        self._stream = stream
        self._limits = limits
        self._room = room
        self._buffer = bytearray()
        self._held_bytes = 0

    async def next(self) -> Frame | None:
        """The next block; None when the peer has ended its side between two blocks.

        raises  BrokenFrame when a wait is over, too much garbage comes, or the stream ends inside a block
        """
        self._release()
        while True:
            if not await self._skip_to_start():
                return None
            frame = await self._block()
            if frame.raw not in COMMIT_BLOCKS:
                return frame

    def close(self) -> None:
        """Give back the memory."""
        self._buffer.clear()
        self._release()

    async def _skip_to_start(self) -> bool:
        """Drop everything before a start of block, and the start itself; False at the end of the stream."""
        skipped = 0
        try:
            async with asyncio.timeout(self._limits.idle_seconds):
                while True:
                    at = self._buffer.find(START)
                    if at >= 0:
                        del self._buffer[: at + 1]
                        return True
                    skipped += len(self._buffer)
                    self._buffer.clear()
                    if skipped > MAX_GARBAGE_BYTES:
                        raise BrokenFrame("garbage")
                    if not await self._more():
                        return False
        except TimeoutError:
            raise BrokenFrame("idle") from None

    async def _block(self) -> Frame:
        try:
            async with asyncio.timeout(self._limits.message_seconds):
                return await self._read_block()
        except TimeoutError:
            raise BrokenFrame("half message") from None

    async def _read_block(self) -> Frame:
        searched = 0
        while True:
            at = self._buffer.find(END, searched)
            if max(at, len(self._buffer) if at < 0 else 0) > self._limits.message_bytes:
                return await self._drop_block(Fault.TOO_LONG)
            if at >= 0:
                raw = bytes(self._buffer[:at])
                del self._buffer[: at + len(END)]
                return Frame(_last_message(raw))
            if not self._reserve():
                return await self._drop_block(Fault.NO_ROOM)
            searched = max(len(self._buffer) - 1, 0)
            if not await self._more():
                raise BrokenFrame("half message")

    async def _drop_block(self, fault: Fault) -> Frame:
        """Read a block to its end without keeping it, so that it can be answered and the next one found."""
        head = bytes(self._buffer[:HEAD_BYTES])
        while (at := self._buffer.find(END)) < 0:
            del self._buffer[:-1]
            self._release()
            if not await self._more():
                raise BrokenFrame("half message")
        del self._buffer[: at + len(END)]
        return Frame(head, fault)

    def _reserve(self) -> bool:
        """Make sure that one more chunk may be kept; the first one of each connection is not counted."""
        growth = len(self._buffer) + CHUNK_BYTES - self._held_bytes
        if growth > 0:
            if not self._room.take(growth):
                return False
            self._held_bytes += growth
        return True

    def _release(self) -> None:
        self._room.give(self._held_bytes)
        self._held_bytes = 0

    async def _more(self) -> bool:
        chunk = await self._stream.read(CHUNK_BYTES)
        self._buffer += chunk
        return bool(chunk)


def _last_message(raw: bytes) -> bytes:
    """A block that begins again inside a block: the sender gave the first one up (data bytes are above 0x1F)."""
    at = raw.rfind(START + b"MSH")
    return raw[at + 1 :] if at >= 0 else raw
