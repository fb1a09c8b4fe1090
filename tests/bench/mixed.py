"""Orders, queries and images at once, at a fixed load; and an import of worklist files beside orders and queries."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from statistics import median

from broker.simulators.process import BrokerProcess
from tests.bench import lean, offered
from tests.bench.datasets import DAY, KIND, QUERY_5, Query, write_worklist
from tests.bench.lean import Aside
from tests.bench.offered import Door, Timetable
from tests.bench.peers import Server
from tests.bench.results import Line, percentile
from tests.bench.run import Run
from tests.bench.steps import step

SECONDS, QUICK_SECONDS = 60.0, 6.0
IMPORT_SECONDS = 90.0
FIRST = 10_000_000
"""Numbers of orders and objects begin here; each use takes a range of its own."""

Starter = Callable[[int], Aside]


def mixed(run: Run) -> Iterator[Line]:
    seconds = QUICK_SECONDS if run.quick else SECONDS
    with run.writing_broker("sqlite") as (server, process):
        answers = run.checked(server, QUERY_5)
        doors = _doors(server, process, seconds, answers)
        alone = {name: start(number).result() for number, (name, start) in enumerate(doors.items())}
        run.say("all doors together")
        started = {name: start(10 + number) for number, (name, start) in enumerate(doors.items())}
        together = {name: aside.result() for name, aside in started.items()}
    errors = [
        f"{name}: {text}" for doors_ in (alone, together) for name, door in doors_.items() for text in door.errors
    ]
    yield Line("mixed", "errors", len(errors), "", promise=0, at_least=False, detail="; ".join(errors[:3]))
    for name in doors:
        yield from _compared(name, alone[name], together[name])


def _doors(server: Server, process: BrokerProcess, seconds: float, answers: int) -> Mapping[str, Starter]:
    """Each door's clients, to be started with the number of the use."""
    ordering = Timetable(clients=4, rate=5.0, seconds=seconds)
    asking = Timetable(clients=50, rate=1.0, seconds=seconds)
    storing = Timetable(clients=4, rate=5.0, seconds=seconds)
    hl7, dicom, called = process.ports["hl7"], server.port, server.called
    return {
        "orders": lambda use: lean.beside(offered.orders, hl7, ordering, FIRST * (use + 1)),
        "queries": lambda use: lean.beside(offered.queries, dicom, called, asking, QUERY_5.encoded(), answers),
        "images": lambda use: lean.beside(offered.objects, dicom, called, storing, FIRST * (use + 1)),
    }


def _compared(name: str, alone: Door, together: Door) -> Iterator[Line]:
    if not alone.times or not together.times:
        return
    for what, share, promise in (("median", 0.5, 2.0), ("p99", 0.99, 10.0)):
        before, after = percentile(alone.times, share), percentile(together.times, share)
        figures = f"alone {before:.2f} ms ({len(alone.times)}), together {after:.2f} ms ({len(together.times)})"
        yield Line("mixed", f"{name}, {what}, all doors together: times alone", after / before,
                   promise=promise, at_least=False, detail=figures)  # fmt: skip


def imported(run: Run) -> Iterator[Line]:
    """Files of other steps than the broker holds, so that each makes one."""
    others = [step(run.count + number) for number in range(run.count)]
    folder = run.work / f"import-{run.count}"
    with run.writing_broker("sqlite") as (server, process):
        if process.command("worklist", "import", "--help").returncode != 0:
            raise RuntimeError("the broker has no command worklist import")
        run.say(f"{run.count:,} files to import")
        write_worklist(folder, others)
        answers = run.checked(server, QUERY_5)
        ended = run.work / f"ended-{server.pid}"
        beside = _beside(server, process, answers, Timetable(4, 5.0, 600.0, ended), Timetable(50, 1.0, 600.0, ended))
        try:
            began = time.monotonic()
            result = process.command("worklist", "import", str(folder), timeout_seconds=600.0)
            took = time.monotonic() - began
        finally:
            ended.touch()
            doors: dict[str, Door] = {name: aside.result() for name, aside in beside.items()}
        if result.returncode != 0:
            raise RuntimeError(f"the import ended with {result.returncode}: {result.stderr[-300:]}")
        first = others[0]
        run.checked(server, Query("imported", {KIND: first.modality, DAY: first.start_at[:8]}), [*run.steps, *others])
    yield Line("import", f"{run.count:,} files, beside a serving broker", took, "s",
               promise=IMPORT_SECONDS * run.count / 10_000, at_least=False)  # fmt: skip
    for name, door in doors.items():
        yield Line("import", f"{name} meanwhile, p99", percentile(door.times, 0.99), "ms", promise=500, at_least=False,
                   detail=f"median {median(door.times):.1f} ms ({len(door.times)}), {len(door.errors)} errors"
                   )  # fmt: skip


def _beside(
    server: Server, process: BrokerProcess, answers: int, ordering: Timetable, asking: Timetable
) -> dict[str, Aside]:
    return {
        "orders": lean.beside(offered.orders, process.ports["hl7"], ordering, FIRST),
        "queries": lean.beside(offered.queries, server.port, server.called, asking, QUERY_5.encoded(), answers),
    }
