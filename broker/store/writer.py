"""The one code that commits: takes whatever waits, runs load, decide and apply for each verb, commits, then answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from sqlalchemy import Connection


class State(Protocol):
    """What `load` read, for all requests of one verb in a batch."""

    def draft(self) -> Any:
        """A layer over the state that one request's decision may change."""

    def fold(self, draft: Any) -> None:
        """Take a draft's changes in, so that the next request of the batch sees them."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What `decide` found: what to write, and what the door is told.

    changes  handed to `apply`; of the verb's own type
    answer   given to the door after the commit
    """

    changes: Any
    answer: Any


@dataclass(frozen=True, slots=True)
class Verb:
    """One thing that can be done to the store, as three functions (and the keys that name what it touches).

    keys    request -> names of what the request touches ("order:PO1", "patient:P1"); on PostgreSQL they are locked
    load    (tx, requests) -> State: reads only, five statements at most
    decide  (draft, request) -> Decision: pure
    apply   (tx, decisions): bulk writes
    """

    name: str
    keys: Callable[[Any], Sequence[str]]
    load: Callable[[Connection, Sequence[Any]], State]
    decide: Callable[[Any, Any], Decision]
    apply: Callable[[Connection, Sequence[Decision]], None]
