"""C-ECHO and N-CREATE beside stock pynetdicom, and many associations: idle, asking at once, in each other's way."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median

from tests.bench import lean, peers
from tests.bench.datasets import QUERY_5, QUERY_2500
from tests.bench.peers import Server
from tests.bench.performed import creations
from tests.bench.results import Line, milliseconds, percentile, ratio
from tests.bench.run import Run
from tests.bench.usage import cpu_share, resident_megabytes
from tests.bench.worklist import CLIENTS, whole_process

IDLE, QUICK_IDLE = 1_000, 50
CROWD = 50
LOOPS = 2


def echo(run: Run) -> Iterator[Line]:
    with peers.stock_performed() as stock:
        for manner, quick in CLIENTS:
            ours, theirs = (_echoes(run, server, quick) for server in (run.broker, stock))
            figures = f"{milliseconds('broker', ours)}, {milliseconds('pynetdicom', theirs)}"
            what = f"C-ECHOs a second, open, acknowledging {manner}: times stock pynetdicom's"
            yield Line("echo", what, ratio(theirs, ours), promise=10, detail=figures)


def _echoes(run: Run, server: Server, quick: bool) -> list[float]:
    seconds = 0.5 if run.quick else 2.0
    return lean.in_process(lean.echoes, server.port, server.called, quick=quick, most=5_000, seconds=seconds)


def create(run: Run) -> Iterator[Line]:
    """Each N-CREATE is committed before it is answered; the peer stores nothing."""
    messages = creations(run.steps[: 100 if run.quick else 1_000])
    with peers.stock_performed() as stock:
        theirs = lean.in_process(lean.sent, stock.port, stock.called, messages)
    for kind, promise in (("sqlite", 2.0), ("postgresql", None)):
        with run.writing_broker(kind) as (server, _):
            ours = lean.in_process(lean.sent, server.port, server.called, messages)
        figures = f"{milliseconds('broker', ours)}, {milliseconds('pynetdicom', theirs)}"
        what = f"N-CREATEs a second, committed on {kind}: times stock pynetdicom that stores nothing"
        yield Line("n-create", what, ratio(theirs, ours), promise=promise, detail=figures)


def idle(run: Run) -> Iterator[Line]:
    """A broker of its own, so that memory of other measurements does not count."""
    count = QUICK_IDLE if run.quick else IDLE
    with run.house.on_sqlite() as (server, _):
        alone = _echoscu(run, server)
        before = resident_megabytes(server.pid)
        holder, pipe, opened, refused = lean.start_holding(server.port, server.called, count)
        try:
            share = cpu_share(server.pid, 2.0 if run.quick else 5.0)
            grown = resident_megabytes(server.pid) - before
            beside = _echoscu(run, server)
        finally:
            pipe.send("end")
            holder.join(30)
    counts = f"{opened:,} open, {refused} refused"
    yield Line("idle-1000", f"associations refused of {count:,}", refused, "", promise=0, at_least=False, detail=counts)
    yield Line("idle-1000", f"share of a core, {count:,} idle", share, "%", promise=2, at_least=False, detail=counts)
    yield Line("idle-1000", "memory more than without", grown, "MB", promise=100, at_least=False,
               detail=f"{before:.0f} MB before")  # fmt: skip
    yield Line("idle-1000", "a fresh echoscu beside them: times that on an idle broker", ratio(beside, alone),
               promise=1.5, at_least=False,
               detail=f"{milliseconds('idle broker', alone)}, {milliseconds('beside', beside)}")  # fmt: skip


def _echoscu(run: Run, server: Server) -> list[float]:
    command = [peers.dcmtk("echoscu"), "-aet", "BENCH", "-aec", server.called, "127.0.0.1", str(server.port)]
    return whole_process(command, 5 if run.quick else 21)


def crowd(run: Run) -> Iterator[Line]:
    answers = run.checked(run.broker, QUERY_5)
    run.checked(run.orthanc, QUERY_5)
    ours, theirs = (_crowd(run, server, answers) for server in (run.broker, run.orthanc))
    figures = f"broker {ours.rate:,.0f}/s ({len(ours.times)}), Orthanc {theirs.rate:.1f}/s ({len(theirs.times)})"
    yield Line("clients-50", "queries a second of 50 clients, 5 answers: times Orthanc's", ours.rate / theirs.rate,
               promise=400, detail=figures)  # fmt: skip
    yield Line("clients-50", "clients refused or cut off", ours.refused, "", promise=0, at_least=False)
    middle, slow = median(ours.times), percentile(ours.times, 0.99)
    yield Line("clients-50", "p99 of a query: times the median", slow / middle, promise=10, at_least=False,
               detail=f"median {middle:.1f} ms, p99 {slow:.1f} ms")  # fmt: skip


def _crowd(run: Run, server: Server, answers: int) -> lean.Crowd:
    seconds = 2.0 if run.quick else 10.0
    return lean.in_process(lean.crowd, server.port, server.called, QUERY_5.encoded(), answers,
                           clients=CROWD, seconds=seconds)  # fmt: skip


def echo_beside(run: Run) -> Iterator[Line]:
    server, answers = run.broker, run.checked(run.broker, QUERY_2500)
    seconds = 3.0 if run.quick else 10.0
    loops = [
        lean.beside(lean.endless, server.port, server.called, QUERY_2500.encoded(), answers, seconds + 3.0)
        for _ in range(LOOPS)
    ]
    times = lean.in_process(lean.echoes, server.port, server.called, quick=True, most=1_000_000, seconds=seconds)
    done = sum(loop.result() for loop in loops)
    figures = f"median {median(times):.2f} ms ({len(times)}), {done} large answers meanwhile"
    yield Line("echo-beside-2500", "p99 of a C-ECHO beside two clients that fetch 2,500 answers in a loop",
               percentile(times, 0.99), "ms", promise=20, at_least=False, detail=figures)  # fmt: skip
