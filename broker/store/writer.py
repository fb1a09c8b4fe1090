"""The one code that commits: takes whatever waits, runs load, decide and apply for each verb, commits, then answers."""

from __future__ import annotations

import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass, field
from typing import Any, Protocol

import structlog
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from broker.errors import Busy, DatabaseUnavailable, Stopping
from broker.store.database import Database
from broker.store.dialects import Fault, fault_of
from broker.store.ids import IdsExhausted
from broker.tally import Distribution, DistributionSnapshot

log = structlog.get_logger()

MOST_REQUESTS = 1024  # waiting or in work; more are refused
MOST_BYTES = 64 * 1024 * 1024  # of requests waiting or in work
LARGEST_BATCH = 256  # requests
CONFLICT_ATTEMPTS = 3  # PostgreSQL: how often a batch is run that met another process
DRY_ATTEMPTS = 12  # how often a batch is run that found a block of numbers dry


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


@dataclass(slots=True, eq=False)
class _Item:
    """One request in hand; error or answer once it is settled."""

    verb: Verb
    request: Any
    size_bytes: int
    answer: Any = None
    error: BaseException | None = None

    def tell(self) -> None:
        """Tell who waits how it ended."""


@dataclass(slots=True, eq=False)
class _Waiting(_Item):
    """One that was handed over."""

    future: Future[Any] = field(default_factory=Future)

    def tell(self) -> None:
        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self.answer)


@dataclass(frozen=True, slots=True)
class WriterSnapshot:
    """The writer at one moment; distributions since its start. failed: requests that were not written."""

    waiting_requests: int
    waiting_bytes: int
    batch_requests: DistributionSnapshot
    batch_seconds: DistributionSnapshot
    failed: int


