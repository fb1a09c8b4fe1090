"""Messages of an open association (PS3.7): commands out of fragments, a dataset as a stream, replies on their way.

A request's dataset is pulled from the peer as the service reads it, so nothing of it is held. Answers leave gathered,
about WRITE_BYTES at a time; between two writes a C-CANCEL is looked for.
"""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Generator
from contextlib import closing
from typing import Never, Protocol

from broker.dicom.command_set import C_CANCEL, COMMAND_BYTES, BadCommand, CommandSet, read_command_set, write_response
from broker.dicom.contract import Reply
from broker.dicom.engine.pdu import Pdv, data_head, data_pdus
from broker.dicom.status import is_pending
from broker.errors import Busy, PeerFailed, UnreadableDataset
from broker.memory_budget import Claim

WRITE_BYTES = 65_536
"""Answers leave when so many bytes have gathered: fewer writes gain nothing more, and delay the peer."""

WRITE_BUFFERS = 1_000
"""Buffers that are gathered at most; systems take 1,024 in one write."""

WRITE_SECONDS = 0.1
"""Answers that come slowly leave after this time, few as they are."""

MOST_FRAGMENTS = 1_000
"""Fragments of a command set."""

MOST_EMPTY_FRAGMENTS = 1_000
"""Fragments of a dataset that hold nothing."""

GATHERED_BYTES = 65_536
"""Smaller fragments of an object are handed on together."""

FREE_BYTES = 65_536
"""The beginning of each dataset, which is not counted as held."""

LOOK_SECONDS = 0.01
"""A service that asks whether it is cancelled has the socket looked at so often."""


class Ended(Exception):
    """The association is over; whoever is in the middle of something leaves it."""


class Line(Protocol):
    """What messages need of their channel; its methods may raise Ended. room: bytes of one fragment, for the peer"""

    room: int

    @property
    def has_more(self) -> bool: ...

    def next_fragment(self, context_id: int, deadline: float) -> Pdv: ...

    def write(self, buffers: list[bytes]) -> None: ...

    def look(self) -> list[CommandSet]: ...

    def refuse_second_request(self) -> Never: ...


class IncomingDataset(io.BufferedIOBase):
    """The dataset of a request, read from the peer while the service reads it from here.

    deadline    when it has to be whole; 0: each PDU has a deadline of its own, and what is read is not held
    most_bytes  longer ones raise UnreadableDataset
    claim       memory for what is read and held; None: not counted
    """

    def __init__(
        self, channel: Line, context_id: int, deadline: float, most_bytes: int, claim: Claim | None = None
    ) -> None:
        self._channel = channel
        self._context_id = context_id
        self._deadline = deadline
        self._left = most_bytes
        self._empty_left = MOST_EMPTY_FRAGMENTS
        self._claim = claim if deadline else None
        self._kept_bytes = 0
        self._rest = b""
        self.is_whole = False

    def readable(self) -> bool:
        return True

    def begin(self) -> bool:
        """Wait for the first bytes; False when there are none. raises Ended"""
        return self._more()

    def read(self, size: int | None = -1, /) -> bytes:
        """As many bytes as asked for, fewer only at the end. raises PeerFailed, UnreadableDataset, Busy

        Of an object, where a size is asked for, fewer also before: GATHERED_BYTES or one fragment. Its reader hands on
        what it gets, and so little is held while many peers are slow.
        """
        if size is None or size < 0:
            return self._gather(sys.maxsize, sys.maxsize)
        return self._gather(size if self._deadline else min(size, GATHERED_BYTES), size)

    def _gather(self, least: int, most: int) -> bytes:
        """At least so many bytes, fewer only at the end, and at most so many.

        Fragments are put together as they come: an object for each of two bytes would weigh twenty times as much.
        """
        found: bytes | bytearray = b""
        try:
            while len(found) < least and (self._rest or self._more()):
                part = self._rest if len(self._rest) <= most - len(found) else self._rest[: most - len(found)]
                self._rest = self._rest[len(part) :]
                if self._claim is not None:
                    self._keep(self._claim, len(part))
                if not found:
                    found = part  # most datasets are one fragment
                elif isinstance(found, bytearray):
                    found += part
                else:
                    found = bytearray(found) + part
        except Ended:
            raise PeerFailed("the peer did not send its dataset to the end") from None
        if not self.is_whole and self._left < 0:
            raise UnreadableDataset("the dataset is too long")
        return bytes(found)

    def _keep(self, claim: Claim, more_bytes: int) -> None:
        """Wait until so many more bytes may be held; meanwhile the peer is not read. raises Busy

        At most half of the time that is left: the other half is for taking the rest, so that the peer gets an answer.
        """
        self._kept_bytes += more_bytes
        if self._kept_bytes <= FREE_BYTES or claim.grow_now(self._kept_bytes):
            return
        if not claim.grow_within(self._kept_bytes, (self._deadline - time.monotonic()) / 2):
            raise Busy("no memory for a long dataset now")

    def drain(self) -> None:
        """Take the rest and forget it, so that the peer gets to our answer. raises Ended"""
        self._rest = b""
        while self._more():
            self._rest = b""

    def _more(self) -> bool:
        """The next fragment that holds something into `_rest`; False at the end, or when it is too long."""
        while not self.is_whole and self._left >= 0 and self._empty_left >= 0:
            pdv = self._channel.next_fragment(self._context_id, self._deadline)
            self.is_whole = pdv.is_last
            self._left -= len(pdv.data)
            if self._left >= 0 and pdv.data:
                self._rest = pdv.data
                return True
            self._empty_left -= 1
        return False


