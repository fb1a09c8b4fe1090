"""Standard output and error as commands may use them: printing never fails, and never stops the work in the middle.

What could not be printed is checked once, at the end: a reader that has stopped reading (`| head`) is fine, a full disk
is a failure. Characters that the encoding lacks are written as escapes.
"""

from __future__ import annotations

import errno
import io
import os
import select
import sys
from typing import Any, TextIO


class Kept(io.FileIO):
    """A descriptor whose write errors are kept instead of raised. fault: errno of the first, 0 while there is none."""

    fault = 0

    def write(self, data: Any, /) -> int:
        length = memoryview(data).nbytes
        try:
            if not self.fault and (written := super().write(data)) is not None:
                return written
        except OSError as error:
            self.fault = error.errno or errno.EIO
        if self.fault:
            return length
        poll = select.poll()  # somebody else has made the terminal or pipe non-blocking
        poll.register(self.fileno(), select.POLLOUT)
        poll.poll()
        return self.write(data)


def prepare() -> None:
    """Make standard output and error safe to print to; those that tests put in their place stay as they are."""
    _fill_closed()
    if sys.stdout is None or sys.stdout is sys.__stdout__:
        sys.stdout = _safe(1, sys.stdout, line_buffering=os.isatty(1))
    if sys.stderr is None or sys.stderr is sys.__stderr__:
        sys.stderr = _safe(2, sys.stderr, line_buffering=True)


def fault_of_output() -> str:
    """Why standard output could not be written, in words; "" when it could, or when its reader has had enough."""
    fault = 0
    try:
        sys.stdout.flush()
        fault = _kept_fault(sys.stdout)
    except OSError as error:
        fault = error.errno or errno.EIO
    return "" if fault in (0, errno.EPIPE) else os.strerror(fault)


def _fill_closed() -> None:
    """Where 0, 1 or 2 is closed, the next file that is opened would get its number, and our words with it.

    What takes the place fails every write, as a closed descriptor does.
    """
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            taken = os.open(os.devnull, os.O_WRONLY if descriptor == 0 else os.O_RDONLY)  # the lowest free number
            os.set_inheritable(taken, True)  # processes of ours would find it closed again


def _safe(descriptor: int, given: TextIO | None, line_buffering: bool) -> TextIO:
    encoding = getattr(given, "encoding", None) or "utf-8"
    buffer = io.BufferedWriter(Kept(descriptor, "wb", closefd=False))
    return io.TextIOWrapper(buffer, encoding, "backslashreplace", line_buffering=line_buffering)


def _kept_fault(stream: TextIO) -> int:
    raw = getattr(getattr(stream, "buffer", None), "raw", None)
    return raw.fault if isinstance(raw, Kept) else 0
