"""What a process of the DICOM door says on its standard output, one line a second; and the one order it takes."""

from __future__ import annotations

import json
import os
import select
import time
from dataclasses import asdict, dataclass

from broker.dicom.census import PeerSeen, Snapshot


@dataclass(frozen=True, slots=True)
class Report:
    """ready: it can do its work; failed: why it could not start, "" when it did; the first report says: it serves.

    log_lines_lost  since its start
    """

    ready: bool
    snapshot: Snapshot | None = None
    failed: str = ""
    log_lines_lost: int = 0

    def line(self) -> bytes:
        shown = {
            "ready": self.ready,
            "failed": self.failed,
            "log_lines_lost": self.log_lines_lost,
            "snapshot": None if self.snapshot is None else asdict(self.snapshot),
        }
        return json.dumps(shown).encode() + b"\n"

    @classmethod
    def read(cls, line: bytes) -> Report:
        shown = json.loads(line)
        known = shown["snapshot"]
        if known is not None:
            known = Snapshot(**{**known, "peers": tuple(PeerSeen(**one) for one in known["peers"])})
        return cls(shown["ready"], known, shown["failed"], shown["log_lines_lost"])


class ReportPipe:
    """Where reports go. A pipe that is not read, as while the main process is suspended, is not waited for.

    descriptor  of the pipe, whose only writer we are; it becomes non-blocking
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._left = b""
        os.set_blocking(descriptor, False)

    def send(self, report: Report, seconds: float = 0.0) -> None:
        """Send a report as far as the pipe takes it. While one has not left whole, those after it are dropped.

        seconds  how long to wait for room
        raises   BrokenPipeError when the main process has died
        """
        self._left = self._left or report.line()
        give_up_at = time.monotonic() + seconds
        while self._left:
            try:
                self._left = self._left[os.write(self._descriptor, self._left) :]
            except BlockingIOError:
                if (wait := give_up_at - time.monotonic()) <= 0:
                    return
                poll = select.poll()
                poll.register(self._descriptor, select.POLLOUT)
                poll.poll(wait * 1000)


def stop_line(grace_seconds: float) -> bytes:
    """The order to stop."""
    return json.dumps({"stop": grace_seconds}).encode() + b"\n"


def read_stop(line: bytes) -> float:
    """The grace time of an order to stop."""
    return float(json.loads(line)["stop"])
