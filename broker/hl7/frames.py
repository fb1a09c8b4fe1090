"""Cuts MLLP blocks out of a stream, with a limit on every wait and on every byte that is kept.

`readblock` of hl7.mllp loses a message that follows a stray byte, and keeps up to twice the longest message for each
connection; so only its streams are used. Source: HL7 2.5.1 appendix C (0B, data, 1C 0D).
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from enum import Enum

from broker.memory_budget import Claim

START = b"\x0b"
END = b"\x1c\x0d"
COMMIT_BLOCKS = frozenset({b"\x06", b"\x15"})
"""MLLP release 2 acknowledgement blocks; they ask for no answer."""

CHUNK_BYTES = 65_536
MAX_GARBAGE_BYTES = 65_536
"""Most bytes outside a message that one connection may send in a row; blocks that ask for no answer are counted too."""
HEAD_BYTES = 4_096
"""What is kept of a message that cannot be taken: enough for its MSH."""


class BrokenFrame(Exception):
    """The stream cannot go on: "idle", "half message" or "garbage"."""


class Fault(Enum):
    """Why a complete block was not kept. NO_ROOM: it waited for memory until its time was over."""

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


class FrameReader:
    """The blocks of one connection, in order.

    claim  memory for a block while it arrives and is in hand; the first chunk of each connection is not counted
    """

    def __init__(self, stream: asyncio.StreamReader, limits: FrameLimits, claim: Claim) -> None:
        self._stream = stream
        self._limits = limits
        self._claim = claim
        self._buffer = bytearray()
        self._in_block = False
        self._awaits_room = False
        self._skipped = 0

    @property
    def has_begun(self) -> bool:
        """True while a block has begun and is not whole, or bytes after it are here."""
        return self._in_block or bool(self._buffer)

    async def next(self) -> Frame | None:
        """The next block; None when the peer has ended its side between two blocks.

        raises  BrokenFrame when a wait is over, too much garbage comes, or the stream ends inside a block
        """
        self._claim.release()
        self._skipped = 0
        while True:
            if not await self._skip_to_start():
                return None
            self._in_block = True
            frame = await self._block()
            self._in_block = False
            if frame.raw not in COMMIT_BLOCKS:
                return frame
            self._skip(len(START + frame.raw + END))
            await asyncio.sleep(0)  # bytes that are here are read without a wait, and others want their turn

    def close(self) -> None:
        """Give back the memory."""
        self._buffer.clear()
        self._claim.release()

    async def _skip_to_start(self) -> bool:
        """Drop everything before a start of block, and the start itself; False at the end of the stream."""
        try:
            async with asyncio.timeout(self._limits.idle_seconds):
                while True:
                    at = self._buffer.find(START)
                    if at >= 0:
                        del self._buffer[: at + 1]
                        self._skip(at)
                        return True
                    skipped = len(self._buffer)
                    self._buffer.clear()
                    self._skip(skipped)
                    if not await self._more():
                        return False
        except TimeoutError:
            raise BrokenFrame("idle") from None

    def _skip(self, count: int) -> None:
        """Count bytes that no message has."""
        self._skipped += count
        if self._skipped > MAX_GARBAGE_BYTES:
            raise BrokenFrame("garbage")

    async def _block(self) -> Frame:
        try:
            async with asyncio.timeout(self._limits.message_seconds):
                return await self._read_block()
        except TimeoutError:
            if not self._awaits_room:
                raise BrokenFrame("half message") from None
        self._awaits_room = False
        try:
            async with asyncio.timeout(self._limits.message_seconds):
                return await self._drop_block(Fault.NO_ROOM)
        except TimeoutError:
            raise BrokenFrame("half message") from None

    async def _read_block(self) -> Frame:
        searched = 0
        while True:
            at = self._buffer.find(END, searched)
            if max(at, len(self._buffer) if at < 0 else 0) > self._limits.message_bytes:
                return await self._drop_block(Fault.TOO_LONG)
            if at >= 0:
                return Frame(_last_message(self._cut(at)))
            await self._reserve()
            searched = max(len(self._buffer) - 1, 0)
            if not await self._more():
                raise BrokenFrame("half message")

    def _cut(self, at: int) -> bytes:
        """Take the block that ends here out of the buffer."""
        with memoryview(self._buffer) as held:
            raw = bytes(held[:at])
        if at + len(END) == len(self._buffer):
            self._buffer = bytearray()  # clearing it would keep its memory until the next block
        else:
            del self._buffer[: at + len(END)]
        return raw

    async def _drop_block(self, fault: Fault) -> Frame:
        """Read a block to its end without keeping it, so that it can be answered and the next one found."""
        head = bytes(self._buffer[:HEAD_BYTES])
        while (at := self._buffer.find(END)) < 0:
            self._buffer = self._buffer[-1:]
            self._claim.release()
            if not await self._more():
                raise BrokenFrame("half message")
        del self._buffer[: at + len(END)]
        return Frame(head, fault)

    async def _reserve(self) -> None:
        """Wait until one more chunk may be kept; meanwhile the connection is not read."""
        wanted = len(self._buffer) + CHUNK_BYTES
        if len(self._buffer) >= CHUNK_BYTES and not self._claim.grow_now(wanted):
            self._awaits_room = True
            await self._claim.grow(wanted)
            self._awaits_room = False

    async def _more(self) -> bool:
        chunk = await self._stream.read(CHUNK_BYTES)
        self._buffer += chunk
        return bool(chunk)


def _last_message(raw: bytes) -> bytes:
    """A block that begins again inside a block: the sender gave the first one up (data bytes are above 0x1F)."""
    at = raw.rfind(START + b"MSH")
    return raw[at + 1 :] if at >= 0 else raw
