"""MPPS as SCP: N-CREATE and N-SET (PS3.4 F.7.2). Translates, delegates, translates back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import structlog
from pydicom.uid import generate_uid

from broker.clock import Clock
from broker.dataset.attributes import read_attributes
from broker.dicom.contract import Command, Reply, Request
from broker.dicom.performed_attributes import (
    faults_of_create,
    faults_of_set,
    left_out,
    not_settable,
    read_create,
    read_set,
)
from broker.dicom.status import Status
from broker.domain.performed import Faults, PerformedAnswer, PerformedCreate, PerformedMessage, PerformedSet, Verdict
from broker.store.writer import Verb, Writer
from broker.workflow.take_instance import is_uid

log = structlog.get_logger()

MOST_BYTES = 8 * 1024 * 1024
"""Longest dataset of an N-CREATE or N-SET that we take; a large examination has some hundred kilobytes."""

NO_LONGER_UPDATED = 0xA710
"""Error ID (PS3.4 F.7.2.2.2): the performed step is final."""

STATUS_OF: Mapping[Verdict, Status] = {
    Verdict.RECORDED: Status.SUCCESS,
    Verdict.DUPLICATE: Status.DUPLICATE_SOP_INSTANCE,
    Verdict.UNKNOWN: Status.NO_SUCH_SOP_INSTANCE,
    Verdict.FINAL: Status.PROCESSING_FAILURE,
    Verdict.INVALID_VALUE: Status.INVALID_ATTRIBUTE_VALUE,
    Verdict.MISSING_ATTRIBUTE: Status.MISSING_ATTRIBUTE,
    Verdict.MISSING_VALUE: Status.MISSING_ATTRIBUTE_VALUE,
}


@dataclass(frozen=True, slots=True)
class PerformedService:
    """The service of the MPPS SOP class. verb: record_performed; wait_seconds: longest wait for the writer."""

    writer: Writer
    verb: Verb
    clock: Clock
    wait_seconds: float

    def __call__(self, request: Request) -> Iterator[Reply]:
        """One final reply. raises BrokerError: the door's table says which status each is."""
        if request.command is Command.N_CREATE and not request.sop_instance_uid:
            # The SCU may leave the UID to us (PS3.7 10.1.5.1.1).
            request = replace(request, sop_instance_uid=str(generate_uid(prefix=None)))
        if not is_uid(request.sop_instance_uid):
            yield Reply(Status.INVALID_SOP_INSTANCE, comment="the SOP Instance UID is missing or wrong")
            return
        content = request.dataset.read(MOST_BYTES + 1) if request.dataset else b""
        if len(content) > MOST_BYTES:
            yield Reply(Status.RESOURCE_LIMITATION, comment="the dataset is too large")
            return
        record = self._create if request.command is Command.N_CREATE else self._set
        verdict, faults = record(request, content)
        try:
            yield _reply(verdict, request, faults)
        finally:
            # When the answer has left: a modality does not wait for our log.
            _tell(verdict, request, faults)

    def _create(self, request: Request, content: bytes) -> tuple[Verdict, Faults]:
        dataset = read_attributes(content, request.context.transfer_syntax)
        faults = faults_of_create(dataset)
        if faults.verdict:
            return faults.verdict, faults
        return self._record(read_create(dataset, self._message(request, content))), faults

    def _set(self, request: Request, content: bytes) -> tuple[Verdict, Faults]:
        dataset = read_attributes(content, request.context.transfer_syntax)
        faults = faults_of_set(dataset)
        if faults.verdict:
            return faults.verdict, faults
        if absent := left_out(dataset):
            log.info("performed.incomplete", sop_instance_uid=request.sop_instance_uid, absent=absent)
        if fixed := not_settable(dataset):
            log.info("performed.not_settable", sop_instance_uid=request.sop_instance_uid, ignored=fixed)
        return self._record(read_set(dataset, self._message(request, content))), faults

    def _message(self, request: Request, content: bytes) -> PerformedMessage:
        return PerformedMessage(
            sop_instance_uid=request.sop_instance_uid,
            dataset=content,
            transfer_syntax_uid=request.context.transfer_syntax,
            peer=request.peer.calling_ae_title[:16],
            received_at=self.clock.now(),
        )

    def _record(self, wanted: PerformedCreate | PerformedSet) -> Verdict:
        size_bytes = len(wanted.message.dataset) + 4096
        answer: PerformedAnswer = self.writer.ask(self.verb, wanted, size_bytes, self.wait_seconds)
        return answer.verdict


def _reply(verdict: Verdict, request: Request, faults: Faults) -> Reply:
    return Reply(
        STATUS_OF[verdict],
        comment="" if verdict is Verdict.RECORDED else verdict.value,
        error_id=NO_LONGER_UPDATED if verdict is Verdict.FINAL else None,
        offending=faults.tags,
        sop_instance_uid=request.sop_instance_uid,
    )


def _tell(verdict: Verdict, request: Request, faults: Faults) -> None:
    log.info("performed.answered", command=request.command.name, verdict=verdict.name.lower(),
             sop_instance_uid=request.sop_instance_uid, calling_ae_title=request.peer.calling_ae_title,
             tags=[f"{tag:08X}" for tag in faults.tags])  # fmt: skip
