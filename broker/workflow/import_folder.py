"""A folder of worklist files, file by file: read, told apart, handed to the writer in small batches with pauses.

Beside a serving broker each batch is one short turn at the write lock; the pause lets others have theirs.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import structlog

from broker.clock import Clock
from broker.domain.importing import ImportAnswer
from broker.domain.request import KeepMessage, Outcome, PlaceOrder, ReceivedMessage, Sender
from broker.domain.rules import Rules
from broker.errors import DatabaseUnavailable, SettingsError, UnreadableDataset
from broker.mapping.rows import RowSet
from broker.mapping.worklist_file import MOST_BYTES, NoWorklistItem
from broker.mapping.worklist_item import MESSAGE_TYPE, read_item
from broker.store.database import Database
from broker.store.writer import Writer
from broker.workflow.import_worklist import import_worklist_verb
from broker.workflow.rehearse_import import Rehearsal

log = structlog.get_logger()

BATCH_FILES = 20
PAUSE_SECONDS = 0.002
"""Measured: batches of 20 with this pause harm nobody's commits; without it a small commit waits 20 ms."""
LEAST_FILES = 5
LONG_SECONDS = 0.05
"""A batch that took longer shows a machine that is busy: where writers queue for one lock (SQLite), the next one is
half as large, so that others wait less."""
WAIT_SECONDS = 120.0
"""Longest wait for one batch, whatever else writes."""
MOST_FILES = 1_000_000
PEER = "import"


class Site(Protocol):
    """What we need of the site profile."""

    @property
    def rules(self) -> Rules: ...

    @property
    def rows(self) -> RowSet: ...

    def sender(self, application: str, facility: str) -> Sender: ...

    def charset_for(self, sender: Sender) -> str: ...


@dataclass(frozen=True, slots=True)
class ImportedFile:
    """How one file ended.

    name     path below the folder
    outcome  created, updated, cancelled, held, unchanged, superseded; refused (a worklist item that cannot be taken,
             or a file that cannot be read); skipped (something else, or the same step again)
    """

    name: str
    outcome: str
    reason: str = ""
    warnings: tuple[str, ...] = ()


@dataclass(slots=True)
class ImportReport:
    """Filled while the import runs, so that one which ends early tells what it did.

    without_row  attributes that no row of the profile takes -> in how many files they had a value
    """

    files: list[ImportedFile] = field(default_factory=list)
    without_row: dict[str, int] = field(default_factory=dict)

    def count(self, *outcomes: str) -> int:
        return sum(1 for file in self.files if file.outcome in outcomes)


def files_in(folder: Path) -> list[str]:
    """Paths below the folder of all that is no folder, in order of their names; links to folders are not followed.

    raises  SettingsError when the folder cannot be read
    """
    if not folder.is_dir():
        raise SettingsError("not a folder", folder=folder)
    found: list[str] = []
    for place, folders, names in os.walk(folder, onerror=_refuse_folder(folder)):
        folders.sort()
        found += [os.path.relpath(os.path.join(place, name), folder) for name in names]
        if len(found) > MOST_FILES:
            raise SettingsError("too many files for one import", folder=folder, most=MOST_FILES)
    return sorted(found, key=os.fsencode)


def _refuse_folder(folder: Path) -> Callable[[OSError], None]:
    def refuse(error: OSError) -> None:
        if error.filename == str(folder):
            raise SettingsError("the folder cannot be read", folder=folder, reason=error.strerror)
        log.warning("import.folder_unread", reason=error.strerror)

    return refuse


@dataclass(frozen=True, slots=True)
class ImportOrder:
    """What is to be done.

    files     paths below the folder, as `files_in` gives them
    sender    whose numbers these are
    rehearse  True: decide all and write nothing
    """

    folder: Path
    files: Sequence[str]
    sender: Sender
    rehearse: bool = False


def import_folder(
    database: Database, site: Site, clock: Clock, order: ImportOrder, report: ImportReport, read: Callable[[], None]
) -> None:
    """Import worklist files; what is absent from the folder stays as it is.

    report  is filled while the import runs
    read    called after each file that was read
    raises  DatabaseUnavailable
    """
    if order.rehearse:
        rehearsal = Rehearsal(database, site, clock)
        _run(_Reader(order, site, clock, report, read), report, rehearsal.decide, WAIT_SECONDS)
        return
    writer = Writer(database, largest_batch=BATCH_FILES)
    writer.start()
    try:
        long_seconds = LONG_SECONDS if database.dialect == "sqlite" else WAIT_SECONDS
        _run(_Reader(order, site, clock, report, read), report, _writing(writer, database, site, clock), long_seconds)
    finally:
        writer.stop(WAIT_SECONDS)


_Write = Callable[[list[PlaceOrder]], Sequence[ImportAnswer | BaseException]]


