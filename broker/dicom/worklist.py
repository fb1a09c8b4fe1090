"""The worklist service (PS3.4 K.4): C-FIND in, one pending answer for each step, then one final status."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import structlog

from broker.dicom.contract import Reply, Request
from broker.dicom.status import Status
from broker.errors import UnreadableDataset
from broker.mapping.query import read_query
from broker.mapping.splice import Plan
from broker.site.profile import Site
from broker.store.database import Database
from broker.workflow.answer_worklist import ListedStep, answer_worklist

IDENTIFIER_BYTES = 1_048_576
"""Longest identifier: keys of a worklist fit into a hundredth of it."""

log = structlog.get_logger()


COMPUTED_AT_ONCE = 2
"""Pages computed at once: in one interpreter more only get into each other's way, and starve the other doors."""


@dataclass(frozen=True, slots=True)
class WorklistService:
    """The service of the worklist SOP class: answers from this database by this site's profile.

    computing  held while a page is found and encoded, never while the peer is written to
    """

    database: Database
    site: Site
    computing: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(COMPUTED_AT_ONCE))

    def __call__(self, request: Request) -> Iterator[Reply]:
        """Pending answers and a final one. raises BrokerError: the door's table says which status each is."""
        began = time.monotonic()
        calling = request.peer.calling_ae_title
        answers = 0
        for status, page in self._pages(request, calling):
            if page and not request.cancelled():
                answers += len(page)
                yield Reply(status, datasets=page)
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

    def _pages(self, request: Request, calling: str) -> Iterator[tuple[int, list[bytes]]]:
        """The pending status, and the encoded answers of one page after the other."""
        identifier = _identifier(request)
        with self.computing:
            query = read_query(
                self.site.rows,
                identifier,
                request.context.transfer_syntax,
                calling,
                absent_type_3=self.site.peers.absent_type_3(calling),
            )
            pages = answer_worklist(self.database, self.site, query, request.cancelled)
            encoded = self._next(query.plan, pages)
        while encoded is not None:
            yield query.plan.pending_status, encoded
            with self.computing:
                encoded = self._next(query.plan, pages)

    def _next(self, plan: Plan, pages: Iterator[list[ListedStep]]) -> list[bytes] | None:
        page = next(pages, None)
        return None if page is None else [plan.dataset(elements, station) for elements, station in page]


def _identifier(request: Request) -> bytes:
    """The encoded identifier; a C-FIND without one is no query (PS3.7 9.1.2.1)."""
    if request.dataset is None:
        raise UnreadableDataset("the identifier is missing")
    identifier = request.dataset.read(IDENTIFIER_BYTES + 1)
    if len(identifier) > IDENTIFIER_BYTES:
        raise UnreadableDataset("the identifier is too long", limit_bytes=IDENTIFIER_BYTES)
    return identifier
