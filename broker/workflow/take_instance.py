"""Take an object from a peer: file first, then row, then success; and no file stays that no row will name.

A file is removed only when it is certain that no row names it: its request was never taken, was refused or rolled back.
Where nobody knows (a commit that did not answer), the store is asked as soon as it answers, at the latest by the next
start, which sweeps.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import BinaryIO

import structlog

from broker.archive.files import STORE, FileMeta, ObjectFiles, Swept, WrittenObject
from broker.archive.header import ObjectHeader, RequestItem, read_header
from broker.clock import Clock
from broker.domain.linking import LinkKeys
from broker.domain.request import Issuer
from broker.errors import Busy, DatabaseUnavailable, UnreadableDataset
from broker.store.database import Database
from broker.store.studies import Place, StudyKey, known_paths, numbers_given
from broker.store.writer import Verb, Writer
from broker.workflow.store_instance import StoreAnswer, StoreInstance, instance_keys

log = structlog.get_logger()

ASK_SECONDS = 1.0
"""Longest wait for the store when it is asked about files that nobody knows of."""

MOST_DOUBTFUL = 100
"""With so many such files, nothing more is taken until the store has answered."""

REQUEST_BYTES = 4096
"""What a request holds in memory while it waits; the object itself is on disk."""


class ClassMismatch(UnreadableDataset):
    """A dataset whose own SOP Class, SOP Instance, Study or Series UID is missing, wrong or not the announced one."""


@dataclass(frozen=True, slots=True)
class Intake:
    """What taking an object needs.

    wait_seconds  longest wait for the writer
    doubtful      requests whose commit nobody knows of: their files wait until the store answers again
    """

    database: Database
    writer: Writer
    verb: Verb
    files: ObjectFiles
    clock: Clock
    wait_seconds: float
    doubtful: deque[StoreInstance] = field(default_factory=deque)

    def take(self, meta: FileMeta, dataset: BinaryIO) -> StoreAnswer:
        """Keep an object.

        dataset  encoded as meta says, read once to its end, never held whole
        raises   ClassMismatch, UnreadableDataset, StorageFull, Busy, Stopping, DatabaseUnavailable; the object is then
                 not kept, except that after Busy it may yet be (sending it again is safe)
        """
        if len(self.doubtful) >= MOST_DOUBTFUL:
            # While the store is away, objects that are sent again and again would fill the disk.
            self._settle_doubtful()
        received_at = self.clock.now()
        number = self.database.ids.take("instances")
        written = self.files.write(number, received_at.date(), meta, dataset)
        try:
            header = read_header(self.files.full_path(written.path), written.dataset_offset, meta.transfer_syntax_uid)
            _check(header, meta)
            request = _request(header, meta, written, received_at)
            future = self._submit(request)
        except BaseException:
            self.files.remove(written.path)
            raise
        answer = self._wait(future, request)
        if not answer.uses_file:
            self.files.remove(written.path)
        if self.doubtful:
            with suppress(DatabaseUnavailable):
                self._settle_doubtful()
        log.info(
            "storage.taken",
            kept=answer.kept.value,
            study_uid=header.study_uid,
            instance_id=number,
            peer=meta.peer,
            bytes=written.length,
            linked=answer.link.how.value if answer.link else None,
        )
        return answer

    def _submit(self, request: StoreInstance) -> Future[StoreAnswer]:
        try:
            return self.writer.submit(self.verb, request, REQUEST_BYTES)
        except Busy:
            if not self.writer.wait_for_room(self.wait_seconds, REQUEST_BYTES):
                raise
        return self.writer.submit(self.verb, request, REQUEST_BYTES)

    def _wait(self, future: Future[StoreAnswer], request: StoreInstance) -> StoreAnswer:
        try:
            return future.result(self.wait_seconds)
        except FutureTimeout:
            if not future.done():
                self._withdraw(future, request)
                raise Busy("the object waited too long to be written") from None
            return self._settled(future, request)
        except Exception as error:
            self._undo(error, request)
            raise

    def _settled(self, future: Future[StoreAnswer], request: StoreInstance) -> StoreAnswer:
        """The answer came just as the wait ended."""
        try:
            return future.result()
        except Exception as error:
            self._undo(error, request)
            raise

    def _withdraw(self, future: Future[StoreAnswer], request: StoreInstance) -> None:
        """Nobody waits any longer: the file goes, or, once the writer has taken the request, what it decides holds."""
        if future.cancel():
            self.files.remove(request.place.path)
            return

        def settle(settled: Future[StoreAnswer]) -> None:
            error = settled.exception()
            if isinstance(error, DatabaseUnavailable):
                self.doubtful.append(request)
            elif error is not None or not settled.result().uses_file:
                self.files.remove(request.place.path)

        future.add_done_callback(settle)

    def _undo(self, error: Exception, request: StoreInstance) -> None:
        """Remove the file of a request that failed, once it is certain that no row names it."""
        if isinstance(error, DatabaseUnavailable):
            self.doubtful.append(request)
            with suppress(DatabaseUnavailable):
                self._settle_doubtful()
        else:
            self.files.remove(request.place.path)

    def _settle_doubtful(self) -> None:
        """Ask the store which files of requests that nobody answered have a row, and remove the others.

        The keys keep a commit that may still be under way before us. raises DatabaseUnavailable; then nothing changes
        """
        some = [self.doubtful.popleft() for _ in range(len(self.doubtful))]
        try:
            with self.database.write(ASK_SECONDS) as tx:
                self.database.lock_keys(tx, [key for request in some for key in instance_keys(request)])
                known = known_paths(tx, {request.number: request.place.path for request in some})
        except DatabaseUnavailable:
            self.doubtful.extend(some)
            raise
        for request in some:
            if request.place.path not in known:
                self.files.remove(request.place.path)


def sweep_objects(database: Database, files: ObjectFiles, started_at: float) -> Swept:
    """Remove what a kill left in the objects folder; the caller holds the lock of the data folder.

    Files that bear a number which this database has not given yet are another one's, and stay: a fresh or an older
    database beside a full folder loses nothing.

    started_at  seconds since the epoch; younger files are left alone
    raises      DatabaseUnavailable; nothing that was acknowledged is ever removed
    """
    foreign = 0

    def keep(paths: Mapping[int, str]) -> set[str]:
        nonlocal foreign
        with database.write() as tx:
            limit = numbers_given(tx)
            others = {path for number, path in paths.items() if number >= limit}
            foreign += len(others)
            return others | known_paths(tx, paths)

    swept = files.sweep(keep, started_at)
    level = log.warning if swept.kept or foreign else log.info
    level("storage.swept", parts=swept.parts, orphans=swept.orphans, kept=swept.kept, foreign=foreign)
    return swept


def _check(header: ObjectHeader, meta: FileMeta) -> None:
    """The dataset has to be what the command announced (PS3.4 B.2.3: A900H), with UIDs that are UIDs."""
    if not header.sop_class_uid or not header.sop_instance_uid:
        raise UnreadableDataset("the dataset names no SOP class or instance")
    if (header.sop_class_uid, header.sop_instance_uid) != (meta.sop_class_uid, meta.sop_instance_uid):
        raise ClassMismatch("the dataset is not the announced instance")
    if not is_uid(header.study_uid) or not is_uid(header.series_uid):
        raise ClassMismatch("the Study or Series Instance UID is missing or wrong")


def is_uid(value: str) -> bool:
    """True for 1 to 64 digits and dots (PS3.5 9.1; leading zeros, which the standard forbids, harm nobody)."""
    return 0 < len(value) <= 64 and value.isascii() and value.replace(".", "").isdecimal()


def _request(header: ObjectHeader, meta: FileMeta, written: WrittenObject, received_at: datetime) -> StoreInstance:
    return StoreInstance(
        number=written.number,
        place=Place(STORE, written.path, 0, written.length),
        digest=written.digest,
        sop_class_uid=meta.sop_class_uid,
        sop_instance_uid=meta.sop_instance_uid,
        transfer_syntax_uid=meta.transfer_syntax_uid,
        study=StudyKey(header.study_uid, header.patient_id[:64], header.patient_issuer[:64]),
        series_uid=header.series_uid,
        modality=header.modality[:16],
        accession_number=header.accession[:16],
        keys=link_keys(header, meta.peer),
        peer=meta.peer[:16],
        received_at=received_at,
    )


def link_keys(header: ObjectHeader, peer: str) -> tuple[LinkKeys, ...]:
    """What an object says of where it belongs, once for each of its request items."""
    named = (header.patient_issuer, header.patient_issuer_uid, header.patient_issuer_type)
    issuer = Issuer(*(part or None for part in named))
    return tuple(
        LinkKeys(
            patient_id=header.patient_id,
            patient_issuer=issuer,
            step_id=item.step_id,
            requested_procedure_id=item.requested_procedure_id,
            accession=item.accession or header.accession,
            study_uid=header.study_uid,
            modality=header.modality,
            station=header.station_ae_title or peer,
            when=header.when,
            patient_name=header.patient_name,
            birth_date=header.birth_date,
        )
        for item in header.requests or (RequestItem("", "", ""),)
    )