def _run(reader: _Reader, report: ImportReport, write: _Write, long_seconds: float) -> None:
    """Read a batch, write it, pause: nothing is read while the lock is held, which would make the others wait."""
    requests = reader.requests()
    size = BATCH_FILES
    while batch := list(islice(requests, size)):
        began = time.monotonic()
        answers = write([request for _, request in batch])
        is_long = time.monotonic() - began > long_seconds
        size = max(LEAST_FILES, size // 2) if is_long else min(BATCH_FILES, size * 2)
        report.files += [_ended(name, one) for (name, _), one in zip(batch, answers, strict=True)]
        time.sleep(PAUSE_SECONDS)


def _writing(writer: Writer, database: Database, site: Site, clock: Clock) -> _Write:
    verb = import_worklist_verb(site, database.ids, clock)

    def write(requests: list[PlaceOrder]) -> Sequence[ImportAnswer | BaseException]:
        size_bytes = sum(len(request.message.raw) for request in requests)
        futures = writer.submit_together(verb, requests, size_bytes)
        give_up_at = time.monotonic() + WAIT_SECONDS
        return [_result(future, give_up_at) for future in futures]

    return write


def _result(future: Future[Any], give_up_at: float) -> ImportAnswer | BaseException:
    try:
        answer: ImportAnswer = future.result(max(0.0, give_up_at - time.monotonic()))
    except DatabaseUnavailable:
        raise
    except TimeoutError:
        raise DatabaseUnavailable("a batch could not be written in time", limit_seconds=WAIT_SECONDS) from None
    except Exception as fault:
        return fault
    return answer


def _ended(name: str, answer: ImportAnswer | BaseException) -> ImportedFile:
    if isinstance(answer, BaseException):
        return ImportedFile(name, "refused", f"the broker could not process it ({type(answer).__name__})")
    outcome = "refused" if answer.outcome is Outcome.REJECTED else answer.outcome.value
    return ImportedFile(name, outcome, answer.reason, answer.warnings)


class _Reader:
    """Reads the files in order; what cannot become a request goes into the report at once."""

    def __init__(
        self, order: ImportOrder, site: Site, clock: Clock, report: ImportReport, read: Callable[[], None]
    ) -> None:
        self._order = order
        self._site = site
        self._clock = clock
        self._report = report
        self._told_read = read
        self._seen: dict[object, str] = {}

    def requests(self) -> Iterator[tuple[str, PlaceOrder]]:
        for path in self._order.files:
            name = os.fsencode(path).decode("utf-8", "replace")
            try:
                request = self._read(name, read_bounded(self._order.folder / path))
            except NoWorklistItem as other:
                self._report.files.append(ImportedFile(name, "skipped", other.text))
            except UnreadableDataset as broken:
                self._report.files.append(ImportedFile(name, "refused", broken.text))
            else:
                if request is not None:
                    yield name, request
            self._told_read()

    def _read(self, name: str, raw: bytes) -> PlaceOrder | None:
        kind, event = MESSAGE_TYPE
        digest = hashlib.sha256(raw).hexdigest()
        received = ReceivedMessage(
            raw, PEER, self._clock.now(), self._order.sender, message_type=kind, trigger_event=event, digest=digest
        )
        item = read_item(raw, received, self._site)
        request = item.request
        if isinstance(request, KeepMessage):
            self._report.files.append(ImportedFile(name, "refused", request.reason))
            return None
        first = self._seen.setdefault(_identity(request), name)
        if first != name:
            self._report.files.append(ImportedFile(name, "skipped", f"names the same step as {first}"))
            return None
        for keyword in item.without_row:
            self._report.without_row[keyword] = self._report.without_row.get(keyword, 0) + 1
        return request


def _identity(request: PlaceOrder) -> object:
    """What two files have in common that mean the same steps."""
    return (
        request.patient.identifiers[0],
        *((o.placer, o.filler, o.accession, o.requested_procedure_id, o.study_uid, o.step_id) for o in request.orders),
    )


def read_bounded(path: Path) -> bytes:
    """The bytes of a regular file.

    raises  NoWorklistItem when it is no file or too long; UnreadableDataset when it cannot be read
    """
    try:
        # Without O_NONBLOCK a named pipe in the folder would keep us waiting for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except OSError as error:
        if error.errno in (errno.ENXIO, errno.EISDIR):
            raise NoWorklistItem("not a regular file") from None
        raise UnreadableDataset(f"the file cannot be read: {error.strerror}") from None
    with os.fdopen(descriptor, "rb") as file:
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode):
            raise NoWorklistItem("not a regular file")
        if facts.st_size > MOST_BYTES:
            raise NoWorklistItem("the file is too long for a worklist item")
        try:
            return file.read(MOST_BYTES + 1)
        except OSError as error:
            raise UnreadableDataset(f"the file cannot be read: {error.strerror}") from None
