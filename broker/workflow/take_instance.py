"""Take an object from a peer: file first, then row, then success.

A file is removed only when its request cannot have been written, or when a row names another file with the same bytes
that is on disk. Where that is unknown (a commit that did not answer), the request is handed over once more as soon as
the store answers: an object that has a row by then keeps it. What is still unknown when the broker ends is taken in by
the next start (`recover_objects`).
"""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, wait
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import BinaryIO

import structlog

from broker.archive.files import NumberTaken, ObjectFiles, WrittenObject
from broker.archive.header import ObjectHeader, RequestItem, read_header
from broker.archive.part10 import FileMeta
from broker.clock import Clock
from broker.domain.linking import LinkKeys
from broker.domain.request import Issuer
from broker.errors import BrokerError, Busy, DatabaseUnavailable, Stopping, StorageFull, UnreadableDataset
from broker.store.database import Database
from broker.store.studies import Place, StudyKey
from broker.store.writer import Verb, Writer
from broker.workflow.store_instance import StoreAnswer, StoreInstance

log = structlog.get_logger()

ASK_SECONDS = 1.0
"""Longest wait for the store when it is asked about files that nobody knows of."""

MOST_DOUBTFUL = 100
"""With so many such files, nothing more is taken until the store has answered."""

MOST_TAKEN = 10_000
"""Numbers tried when files have them already, as they may after another database has come."""

MOST_PLACES = 5
"""Attempts to give a row another file, each of which somebody else's may forestall."""

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
            if len(self.doubtful) >= MOST_DOUBTFUL:
                raise DatabaseUnavailable("too many objects wait for the database", waiting=len(self.doubtful))
        received_at = self.clock.now()
        written = self._write(received_at, meta, dataset)
        request, future = self._hand_over(meta, written, received_at)
        answer = self._dropped(request, self._wait(future, request))
        if self.doubtful:
            self._settle_doubtful()
        log.info(
            "storage.taken",
            kept=answer.kept.value,
            study_uid=request.study.study_uid,
            instance_id=written.number,
            peer=meta.peer,
            bytes=written.length,
            linked=answer.link.how.value if answer.link else None,
        )
        return answer

    def _write(self, received_at: datetime, meta: FileMeta, dataset: BinaryIO) -> WrittenObject:
        for _ in range(MOST_TAKEN):
            number = self.database.ids.take("instances")
            try:
                return self.files.write(number, received_at.date(), meta, dataset)
            except NumberTaken:
                log.warning("storage.number_taken", number=number)
        raise StorageFull("no number is free for the object", tried=MOST_TAKEN)

    def _hand_over(
        self, meta: FileMeta, written: WrittenObject, received_at: datetime
    ) -> tuple[StoreInstance, Future[StoreAnswer]]:
        """Its file is removed when the writer has not taken it."""
        try:
            header = read_header(self.files.full_path(written.path), written.dataset_offset, meta.transfer_syntax_uid)
            check_header(header, meta)
            request = request_of(header, meta, written, self.files.store, received_at)
        except BaseException:
            self.files.remove(written.path)
            raise
        try:
            return request, self._submit(request)
        except (Busy, Stopping):
            self.files.remove(written.path)
            raise

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
        else:
            future.add_done_callback(lambda settled: self._noted(settled, request))

    def _noted(self, settled: Future[StoreAnswer], request: StoreInstance) -> None:
        """A request has ended, and its peer no longer waits."""
        if settled.cancelled():
            self.doubtful.append(request)
        elif (error := settled.exception()) is not None:
            self._undo(error, request)
        elif self._is_spare(request, settled.result()):
            self.files.remove(request.place.path)
        elif not settled.result().uses_file:
            self.doubtful.append(replace(request, instead_of=settled.result().held))

    def _undo(self, error: BaseException, request: StoreInstance) -> None:
        """The file of a request that was rolled back is removed; where that is unknown, it waits."""
        if isinstance(error, DatabaseUnavailable):
            self.doubtful.append(request)
        else:
            self.files.remove(request.place.path)

    def _dropped(self, request: StoreInstance, answer: StoreAnswer) -> StoreAnswer:
        """Remove the file of a repeat; where the file of the row is gone or damaged, this one takes its place.

        Success is answered for the bytes, not for the row: after it the sender may forget them.
        """
        for _ in range(MOST_PLACES):
            if answer.uses_file:
                return answer
            if self._is_spare(request, answer):
                self.files.remove(request.place.path)
                return answer
            log.warning("storage.file_replaced", instance_id=request.number)
            request = replace(request, instead_of=answer.held)
            answer = self._wait(self._submit(request), request)
        raise Busy("the file of the stored object changes too often")

    def _is_spare(self, request: StoreInstance, answer: StoreAnswer) -> bool:
        """Whether the same bytes are on disk in another file that has a row. They are compared: its length alone says
        nothing of a file that was damaged since."""
        held = answer.held
        if held is None:
            return False
        return not self.files.is_here(held.store) or self.files.same_dataset(request.place.path, held.path)

    def _settle_doubtful(self) -> None:
        """Hand over requests once more whose commit is unknown; the verb recognises a row of its own."""
        handed: dict[Future[StoreAnswer], StoreInstance] = {}
        for request in self._taken_doubtful():
            try:
                handed[self.writer.submit(self.verb, request, REQUEST_BYTES)] = request
            except BrokerError:  # no room now, or the end: a later object tries again, or the next start
                self.doubtful.append(request)
        wait(handed, ASK_SECONDS)
        for future, request in handed.items():
            future.add_done_callback(partial(self._noted, request=request))

    def _taken_doubtful(self) -> list[StoreInstance]:
        taken: list[StoreInstance] = []
        with suppress(IndexError):  # other threads take from it, too
            while True:
                taken.append(self.doubtful.popleft())
        return taken


def check_header(header: ObjectHeader, meta: FileMeta) -> None:
    """The dataset has to be what was announced (PS3.4 B.2.3: A900H), with UIDs that are UIDs.

    raises  UnreadableDataset, ClassMismatch
    """
    if not header.sop_class_uid or not header.sop_instance_uid:
        raise UnreadableDataset("the dataset names no SOP class or instance")
    if (header.sop_class_uid, header.sop_instance_uid) != (meta.sop_class_uid, meta.sop_instance_uid):
        raise ClassMismatch("the dataset is not the announced instance")
    if not is_uid(header.study_uid) or not is_uid(header.series_uid):
        raise ClassMismatch("the Study or Series Instance UID is missing or wrong")


def is_uid(value: str) -> bool:
    """True for 1 to 64 digits and dots (PS3.5 9.1; leading zeros, which the standard forbids, harm nobody)."""
    return 0 < len(value) <= 64 and value.isascii() and value.replace(".", "").isdecimal()


def request_of(
    header: ObjectHeader, meta: FileMeta, written: WrittenObject, store: str, received_at: datetime
) -> StoreInstance:
    """The request to store a file that is whole. store: that holds it"""
    return StoreInstance(
        number=written.number,
        place=Place(store, written.path, 0, written.length),
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
