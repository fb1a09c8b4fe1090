"""Take object files in again that have no row: what a kill left, and what a restored database does not know.

Nothing that was acknowledged is ever removed. A file whose bytes have a row in another file is removed once both were
compared; what no image can be made of is moved to the folder `unclaimed`, and an alarm says so.

Numbers, not a clock, tell which files are older than the start: all numbers given since are higher than those of the
files that were there.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import wait
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from typing import TypeVar

import structlog

from broker.archive.files import FoundObject, ObjectFiles
from broker.archive.header import read_header
from broker.clock import Clock
from broker.domain.order import Alarm
from broker.errors import Busy, DatabaseUnavailable, Stopping, UnreadableDataset
from broker.store.alarms import raise_alarms
from broker.store.database import Database
from broker.store.object_rows import pass_number, places_of
from broker.store.studies import Place
from broker.store.writer import Verb, Writer
from broker.workflow.missing_objects import find_missing, raise_missing
from broker.workflow.store_instance import StoreAnswer, StoreInstance
from broker.workflow.take_instance import REQUEST_BYTES, check_header, is_uid, request_of

log = structlog.get_logger()

BATCH_FILES = 20
REST = 1.0
"""Seconds at rest for each second at work, so that peers hardly notice."""
LEAST_REST_SECONDS, MOST_REST_SECONDS = 0.002, 2.0
TELL_SECONDS = 5.0
WAIT_SECONDS = 30.0
"""Longest wait for the writer before a batch is handed over again."""
RETRY_SECONDS = 1.0
"""Pause after the database or the writer had no time for us."""

Rows = Sequence[tuple[str, Place]]
"""Digest and place of each."""
Result = TypeVar("Result")


def clear_parts(database: Database, files: ObjectFiles) -> int:
    """Remove unfinished files, and see to it that no number of a file that is there is given again.

    The caller holds the data folder, and no number has been taken yet.

    returns  the number from which on files are younger than this start
    raises   DatabaseUnavailable
    """
    parts, highest = files.clear_parts()
    with database.write() as tx:
        first = pass_number(tx, highest)
    log.info("storage.parts_removed", parts=parts, first_number=first)
    return first


@dataclass(slots=True)
class Counts:
    """Files by what became of them.

    taken    have a row now: stored, or kept aside beside other bytes under their UID
    put_back took the place of the row's file, which was gone or damaged
    spare    were equal to a row's file, and removed
    aside    were moved to the unclaimed ones
    left     stay in place without a row
    """

    looked_at: int = 0
    taken: int = 0
    put_back: int = 0
    spare: int = 0
    aside: int = 0
    left: int = 0


class _Stopped(Exception):
    """The broker is stopping; the next start continues."""


@dataclass(slots=True)
class Recovery:
    """Runs once, in a thread, while the broker serves; one that was stopped is made up for by the next start.

    below  number from which on files belong to those who serve
    """

    database: Database
    writer: Writer
    verb: Verb
    files: ObjectFiles
    clock: Clock
    below: int
    counts: Counts = field(default_factory=Counts)
    _stopping: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None
    _told_at: float = 0.0
    _rested_at: float = 0.0

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="recovery", daemon=True)
        self._thread.start()

    def stop(self, grace_seconds: float) -> None:
        self._stopping.set()
        self.wait(grace_seconds)

    def wait(self, seconds: float) -> bool:
        """True when it has ended."""
        if self._thread is not None:
            self._thread.join(seconds)
        return self._thread is None or not self._thread.is_alive()

    def _run(self) -> None:
        began = self._told_at = self._rested_at = time.monotonic()
        try:
            for paths in self.files.whole(self.below):
                self._look_at(paths)
            seconds = round(time.monotonic() - began, 1)
            log.info("storage.recovered", **asdict(self.counts), seconds=seconds)
            self._find_missing()
        except _Stopped:
            log.info("storage.recovery_stopped", **asdict(self.counts))
        except Exception as error:
            # Its text may hold values of a patient.
            log.error("storage.recovery_failed", error=type(error).__name__, **asdict(self.counts))

    def _look_at(self, paths: Mapping[int, str]) -> None:
        known = self._patiently(lambda: self._known(paths))
        self.counts.looked_at += len(paths)
        found = ((number, path, known.get(number, ())) for number, path in paths.items())
        lost = (one for one in found if not self._has_row(one[1], one[2]))
        while some := list(islice(lost, BATCH_FILES)):
            requests = [self._request(*one) for one in some]
            self._recover([request for request in requests if request is not None])
            self._rest()
        self._rest()

    def _known(self, paths: Mapping[int, str]) -> dict[int, Rows]:
        with self.database.read() as tx:
            return dict(places_of(tx, paths))

    def _has_row(self, path: str, rows: Rows) -> bool:
        """Another folder on the same database may have a file at the same path."""
        return any(place.path == path and self.files.is_here(place.store) for _, place in rows)

    def _request(self, number: int, path: str, rows: Rows) -> StoreInstance | None:
        """The request that takes a file in; None when it cannot be taken in, which an alarm then says.

        rows  that have its number, and are about other files, or about this one in a folder by another name: that is
              how they were written when the folder had an identity that was lost
        """
        try:
            found = self.files.look(number, path)
            header = read_header(self.files.full_path(path), found.written.dataset_offset,
                                 found.meta.transfer_syntax_uid)  # fmt: skip
            check_header(header, found.meta)
            if not is_uid(found.meta.sop_instance_uid) or not is_uid(found.meta.sop_class_uid):
                raise UnreadableDataset("a UID is wrong")
            ours = next((place for digest, place in rows if (digest, place.path) == (found.written.digest, path)), None)
            if rows and ours is None:
                found = self._renumbered(found)
        except UnreadableDataset as error:
            self._set_aside(path, error.text)
            return None
        except OSError as error:
            self._leave(path, error.strerror or "it cannot be read")
            return None
        self._rest()
        now = self.clock.now()
        request = request_of(header, found.meta, found.written, self.files.store, min(found.kept_at, now))
        return replace(request, recovered_at=now, instead_of=ours)

    def _renumbered(self, found: FoundObject) -> FoundObject:
        number = self._patiently(lambda: self.database.ids.take("instances"))
        path = self.files.renumber(found.written.path, number)
        return replace(found, written=replace(found.written, number=number, path=path))

    def _recover(self, requests: Sequence[StoreInstance]) -> None:
        for request, answer in zip(requests, self._answers(requests), strict=True):
            if answer is None:
                self._leave(request.place.path, "the broker failed on it; see its log")
            elif answer.uses_file:
                self.counts.taken += 1
            else:
                self._compare(request, answer)

    def _compare(self, request: StoreInstance, answer: StoreAnswer) -> None:
        """The bytes have a row already: one of the two files is enough, if it is whole."""
        ours, held = request.place.path, answer.held
        if held is None or not self.files.is_here(held.store):
            self._set_aside(ours, "its row names a file of another data folder")
        elif self.files.same_dataset(ours, held.path):
            self.files.remove(ours)
            self.counts.spare += 1
        else:
            [again] = self._answers([replace(request, instead_of=held)])
            if again is not None and again.uses_file:
                self.counts.put_back += 1
            else:
                self._leave(ours, "the row of the same bytes has another file")

    def _answers(self, requests: Sequence[StoreInstance]) -> list[StoreAnswer | None]:
        """None where the verb failed. A request that was written although it looked lost knows its row again."""
        return self._patiently(lambda: self._asked(requests)) if requests else []

    def _asked(self, requests: Sequence[StoreInstance]) -> list[StoreAnswer | None]:
        futures = self.writer.submit_together(self.verb, requests, REQUEST_BYTES * len(requests))
        late = wait(futures, WAIT_SECONDS).not_done
        if late:
            for future in late:
                future.cancel()
            raise Busy("the writer did not answer in time")
        answers: list[StoreAnswer | None] = []
        for future in futures:
            error = future.exception()
            if isinstance(error, DatabaseUnavailable | Busy | Stopping):
                raise error
            answers.append(future.result() if error is None else None)
        return answers

    def _set_aside(self, path: str, reason: str) -> None:
        """The alarm comes first: without it, a file that was moved would be lost to everybody."""
        self._tell(path, f"{reason}; moved to the folder unclaimed")
        try:
            self.files.set_aside(path)
        except OSError as error:
            self._leave(path, f"cannot be moved to unclaimed: {error.strerror}")
        else:
            self.counts.aside += 1

    def _leave(self, path: str, reason: str) -> None:
        self.counts.left += 1
        self._tell(path, f"{reason}; left in place")

    def _tell(self, path: str, reason: str) -> None:
        """One alarm for each day of the folder; its count is that of the files."""
        log.warning("storage.file_unclaimed", path=path, reason=reason)
        day, _, name = path.rpartition("/")
        self._patiently(lambda: self._raise(Alarm("file-unclaimed", day, detail=f"{name}: {reason}")))

    def _raise(self, alarm: Alarm) -> None:
        with self.database.write() as tx:
            raise_alarms(tx, [alarm], self.clock.now())

    def _find_missing(self) -> None:
        missing = self._patiently(lambda: find_missing(self.database, self.files, self._go_on))
        if missing.count:
            self._patiently(lambda: raise_missing(self.database, missing, self.clock.now(), self._go_on))
        level = log.error if missing.count else log.info
        level("storage.images_checked", looked_at=missing.looked_at, without_file=missing.count)

    def _go_on(self) -> bool:
        self._rest()
        return True

    def _rest(self) -> None:
        """As long as the work took since the last rest, within limits. raises _Stopped"""
        now = time.monotonic()
        if now - self._told_at >= TELL_SECONDS:
            self._told_at = now
            log.info("storage.recovering", **asdict(self.counts))
        if self._stopping.wait(min(max(LEAST_REST_SECONDS, REST * (now - self._rested_at)), MOST_REST_SECONDS)):
            raise _Stopped
        self._rested_at = time.monotonic()

    def _patiently(self, work: Callable[[], Result]) -> Result:
        """Do it as soon as database and writer have time. raises _Stopped"""
        while True:
            try:
                return work()
            except Stopping:
                raise _Stopped from None
            except (Busy, DatabaseUnavailable):
                if self._stopping.wait(RETRY_SECONDS):
                    raise _Stopped from None