class Exchange:
    """A request that is being answered: its replies on their way, its cancel looked for."""

    def __init__(self, channel: Line, context_id: int, command: CommandSet, dataset: IncomingDataset | None) -> None:
        self.command = command
        self.context_id = context_id
        self._channel = channel
        self._dataset = dataset
        self._room = channel.room
        self._buffers: list[bytes] = []
        self._size = 0
        self._heads: dict[int, bytes] = {}
        self._is_cancelled = False
        now = time.monotonic()
        self._look_at = now + LOOK_SECONDS
        self._send_at = now + WRITE_SECONDS

    def answer_with(self, replies: Generator[Reply, None, None]) -> None:
        """Send all replies, the last of which is final; a service tells in its `finally` what has left. raises Ended"""
        with closing(replies):
            for reply in replies:
                if self._dataset and not self._is_whole:
                    self._dataset.drain()
                self._gather(reply)
                if not is_pending(reply.status):
                    break  # once the final reply has left, what comes is the next request and not for us
                if time.monotonic() > self._send_at:
                    self._send_and_look()
            if self._channel.has_more and self._is_whole:
                self._look()
            self._send()

    def is_cancelled(self) -> bool:
        """True once a C-CANCEL has come, or nobody listens any more."""
        now = time.monotonic()
        is_due = now >= self._look_at or self._channel.has_more
        if self._is_cancelled or not is_due or not self._is_whole:
            return self._is_cancelled
        self._look_at = now + LOOK_SECONDS
        try:
            self._look()
        except Ended:
            self._is_cancelled = True
        return self._is_cancelled

    @property
    def _is_whole(self) -> bool:
        """True when the request has come to its end: what comes now is something else."""
        return self._dataset is None or self._dataset.is_whole

    def _gather(self, reply: Reply) -> None:
        """Put a reply's PDUs to those that are to leave; when they are much, they do, but for the final one."""
        head = self._head(reply)
        more_follow = is_pending(reply.status)
        for dataset in reply.datasets or (reply.dataset or b"",):
            if self._is_cancelled and more_follow:
                return
            size = len(dataset)
            self._size += len(head) + size
            if not dataset:
                self._buffers.append(head)
            elif size <= self._room:
                self._buffers += (head + data_head(self.context_id, size), dataset)
            else:
                self._buffers += (head, *data_pdus(self.context_id, dataset, self._room, command=False))
            if more_follow and (self._size >= WRITE_BYTES or len(self._buffers) >= WRITE_BUFFERS):
                self._send_and_look()

    def _head(self, reply: Reply) -> bytes:
        """The PDUs of a reply's command set; of the usual ones made once for each status."""
        if reply.comment or reply.offending or reply.sop_instance_uid or reply.error_id is not None:
            return self._make_head(reply)
        known = reply.status if reply.dataset or reply.datasets else ~reply.status
        found = self._heads.get(known)
        if found is None:
            found = self._heads[known] = self._make_head(reply)
        return found

    def _make_head(self, reply: Reply) -> bytes:
        """The PDUs of the command set."""
        command_set = write_response(self.command, reply)
        return b"".join(data_pdus(self.context_id, command_set, self._room, command=True))

    def _send_and_look(self) -> None:
        self._send()
        if self._is_whole:
            self._look()

    def _send(self) -> None:
        buffers, self._buffers, self._size = self._buffers, [], 0
        self._send_at = time.monotonic() + WRITE_SECONDS
        self._channel.write(buffers)

    def _look(self) -> None:
        """See whether this request is cancelled. raises Ended, also on a second request before the first is answered"""
        for command in self._channel.look():
            if command.field != C_CANCEL:
                self._channel.refuse_second_request()
            if command.message_id == self.command.message_id:
                self._is_cancelled = True


class WrongFragment(Exception):
    """A fragment of something else than what is due."""


class CommandFragments:
    """A command set on its way."""

    def __init__(self) -> None:
        self._context_id = 0
        self._parts: list[bytes] = []
        self._length = 0

    @property
    def have_begun(self) -> bool:
        return bool(self._parts)

    def add(self, pdv: Pdv) -> CommandSet | None:
        """The command set, with its last fragment. raises WrongFragment, BadCommand"""
        if not pdv.is_command or (self._parts and pdv.context_id != self._context_id):
            raise WrongFragment
        self._context_id = pdv.context_id
        self._parts.append(pdv.data)
        self._length += len(pdv.data)
        if self._length > COMMAND_BYTES or len(self._parts) > MOST_FRAGMENTS:
            raise BadCommand("too long")
        if not pdv.is_last:
            return None
        data = b"".join(self._parts)
        self._parts, self._length = [], 0
        return read_command_set(data)
