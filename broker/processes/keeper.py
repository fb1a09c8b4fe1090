"""Keeps one process of the DICOM door alive: started, listened to, started again when it dies, with a growing pause."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import structlog

import broker
from broker.dicom.census import Snapshot, total
from broker.errors import BrokerError
from broker.processes.handover import Handover
from broker.processes.report import Report, stop_line

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.1, 5.0
"""Before a process that died is started again; doubled each time."""

STEADY_SECONDS = 10.0
"""A process that served so long had no fault of its own: the next pause is the first again."""

LATE_SECONDS = 10.0
"""Without a report for so long, a process is not ready; with SILENT_SECONDS it is ended."""

SILENT_SECONDS = 30.0
START_SECONDS = 60.0
"""Longest wait for the first report: a loaded machine imports slowly, and the database may let it wait."""

READ_BYTES = 65_536
NOTHING = Snapshot(0, 0, (), {}, {}, {})

log = structlog.get_logger()


class Keeper:
    """One process and its successors, in a thread of its own.

    number       from 1
    handover     what each of them is handed
    folder_lock  descriptor that each of them keeps open
    """

    def __init__(self, number: int, handover: Callable[[int], Handover], folder_lock: int) -> None:
        self.number = number
        self._handover = handover
        self._folder_lock = folder_lock
        self._changed = threading.Condition()
        self._stopping = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._report: Report | None = None
        self._heard_at = 0.0
        self._past = NOTHING
        self._past_lines_lost = 0
        self._failed = ""
        self._thread = threading.Thread(target=self._keep, name=f"dicom-process-{number}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def wait_until_serving(self, give_up_at: float) -> None:
        """raises  BrokerError when the process ends instead, or give_up_at (monotonic) has come"""
        with self._changed:
            self._changed.wait_for(lambda: self._report or self._failed, max(0.0, give_up_at - time.monotonic()))
            if self._report is None:
                reason = self._failed or "it took too long"
                raise BrokerError("a process of the DICOM door did not start", process=self.number, reason=reason)

    def tell_to_stop(self, grace_seconds: float) -> None:
        """Nothing is started any more; what runs is told how long requests in hand may take."""
        with self._changed:
            self._stopping.set()
            if self._process is None or self._process.stdin is None:
                return
            if self._report is None:  # it serves nobody yet, and may still be reading what it is handed
                self._process.kill()
            else:
                with suppress(OSError):
                    self._process.stdin.write(stop_line(grace_seconds))

    def end(self, give_up_at: float) -> bool:
        """Wait for the end until give_up_at (monotonic), then kill; returns True when it ended by itself."""
        if self._thread.ident is None:
            return True
        self._thread.join(max(0.0, give_up_at - time.monotonic()))
        by_itself = not self._thread.is_alive()
        with self._changed:
            if self._process is not None:
                self._process.kill()
        self._thread.join(1.0)
        return by_itself

    def ready(self) -> bool:
        with self._changed:
            report = self._report
            return report is not None and report.ready and time.monotonic() - self._heard_at < LATE_SECONDS

    def snapshot(self) -> Snapshot:
        """Who is connected now, as it said last; what was counted since the first of these processes."""
        with self._changed:
            now = self._report.snapshot if self._report is not None else None
            return total([self._past] if now is None else [self._past, now])

    def log_lines_lost(self) -> int:
        """By this process and those before it, as they said last."""
        with self._changed:
            return self._past_lines_lost + (self._report.log_lines_lost if self._report is not None else 0)

    @property
    def pid(self) -> int | None:
        with self._changed:
            return None if self._process is None else self._process.pid

    def _keep(self) -> None:
        pause = FIRST_PAUSE_SECONDS
        while not self._stopping.is_set():
            began = time.monotonic()
            code = self._run_one()
            lived = time.monotonic() - began
            pause = FIRST_PAUSE_SECONDS if lived > STEADY_SECONDS else pause
            if not self._stopping.is_set():
                facts = {"code": code, "lived_seconds": round(lived), "pause_seconds": pause}
                log.error("dicom.process_ended", process=self.number, **facts)
            self._stopping.wait(pause)
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)

    def _run_one(self) -> int | None:
        """One process from start to end; its exit code, below 0: the signal that ended it, None: not started."""
        handover = self._handover(self.number)
        try:
            process = self._spawn((*handover.sockets.values(), self._folder_lock))
        except OSError as error:
            with self._changed:
                self._failed = error.strerror or "it cannot be started"
                self._changed.notify_all()
            return None
        if process is None:
            return None
        try:
            self._listen(process, handover)
        finally:
            process.kill()
            code = process.wait()
            self._forget(code)
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    with suppress(OSError):
                        pipe.close()
        return code

    def _spawn(self, inherit: tuple[int, ...]) -> subprocess.Popen[bytes] | None:
        """None: it was to stop meanwhile. raises OSError"""
        with self._changed:
            if self._stopping.is_set():
                return None
            self._process = subprocess.Popen(
                command(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                bufsize=0,
                pass_fds=inherit,
                process_group=0,  # what a terminal tells its group is for the main process
            )
            return self._process

    def _listen(self, process: subprocess.Popen[bytes], handover: Handover) -> None:
        """Hand over, then take reports until it ends or has been silent for too long."""
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(handover.line())
        except OSError:
            return
        for line in lines_of(process.stdout.fileno()):
            report = Report.read(line)
            with self._changed:
                if report.failed:
                    self._failed = report.failed
                    log.error("dicom.process_failed", process=self.number, reason=report.failed)
                else:
                    if self._report is None:
                        log.info("dicom.process_serves", process=self.number, pid=process.pid)
                    self._report, self._heard_at = report, time.monotonic()
                self._changed.notify_all()

    def _forget(self, code: int) -> None:
        """What the process counted stays; who was connected to it no longer is."""
        with self._changed:
            last = self._report.snapshot if self._report is not None else None
            if self._report is not None:
                self._past_lines_lost += self._report.log_lines_lost
            if last is not None:
                closed = tuple(replace(peer, open=0) for peer in last.peers)
                self._past = total([self._past, replace(last, open=0, waiting=0, peers=closed)])
            elif not self._failed:
                self._failed = f"it ended with code {code}"
            self._process = self._report = None
            self._changed.notify_all()


def command() -> list[str]:
    """How a process is started: by this interpreter, with this code."""
    root = Path(broker.__file__).parents[1]
    # Where the code is installed, the current folder is no place to import from.
    safe = [] if root == Path.cwd() else ["-P"]
    return [sys.executable, *safe, "-m", "broker.processes.child"]


def lines_of(
    descriptor: int, first_seconds: float = START_SECONDS, silent_seconds: float = SILENT_SECONDS
) -> Iterator[bytes]:
    """Lines until the end, or until the first has not come in its time, or another one for so long."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    left, limit = b"", first_seconds
    while poll.poll(limit * 1000):
        data = os.read(descriptor, READ_BYTES)
        if not data:
            return
        *lines, left = (left + data).split(b"\n")
        yield from lines
        if lines:
            limit = silent_seconds
    log.error("dicom.process_silent", seconds=limit)
