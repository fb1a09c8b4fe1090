"""One process of the DICOM door: `python -m broker.processes.child`, started and fed by the main process only.

Its standard input is its life line: a handover, then perhaps the order to stop; when it ends, the main process has
died, and this one ends at once, so that nobody serves a folder that somebody else may take.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress
from typing import BinaryIO

import structlog

from broker import log
from broker.clock import SystemClock
from broker.errors import BrokerError
from broker.owner_only import private_umask
from broker.processes.door import DicomDoor, build_door
from broker.processes.handover import Handover
from broker.processes.report import Report, ReportPipe, read_stop
from broker.service import FOLDER_LOCK
from broker.store.database import open_database
from broker.store.marks import Marks
from broker.store.pairing import paired_database
from broker.store.watch import Watch
from broker.store.writer import Writer

REPORT_SECONDS = 1.0
CLOSE_SECONDS = 0.5
"""For the writer, when no door gives it work any more."""

ENDED, FAILED, ORPHANED = 0, 1, 3


class LifeLine:
    """Reads what the main process says, in a thread of its own."""

    def __init__(self, lines: BinaryIO) -> None:
        self._lines = lines
        self._told_to_stop = threading.Event()
        self.grace_seconds = 0.0
        threading.Thread(target=self._read, name="life-line", daemon=True).start()

    def wait_for_stop(self, seconds: float) -> bool:
        return self._told_to_stop.wait(seconds)

    def _read(self) -> None:
        while line := self._lines.readline():
            self.grace_seconds = read_stop(line)
            self._told_to_stop.set()
        os._exit(ORPHANED)  # no word to anybody: a log that nobody reads any more could keep us


def main() -> None:
    """Serve until told to stop. Signals of a terminal or a service manager are for the main process, which tells us."""
    private_umask()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    handed = sys.stdin.buffer.readline()
    if not handed:
        os._exit(ORPHANED)
    life_line = LifeLine(sys.stdin.buffer)
    # What is printed by mistake must not end up between the reports.
    reports = ReportPipe(os.dup(1))
    os.dup2(2, 1)
    code = FAILED
    try:
        handover = Handover.read(handed)
        log.configure(handover.settings.log, process=handover.number)
        _serve(handover, life_line, reports)
        code = ENDED
    except BrokenPipeError:
        code = ORPHANED
    except BrokerError as error:
        with suppress(OSError):
            reports.send(Report(False, failed=str(error)), CLOSE_SECONDS)
    except Exception as error:
        # Its text may hold values of a patient.
        structlog.get_logger().critical("process.failed", exc_info=error)
    log.flush()
    os._exit(code)  # threads that were cut off wait for nobody


def _serve(handover: Handover, life_line: LifeLine, reports: ReportPipe) -> None:
    settings = handover.settings
    site = handover.site()
    with ExitStack() as undo:
        database = open_database(
            settings.database,
            settings.data,
            migrate=False,
            lock_seconds=settings.lock_seconds,
            identity=paired_database(settings.data),
        )
        undo.callback(database.close)
        database.depends_on(settings.data / FOLDER_LOCK)
        database.keep_marks(Marks(settings.data, str(handover.number)), SystemClock())
        watch = Watch(database)
        watch.start()
        undo.callback(watch.stop, CLOSE_SECONDS)
        writer = Writer(database, most_requests=settings.writer_requests, most_bytes=settings.writer_bytes)
        writer.start()
        undo.callback(writer.stop, CLOSE_SECONDS)
        listening = {name: socket.socket(fileno=descriptor) for name, descriptor in handover.sockets.items()}
        door = build_door(
            settings, site, database, writer, SystemClock(), listening=listening, processes=handover.count
        )
        door.start()
        _report_until_told(lambda: door.ready() and writer.ready() and not database.lost, door, life_line, reports)
        door.stop(life_line.grace_seconds)


def _report_until_told(ready: Callable[[], bool], door: DicomDoor, life_line: LifeLine, reports: ReportPipe) -> None:
    while True:
        reports.send(Report(ready(), door.snapshot(), log_lines_lost=log.lines_lost()))
        if life_line.wait_for_stop(REPORT_SECONDS):
            return


if __name__ == "__main__":
    main()
