"""More steps, and the other database: the same queries must find the same steps nearly as fast."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median

from tests.bench import lean
from tests.bench.datasets import DAY, KIND, QUERY_5, QUERY_72, QUERY_2500, STATION, Query
from tests.bench.doors import CROWD
from tests.bench.peers import Server
from tests.bench.results import Line, milliseconds
from tests.bench.run import Run
from tests.bench.steps import day_of, name_of

OPEN, FINISHED = 100_000, 900_000
QUICK_OPEN, QUICK_FINISHED = 20_000, 80_000
ONE = 1_234
"""The step whose own names are asked for."""

SHAPES = (
    Query("modality-date", {KIND: "CT", DAY: day_of(9)}),
    Query("station-date", {STATION: "CTROOM03", DAY: day_of(9)}),
    Query("patient-id", {"PatientID": f"PAT{ONE:08d}"}),
    Query("accession", {"AccessionNumber": f"ACC{ONE:08d}"}),
    Query("name-prefix", {"PatientName": f"{name_of(ONE, 'CT').split('^')[0][:-1]}*"}),
)


def million(run: Run) -> Iterator[Line]:
    opened, finished = (QUICK_OPEN, QUICK_FINISHED) if run.quick else (OPEN, FINISHED)
    run.say(f"{opened + finished:,} steps, {opened:,} of them open")
    with run.house.on_a_million(opened, finished) as (large, _):
        for query in SHAPES:
            answers = run.checked(run.broker, query)
            run.checked(large, query)
            few, many = (run.timed(server, query, answers, quick=True) for server in (run.broker, large))
            figures = f"{milliseconds('few', few)}, {milliseconds('many', many)}"
            what = f"{query.name}, {answers} found among {opened + finished:,} steps: times that among {run.count:,}"
            yield Line("million", what, median(many) / median(few), promise=2, at_least=False, detail=figures)


def postgresql(run: Run) -> Iterator[Line]:
    lite, postgres = run.broker, run.broker_on_postgresql
    for query in (QUERY_5, QUERY_72, QUERY_2500):
        answers = run.checked(lite, query)
        run.checked(postgres, query)
        ours, theirs = (run.timed(server, query, answers, quick=True) for server in (lite, postgres))
        allowed = max(2 * median(ours), median(ours) + 1.0)
        figures = f"{milliseconds('SQLite', ours)}, {milliseconds('PostgreSQL', theirs)}"
        what = f"{answers:,} answers on PostgreSQL; twice SQLite's time, or 1 ms more"
        yield Line("postgresql", what, median(theirs), "ms", promise=round(allowed, 2), at_least=False, detail=figures)
    answers = run.checked(lite, QUERY_5)
    rates = [_rate(run, server, answers) for server in (lite, postgres)]
    yield Line("postgresql", "queries a second of 50 clients: times SQLite's", rates[1] / rates[0], promise=0.5,
               detail=f"SQLite {rates[0]:,.0f}/s, PostgreSQL {rates[1]:,.0f}/s")  # fmt: skip


def _rate(run: Run, server: Server, answers: int) -> float:
    crowd = lean.in_process(lean.crowd, server.port, server.called, QUERY_5.encoded(), answers,
                            clients=CROWD, seconds=2.0 if run.quick else 10.0)  # fmt: skip
    return float(crowd.rate)
