"""The worklist service (PS3.4 K.4): C-FIND in, one pending answer for each step, then one final status."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import structlog

from broker.dicom.contract import Reply, Request
from broker.dicom.status import Status
from broker.errors import UnreadableDataset
from broker.mapping.query import read_query
from broker.site.profile import Site
from broker.store.database import Database
from broker.workflow.answer_worklist import answer_worklist

IDENTIFIER_BYTES = 1_048_576
"""Longest identifier: keys of a worklist fit into a hundredth of it."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class WorklistService:
    """The service of the worklist SOP class: answers from this database by this site's profile."""

    database: Database
    site: Site

    def __call__(self, request: Request) -> Iterator[Reply]:
        """Pending answers and a final one. raises BrokerError: the door's table says which status each is."""
        began = time.monotonic()
        calling = request.peer.calling_ae_title
        query = read_query(
            self.site.rows,
            _identifier(request),
            request.context.transfer_syntax,
            calling,
            absent_type_3=self.site.peers.absent_type_3(calling),
        )
        answers = 0
        for step in answer_worklist(self.database, self.site, query, request.cancelled):
            if request.cancelled():
                break
            answers += 1
            yield Reply(query.plan.pending_status, query.plan.dataset(step.elements, step.station))
        cancelled = request.cancelled()
        log.info(
            "dicom.worklist",
            calling_ae_title=calling,
            peer=request.peer.address,
            answers=answers,
            cancelled=cancelled,
            milliseconds=round((time.monotonic() - began) * 1000),
        )
        yield Reply(Status.CANCELLED if cancelled else Status.SUCCESS)


def _identifier(request: Request) -> bytes:
    """The encoded identifier; a C-FIND without one is no query (PS3.7 9.1.2.1)."""
    if request.dataset is None:
        raise UnreadableDataset("the identifier is missing")
    identifier = request.dataset.read(IDENTIFIER_BYTES + 1)
    if len(identifier) > IDENTIFIER_BYTES:
        raise UnreadableDataset("the identifier is too long", limit_bytes=IDENTIFIER_BYTES)
    return identifier
