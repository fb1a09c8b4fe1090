"""Worklist queries in an open association, and whole processes of an unmodified client."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator

from tests.bench import peers
from tests.bench.datasets import QUERY_5, QUERY_72, QUERY_2500, QUERY_MEMBERS, Query, write_worklist
from tests.bench.peers import Server
from tests.bench.results import Line, milliseconds, ratio
from tests.bench.run import Run
from tests.bench.steps import steps

CLIENTS = (("late", False), ("at once", True))
"""How the client acknowledges: late, as unmodified ones do, or at once."""


def open_5(run: Run) -> Iterator[Line]:
    yield from _open(run, "open-5", QUERY_5, 300, None, 20, None)


def open_72(run: Run) -> Iterator[Line]:
    yield from _open(run, "open-72", QUERY_72, 300, None, 20, 80)


def open_2500(run: Run) -> Iterator[Line]:
    yield from _open(run, "open-2500", QUERY_2500, 20, 40, None, None)


def open_members(run: Run) -> Iterator[Line]:
    yield from _open(run, "open-2500-members", QUERY_MEMBERS, 15, 25, None, None)


def _open(
    run: Run, name: str, query: Query, promise: float, goal: float | None, bare: float | None, bare_goal: float | None
) -> Iterator[Line]:
    """bare: what is promised beside stock pynetdicom; None: it is only printed."""
    servers = [(run.wlmscpfs, promise, goal), (run.orthanc, promise, goal), (run.pynetdicom, bare, bare_goal)]
    answers = run.checked(run.broker, query)
    for server, _, _ in servers:
        run.checked(server, query)
    with peers.ready_made([run.recorded(run.broker, query)]) as loop:
        for manner, quick in CLIENTS:
            ours = run.timed(run.broker, query, answers, quick=quick)
            for server, least, hoped in servers:
                theirs = run.timed(server, query, answers, quick=quick, slow=True)
                figures = f"{milliseconds('broker', ours)}, {milliseconds(server.name, theirs)}"
                what = f"{answers:,} answers, open, acknowledging {manner}: faster than {server.name}"
                yield Line(name, what, ratio(theirs, ours), promise=least, goal=hoped, detail=figures)
            floor = run.timed(loop, query, answers, quick=quick)
            figures = f"{milliseconds('broker', ours)}, {milliseconds('floor of the client', floor)}"
            what = f"{answers:,} answers, open, acknowledging {manner}: times a bare loop of the same bytes"
            yield Line(name, what, ratio(ours, floor), goal=5, at_least=False, detail=figures)


def findscu_2500(run: Run) -> Iterator[Line]:
    """Whole processes that print nothing, and, without a promise, that print."""
    servers = (run.broker, run.wlmscpfs, run.orthanc)
    for server in servers:
        run.checked(server, QUERY_2500)
    for flag, promise in (("-q", 5.0), ("", None)):
        times = {server.name: _findscu(run, server, QUERY_2500, flag) for server in servers}
        ours = times.pop("mwl-broker")
        for name, theirs in times.items():
            figures = f"{milliseconds('broker', ours)}, {milliseconds(name, theirs)}"
            what = f"findscu {flag}".strip() + f", 2,500 answers, whole process: faster than {name}"
            yield Line("findscu-2500", what, ratio(theirs, ours), promise=promise, detail=figures)


def findscu_5(run: Run) -> Iterator[Line]:
    """Beside wlmscpfs with 10 files, as shipped and with TCP_NODELAY=1: it measures Nagle's algorithm, not work."""
    ten = [one for one in run.steps if QUERY_5.finds(one)] + list(steps(5))
    folder = run.work / "worklist-10"
    write_worklist(folder / "WL", ten)
    run.checked(run.broker, QUERY_5)
    ours = _findscu(run, run.broker, QUERY_5, "")
    for nodelay, promise in ((False, 3.0), (True, None)):
        with peers.wlmscpfs(folder, nodelay=nodelay) as server:
            run.checked(server, QUERY_5, ten)
            theirs = _findscu(run, server, QUERY_5, "")
        manner = "with TCP_NODELAY=1" if nodelay else "as shipped"
        figures = f"{milliseconds('broker', ours)}, {milliseconds(server.name, theirs)}"
        what = f"findscu, 5 answers, whole process: faster than wlmscpfs with 10 files, {manner}"
        yield Line("findscu-5", what, ratio(theirs, ours), promise=promise, detail=figures)


def _findscu(run: Run, server: Server, query: Query, flag: str) -> list[float]:
    program = [peers.dcmtk("findscu"), *([flag] if flag else []), "-W", "-aet", "BENCH", "-aec", server.called]
    return whole_process([*program, "127.0.0.1", str(server.port), str(query.file(run.work))], 3 if run.quick else 11)


def whole_process(command: list[str], count: int) -> list[float]:
    """Milliseconds of a program from start to end, after one run that is not counted; its output goes nowhere."""
    return [_once(command) for _ in range(count + 1)][1:]


def _once(command: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                   check=True, timeout=120)  # fmt: skip
    return (time.perf_counter() - began) * 1000
