"""One run: the servers that stand side by side, how often they are asked, and answers checked before they are timed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from broker.simulators.process import BrokerProcess
from tests.bench import lean, peers, wire
from tests.bench.datasets import Query, differences, write_worklist
from tests.bench.house import House
from tests.bench.peers import Server
from tests.bench.steps import BenchStep, steps

SLOW, FAST = "slow", "fast"


class CheckFailed(Exception):
    """A server answered otherwise than it must; nothing of it is timed."""


class Run:
    """Servers are started when a measurement first asks for them, and stay until the end of the run."""

    def __init__(self, work: Path, *, quick: bool, say: Callable[[str], None]) -> None:
        self.work = work
        self.quick = quick
        self.say = say
        self.count = 5_000 if quick else 10_000
        self.house = House(work, self.count)
        self._open = ExitStack()
        self._open.callback(self.house.close)
        self._recorded: dict[tuple[int, str], bytes] = {}

    def __enter__(self) -> Run:
        return self

    def __exit__(self, *error: object) -> None:
        self._open.close()

    @cached_property
    def steps(self) -> list[BenchStep]:
        return list(steps(self.count))

    @cached_property
    def worklist(self) -> Path:
        """A folder whose folder WL holds the steps as files."""
        folder = self.work / f"worklist-{self.count}"
        self.say(f"{self.count:,} worklist files for the peers that read files")
        write_worklist(folder / "WL", self.steps)
        return folder

    @cached_property
    def broker(self) -> Server:
        return self._started("the broker on SQLite", self.house.on_sqlite())[0]

    @cached_property
    def broker_on_postgresql(self) -> Server:
        return self._started("the broker on PostgreSQL", self.house.on_postgresql())[0]

    @cached_property
    def wlmscpfs(self) -> Server:
        return self._started("wlmscpfs", peers.wlmscpfs(self.worklist))

    @cached_property
    def orthanc(self) -> Server:
        return self._started("Orthanc", peers.orthanc(self.worklist / "WL", self.work / "orthanc"))

    @cached_property
    def pynetdicom(self) -> Server:
        return self._started("stock pynetdicom", peers.stock_worklist(self.count))

    @contextmanager
    def writing_broker(self, kind: str) -> Iterator[tuple[Server, BrokerProcess]]:
        """A broker of its own for what changes its database. kind: "sqlite" or "postgresql"."""
        with self.house.on_sqlite() if kind == "sqlite" else self.house.on_postgresql() as served:
            yield served

    def checked(self, server: Server, query: Query, expected: list[BenchStep] | None = None) -> int:
        """Ask once and look at every attribute of every answer; how many there are.

        raises  CheckFailed
        """
        wanted = [one for one in (self.steps if expected is None else expected) if query.finds(one)]
        self.recorded(server, query)
        wrong = differences(query, wanted, wire.datasets_in(self._recorded[server.port, query.name]))
        if wrong:
            more = f" and {len(wrong) - 5} more" if len(wrong) > 5 else ""
            raise CheckFailed(f"{server.name}, query {query.name}: {'; '.join(wrong[:5])}{more}")
        return len(wanted)

    def recorded(self, server: Server, query: Query) -> bytes:
        """Everything that a server sends for a query, asked once in a run."""
        key = (server.port, query.name)
        if key not in self._recorded:
            self._recorded[key] = lean.in_process(lean.record, server.port, server.called, query.encoded())
        return self._recorded[key]

    def timed(self, server: Server, query: Query, answers: int, *, quick: bool, slow: bool = False) -> list[float]:
        """Milliseconds of a query on one association; slow servers get a small fixed count."""
        most, seconds = self.counts(slow)
        return lean.in_process(lean.queries, server.port, server.called, query.encoded(), answers,
                               quick=quick, most=most, seconds=seconds)  # fmt: skip

    def counts(self, slow: bool) -> tuple[int, float]:
        """How many at most, and for how many seconds."""
        if slow:
            return (3, 600.0) if self.quick else (7, 600.0)
        return (100, 0.5) if self.quick else (1_000, 2.0)

    def _started(self, name: str, starting: Any) -> Any:
        self.say(f"starting {name}")
        return self._open.enter_context(starting)