class Writer:
    """Takes requests from all doors and writes them in batches, in a thread of its own.

    While it rests, who asks on SQLite writes by himself: two changes of thread cost as much as ten statements. A commit
    waits for the disk alone there; a server may be slow to answer, and the caller's limit would not hold.

    Doors hand a request over with submit (or ask) and wait for its future with a limit; the future is settled after
    the commit, never before. A future can be cancelled as long as the writer has not taken its request.
    """

    name = "writer"

    def __init__(
        self,
        database: Database,
        *,
        most_requests: int = MOST_REQUESTS,
        most_bytes: int = MOST_BYTES,
        largest_batch: int = LARGEST_BATCH,
    ) -> None:
        self._database = database
        self._most_requests = most_requests
        self._most_bytes = most_bytes
        self._largest_batch = largest_batch
        lock = threading.RLock()
        self._changed = threading.Condition(lock)  # there is work, or none will come
        self._room = threading.Condition(lock)  # there is room; apart, so that nobody wakes the writer to tell it so
        self._turn = threading.Lock()  # held by the thread that writes
        self._callers_write = database.dialect == "sqlite"
        self._waiting: deque[_Waiting] = deque()
        self._requests = 0
        self._bytes = 0
        self._stopping = False
        self._thread: threading.Thread | None = None
        self._batch_requests = Distribution(1, 2, 5, 10, 20, 50, 100, 256)
        self._batch_seconds = Distribution(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
        self._failed = 0

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)
        self._thread.start()

    def stop(self, grace_seconds: float) -> None:
        """Refuse new work, finish what waits; after grace_seconds what still waits gets Stopping."""
        give_up_at = time.monotonic() + grace_seconds
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
            self._room.notify_all()
        if self._thread is None:
            self._abandon()
            return
        self._thread.join(grace_seconds)
        if self._thread.is_alive():
            self._abandon()
        if self._turn.acquire(timeout=max(0.0, give_up_at - time.monotonic())):
            self._turn.release()

    def ready(self) -> bool:
        return self._thread is not None and self._thread.is_alive() and not self._stopping

    def snapshot(self) -> WriterSnapshot:
        """For metrics."""
        sizes, durations = self._batch_requests.snapshot(), self._batch_seconds.snapshot()
        with self._changed:
            return WriterSnapshot(self._requests, self._bytes, sizes, durations, self._failed)

    def submit(self, verb: Verb, request: Any, size_bytes: int) -> Future[Any]:
        """Hand a request over; its future gives the answer after the commit, or the error.

        size_bytes  what the request holds in memory
        raises      Busy when the hand-over is full, Stopping
        """
        return self.submit_together(verb, [request], size_bytes)[0]

    def submit_together(self, verb: Verb, requests: Sequence[Any], size_bytes: int) -> list[Future[Any]]:
        """Hand several requests over that belong into one batch; as submit, for all or none of them.

        size_bytes  what they hold in memory together
        """
        share = size_bytes // max(1, len(requests))
        items = [_Waiting(verb, request, share) for request in requests]
        with self._changed:
            if self._stopping:
                raise Stopping("the broker is stopping")
            if self._full(size_bytes):
                raise Busy("too many requests wait to be written", waiting=self._requests, bytes=self._bytes)
            self._requests += len(items)
            self._bytes += share * len(items)
            self._waiting.extend(items)
            self._changed.notify_all()
        return [item.future for item in items]

    def ask(self, verb: Verb, request: Any, size_bytes: int, timeout_seconds: float) -> Any:
        """Hand a request over and wait for its answer.

        Where callers write and nothing waits it is written here and now; the limits of the database hold then.

        raises  Busy when the hand-over stays full or the answer does not come in time (a request that the writer has
                not taken is withdrawn; one that it has taken is waited for as long again), Stopping,
                DatabaseUnavailable, or what the verb raised
        """
        give_up_at = time.monotonic() + timeout_seconds
        if written := self._write_here(verb, request, size_bytes):
            if written.error is not None:
                raise written.error
            return written.answer
        while True:
            try:
                future = self.submit(verb, request, size_bytes)
                break
            except Busy:
                if not self.wait_for_room(give_up_at - time.monotonic(), size_bytes):
                    raise
        try:
            return future.result(max(0.0, give_up_at - time.monotonic()))
        except FutureTimeout:
            if not future.done() and future.cancel():
                raise Busy("the request waited too long and was withdrawn", verb=verb.name) from None
        try:
            return future.result(timeout_seconds)
        except FutureTimeout:
            raise Busy("the answer did not come in time; the request may have been written", verb=verb.name) from None

    def wait_for_room(self, timeout_seconds: float, size_bytes: int = 0) -> bool:
        """Wait until submit would take a request of this size; False when the time is over."""
        with self._room:
            return self._room.wait_for(lambda: self._stopping or not self._full(size_bytes), max(0.0, timeout_seconds))

    def _full(self, size_bytes: int) -> bool:
        # A request larger than the bound is taken when it is alone: it could never be taken otherwise.
        return self._requests > 0 and (
            self._requests >= self._most_requests or self._bytes + size_bytes > self._most_bytes
        )

    def _run(self) -> None:
        while self._is_wanted():
            with self._turn:
                if batch := self._take():
                    self._settle(batch)

    def _is_wanted(self) -> bool:
        """Wait for requests; False when the writer is to end."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._stopping)
            return bool(self._waiting)

    def _take(self) -> list[_Waiting]:
        """What waits and was not withdrawn, as far as one batch goes."""
        with self._changed:
            items = [self._waiting.popleft() for _ in range(min(len(self._waiting), self._largest_batch))]
            batch = [item for item in items if item.future.set_running_or_notify_cancel()]
            self._leave([item for item in items if item.future.cancelled()])
            return batch

    def _write_here(self, verb: Verb, request: Any, size_bytes: int) -> _Item | None:
        """Write a request in the caller's thread; None when it has to be handed over."""
        if not self._callers_write or not self._turn.acquire(blocking=False):
            return None
        try:
            item = _Item(verb, request, size_bytes)
            with self._changed:
                if self._waiting or not self.ready():
                    return None
                self._requests += 1
                self._bytes += size_bytes
            self._settle([item])
            return item
        finally:
            self._turn.release()

    def _settle(self, batch: Sequence[_Item]) -> None:
        """Write a batch and tell everybody how it ended; whoever holds the turn does."""
        began = time.monotonic()
        try:
            self._work(batch)
        except BaseException as error:  # noqa: BLE001 - the writer outlives everything that one batch can do to it
            log.error("writer.batch_failed", requests=len(batch), error=type(error).__name__, at=_place(error))
            for item in batch:
                item.error = item.error or error
        self._batch_requests.add(len(batch))
        self._batch_seconds.add(time.monotonic() - began)
        self._release(batch)

    def _release(self, batch: Sequence[_Item]) -> None:
        with self._changed:
            self._leave(batch)
            self._failed += sum(1 for item in batch if item.error is not None)
        for item in batch:
            item.tell()

    def _leave(self, items: Sequence[_Item]) -> None:
        if items:
            self._requests -= len(items)
            self._bytes -= sum(item.size_bytes for item in items)
            self._room.notify_all()

    def _abandon(self) -> None:
        with self._changed:
            items = list(self._waiting)
            self._waiting.clear()
            self._leave(items)
        for item in items:
            if item.future.set_running_or_notify_cancel():
                item.future.set_exception(Stopping("the broker is stopping"))

    def _work(self, batch: Sequence[_Item]) -> None:
        """Write a batch; when it fails, one by one, so that a bad request costs its neighbours nothing."""
        try:
            self._write(batch)
            return
        except DatabaseUnavailable as error:
            _fail(batch, error)
            return
        except Exception as error:
            log.warning("writer.batch_undone", requests=len(batch), error=type(error).__name__, at=_place(error))
            if len(batch) == 1:
                _fail(batch, error)
                return
        for position, item in enumerate(batch):
            try:
                self._write([item])
            except DatabaseUnavailable as error:
                _fail(batch[position:], error)
                return
            except Exception as error:
                log.error("writer.request_failed", verb=item.verb.name, error=type(error).__name__, at=_place(error))
                _fail([item], error)

    def _write(self, batch: Sequence[_Item]) -> None:
        """Run the batch in one transaction, again where numbers ran dry or another process was quicker."""
        conflicts = dry = 0
        while True:
            self._database.ids.top_up()
            try:
                with self._database.write() as tx:
                    self._database.lock_keys(tx, (key for item in batch for key in item.verb.keys(item.request)))
                    for group in _by_verb(batch):
                        _run_group(tx, group)
                return
            except IdsExhausted:
                dry += 1
                if dry == DRY_ATTEMPTS:
                    raise
            except SQLAlchemyError as error:
                conflicts += 1
                if fault_of(error)[0] is not Fault.CONFLICT or conflicts == CONFLICT_ATTEMPTS:
                    raise


def _by_verb(batch: Sequence[_Item]) -> list[list[_Item]]:
    groups: dict[str, list[_Item]] = {}
    for item in batch:
        groups.setdefault(item.verb.name, []).append(item)
    return list(groups.values())


def _run_group(tx: Connection, group: Sequence[_Item]) -> None:
    verb = group[0].verb
    state = verb.load(tx, [item.request for item in group])
    decisions = []
    for item in group:
        draft = state.draft()
        try:
            decision = verb.decide(draft, item.request)
        except IdsExhausted:
            raise
        except Exception as error:
            log.error("writer.decision_failed", verb=verb.name, error=type(error).__name__, at=_place(error))
            item.error = error
            continue
        item.error = None
        item.answer = decision.answer
        state.fold(draft)
        decisions.append(decision)
    if decisions:
        verb.apply(tx, decisions)


def _fail(items: Sequence[_Item], error: BaseException) -> None:
    for item in items:
        item.error = error


def _place(error: BaseException) -> str:
    """Where an error was raised; its text may hold values of a patient and is never logged."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{frames[-1].filename.rpartition('/')[2]}:{frames[-1].lineno}" if frames else ""
