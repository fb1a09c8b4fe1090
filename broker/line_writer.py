"""Lines to a descriptor that may be full, closed, or a pipe without a reader: the caller never waits.

A line is worth less than the work that it reports. So lines wait in a queue of limited length, one daemon thread
writes them, and a line for which there is no room, or that cannot be written, is dropped and counted. When lines can be
written again, one of them says how many were lost.
"""

from __future__ import annotations

import errno
import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue

MOST_LINES = 10_000
MOST_BYTES = 4_000_000
WRITE_BYTES = select.PIPE_BUF
"""Lines written at once: a pipe takes this much in one piece, so that lines of several processes do not mix."""
PAUSE_SECONDS = 0.02
"""After a write. A line that comes after a rest is written at once; those of a busy broker are written together, which
saves a change of thread for each."""
LOOK_SECONDS = 0.002


class LineWriter:
    """Writes lines to one descriptor, in the order in which they came.

    descriptor  blocking or not; it stays the caller's
    encoding    characters that it lacks are written as escapes
    tell_lost   makes the line that says how many were lost
    """

    def __init__(self, descriptor: int, encoding: str, tell_lost: Callable[[int], str]) -> None:
        self.descriptor = descriptor
        self.encoding = encoding
        self._tell_lost = tell_lost
        self._lock = threading.RLock()  # a destructor may log in the middle of a call
        self._wake: SimpleQueue[None] = SimpleQueue()  # reentrant: a destructor may call put inside put
        self._lines: deque[bytes] = deque()
        self._bytes = 0
        self._idle = True
        self._lost = 0
        self._told = 0
        self._torn = False
        self._thread: threading.Thread | None = None

    @property
    def lost(self) -> int:
        """Lines dropped so far."""
        return self._lost

    def put(self, line: str) -> None:
        """Have a line written, without its line end; never waits and never raises."""
        data = line.encode(self.encoding, "backslashreplace") + b"\n"
        with self._lock:
            if len(self._lines) >= MOST_LINES or self._bytes + len(data) > MOST_BYTES:
                self.count_lost()
                return
            self._lines.append(data)
            self._bytes += len(data)
            if self._idle:
                self._idle = False
                self._start()
                self._wake.put(None)

    def count_lost(self, lines: int = 1) -> None:
        """Count lines that are not written: also those that never came here because they could not be made."""
        with self._lock:
            self._lost += lines

    def flush(self, seconds: float) -> bool:
        """Wait until nothing waits to be written; False when the time is over."""
        give_up_at = time.monotonic() + seconds
        while not self._idle:
            if time.monotonic() > give_up_at:
                return False
            time.sleep(LOOK_SECONDS)
        return True

    def _start(self) -> None:
        if self._thread is not None:
            return
        thread = threading.Thread(target=self._run, name="line-writer", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # no thread is left: the next line tries again, and these wait
            self._idle = True
            return
        self._thread = thread

    def _run(self) -> None:
        while True:
            self._wake.get()
            while batch := self._take():
                if not self._write(batch):
                    self.count_lost(len(batch))
                if not self._lines:
                    time.sleep(PAUSE_SECONDS)

    def _take(self) -> list[bytes]:
        """The next lines that go out in one piece; none: the thread rests."""
        batch: list[bytes] = []
        size = 0
        with self._lock:
            while self._lines and (not batch or size + len(self._lines[0]) <= WRITE_BYTES):
                size += len(self._lines[0])
                batch.append(self._lines.popleft())
            self._bytes -= size
            self._idle = not batch
        return batch

    def _write(self, batch: list[bytes]) -> bool:
        try:
            if (lost := self._lost) > self._told:
                news = self._tell_lost(lost - self._told).encode(self.encoding, "backslashreplace") + b"\n"
                if self._send(news):
                    self._told = lost
            return self._send(b"".join(batch))
        except Exception:  # the thread outlives whatever one line can do to it
            return False

    def _send(self, data: bytes) -> bool:
        """Write all of it, waiting as long as it takes; False when it cannot be written."""
        if self._torn:
            data = b"\n" + data  # the line before was cut off
        left = memoryview(data)
        try:
            while left:
                left = left[self._send_some(left) :]
        except (OSError, ValueError):
            self._torn = self._torn or 0 < len(left) < len(data)
            return False
        self._torn = False
        return True

    def _send_some(self, data: memoryview) -> int:
        try:
            return os.write(self.descriptor, data)
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EWOULDBLOCK):
                raise
        poll = select.poll()
        poll.register(self.descriptor, select.POLLOUT)
        poll.poll()
        return 0
