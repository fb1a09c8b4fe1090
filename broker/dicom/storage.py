"""Storage as SCP: C-STORE of every storage class (PS3.4 B.2). Translates, delegates, translates back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO

from broker.archive.part10 import FileMeta
from broker.dicom.contract import Reply, Request
from broker.dicom.status import Status
from broker.workflow.take_instance import ClassMismatch, Intake, is_uid


@dataclass(frozen=True, slots=True)
class StorageService:
    """The service of all storage SOP classes."""

    intake: Intake

    def __call__(self, request: Request) -> Iterator[Reply]:
        """One final reply: success once the object is safe. raises BrokerError: the door's table says which status."""
        if not is_uid(request.sop_instance_uid):
            # Such a UID never becomes part of a path, and is not worth a row.
            yield Reply(Status.INVALID_SOP_INSTANCE, comment="the SOP Instance UID is missing or wrong")
            return
        if request.sop_class_uid != request.context.abstract_syntax:
            yield Reply(Status.DATASET_DOES_NOT_MATCH, comment="the SOP class is not the presentation context's")
            return
        meta = FileMeta(
            request.sop_class_uid,
            request.sop_instance_uid,
            request.context.transfer_syntax,
            request.peer.calling_ae_title,
        )
        try:
            self.intake.take(meta, request.dataset or BytesIO())
        except ClassMismatch as error:
            yield Reply(Status.DATASET_DOES_NOT_MATCH, comment=error.text, sop_instance_uid=request.sop_instance_uid)
            return
        yield Reply(Status.SUCCESS, sop_instance_uid=request.sop_instance_uid)
