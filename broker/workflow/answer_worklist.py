"""Answer a worklist query: the steps that match, page by page; nothing is kept open while the peer reads."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from broker.domain.matching import START, matches, with_known_stations
from broker.domain.order import LISTED, StepState
from broker.domain.request import Value
from broker.mapping.query import WorklistQuery
from broker.mapping.row import START_TIME, STATION
from broker.mapping.rows import RowSet
from broker.mapping.splice import value_of
from broker.site.profile import Site
from broker.store.database import Database
from broker.store.worklist import StoredStep, page_of_steps

PAGE_STEPS = 100
"""Steps read at once: a large answer lets small ones pass between its pages."""


ListedStep = tuple[bytes, str | None]
"""A step of the answer: its elements, and what an open one names as its station; None: it has stations of its own."""


def answer_worklist(
    database: Database, site: Site, query: WorklistQuery, cancelled: Callable[[], bool] = lambda: False
) -> Iterator[list[ListedStep]]:
    """The steps that match a query, earliest first, each once, in pages (which may be empty).

    No connection is held between two pages: take them as slowly as the peer reads.

    cancelled  asked before each page; ends the answer when True
    raises     DatabaseUnavailable
    """
    tree = with_known_stations(query.tree, site.rules.stations)
    states = None if query.names_status else _listed(site, query.calling_ae_title)
    sent: set[int] = set()
    last: StoredStep | None = None
    while not cancelled():
        with database.read() as tx:
            page = page_of_steps(tx, tree, states, last, PAGE_STEPS)
        steps = page.steps
        if page.left_over.parts:
            steps = [step for step in steps if matches(page.left_over, _View(site.rows, step))]
        if page.full or last is not None:
            # Pages are no snapshot: a step that is moved to a later time meanwhile would come twice.
            steps = [step for step in steps if step.id not in sent]
            sent.update(step.id for step in steps)
        yield [(step.elements, query.station if step.any_station else None) for step in steps]
        if not page.full:
            return
        last = page.steps[-1]


def _listed(site: Site, calling_ae_title: str) -> frozenset[StepState]:
    """What a query that names no status sees."""
    return LISTED - {StepState.STARTED} if site.peers.hides_started(calling_ae_title) else LISTED


class _View:
    """A stored step as `domain.matching` sees it: values come from the very elements that are returned."""

    def __init__(self, rows: RowSet, step: StoredStep) -> None:
        self._rows = rows
        self._step = step

    @property
    def modality(self) -> str | None:
        return self._step.modality

    @property
    def stations(self) -> tuple[str, ...]:
        if self._step.any_station:
            return ()
        titles = self.value(STATION) or []
        return (titles,) if isinstance(titles, str) else tuple(title for title in titles if isinstance(title, str))

    def value(self, key: str) -> Value | None:
        if key == START:
            return self._step.start_at
        if key == START_TIME:
            return self._step.start_at[8:]
        return value_of(self._rows, self._step.elements, key)
