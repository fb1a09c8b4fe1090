"""GET /metrics in the text form of Prometheus: read from snapshots when it is asked for.

Label values are words of our own code, AE titles and addresses of the peers that were seen last; never patient data.
Control and direction characters of AE titles are shown as escapes, and so a backslash is doubled.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import structlog
from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

import broker
from broker.errors import DatabaseUnavailable
from broker.tally import DistributionSnapshot
from broker.visible import distinct
from broker.web.asking import Question

MOST_PEERS = 200
"""Peers that are told, the last seen first: each is a time series in the database that reads us."""
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
NAME = "mwl_broker"

log = structlog.get_logger()


class PeerSeen(Protocol):
    """A calling AE title at an address. last_seen: seconds since the epoch."""

    @property
    def calling_ae_title(self) -> str: ...

    @property
    def host(self) -> str: ...

    @property
    def open(self) -> int: ...

    @property
    def last_seen(self) -> float: ...


class DicomDoor(Protocol):
    """A DICOM listener at one moment: associations open and by how they went, A-ASSOCIATE-RJ and PDUs refused, why.

    requests  by "command status"
    """

    @property
    def open(self) -> int: ...

    @property
    def waiting(self) -> int: ...

    @property
    def peers(self) -> Sequence[PeerSeen]: ...

    @property
    def associations(self) -> Mapping[str, int]: ...

    @property
    def rejected(self) -> Mapping[str, int]: ...

    @property
    def refused(self) -> Mapping[str, int]: ...

    @property
    def requests(self) -> Mapping[str, int]: ...


class ConnectionDoor(Protocol):
    """An HL7 or HTTP listener at one moment: connections open, and by what became of them."""

    @property
    def open(self) -> int: ...

    @property
    def connections(self) -> Mapping[str, int]: ...


class WriterState(Protocol):
    """The writer at one moment."""

    @property
    def waiting_requests(self) -> int: ...

    @property
    def waiting_bytes(self) -> int: ...

    @property
    def batch_requests(self) -> DistributionSnapshot: ...

    @property
    def batch_seconds(self) -> DistributionSnapshot: ...

    @property
    def failed(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Sources:
    """Where the figures come from; each is called once for each reading, and must be quick.

    dicom, hl7       by name of the listener; None while it does not serve
    hl7_messages     by outcome
    in_place         False while the database's files or address lead elsewhere
    log_lines_lost   of all processes
    steps, alarms    from the database: by state and whether held, and by kind; may raise DatabaseUnavailable
    """

    dicom: Mapping[str, Callable[[], DicomDoor | None]]
    hl7: Mapping[str, Callable[[], ConnectionDoor]]
    writer: Callable[[], WriterState]
    hl7_messages: Callable[[], Mapping[str, int]]
    in_place: Callable[[], bool]
    steps: Callable[[], Mapping[tuple[str, bool], int]]
    alarms: Callable[[], Mapping[str, int]]
    log_lines_lost: Callable[[], int]
    http: Callable[[], ConnectionDoor] | None = None


def metrics_routes(sources: Sources) -> list[Route]:
    """GET /metrics; it answers also while the database does not."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(sources))
    ProcessCollector(registry=registry)

    text = Question("metrics", lambda: generate_latest(registry))

    async def metrics(request: Request) -> Response:
        return Response(await text.answer(), media_type=CONTENT_TYPE)

    return [Route("/metrics", metrics)]


class _Collector(Collector):
    def __init__(self, sources: Sources) -> None:
        self._sources = sources

    def describe(self) -> list[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        info = InfoMetricFamily(NAME, "This program")
        info.add_metric((), {"version": broker.__version__})
        yield info
        doors = {name: door for name, read in self._sources.dicom.items() if (door := read()) is not None}
        yield from _dicom(doors)
        yield from _peers(doors)
        yield from _hl7({name: read() for name, read in self._sources.hl7.items()})
        if self._sources.http is not None:
            yield from _http(self._sources.http())
        requests: Counter[tuple[str, ...]] = Counter()
        for door in doors.values():
            requests.update({tuple(name.split(" ")): times for name, times in door.requests.items()})
        yield _counter("dicom_requests", "DIMSE requests, by final status", ("command", "status"), requests)
        messages = {(outcome,): n for outcome, n in self._sources.hl7_messages().items()}
        yield _counter("hl7_messages", "HL7 messages, by how they ended", ("outcome",), messages)
        yield from _writer(self._sources.writer())
        lost = {(): self._sources.log_lines_lost()}
        yield _counter("log_lines_lost", "Log lines that could not be written", (), lost)
        yield from self._database()

    def _database(self) -> Iterator[Metric]:
        place = {(): float(self._sources.in_place())}
        yield _gauge("database_in_place", "0 while what is open is not what its path or address leads to", (), place)
        try:
            steps, alarms = self._sources.steps(), self._sources.alarms()
        except DatabaseUnavailable:
            log.warning("metrics.database_unavailable")
            yield _gauge("database_up", "1 while the database answers", (), {(): 0})
            return
        yield _gauge("database_up", "1 while the database answers", (), {(): 1})
        told = {(state, str(held).lower()): n for (state, held), n in steps.items()}
        yield _gauge("steps", "Scheduled procedure steps", ("state", "held"), told)
        yield _gauge("alarms_open", "Alarms not acknowledged", ("kind",), {(kind,): n for kind, n in alarms.items()})


def _dicom(doors: Mapping[str, DicomDoor]) -> Iterator[Metric]:
    door = ("door",)
    yield _gauge("dicom_associations_open", "Associations", door, {(n,): d.open for n, d in doors.items()})
    waiting = {(n,): d.waiting for n, d in doors.items()}
    yield _gauge("dicom_connections_waiting", "DICOM connections without an association", door, waiting)
    ends = {(n, how): count for n, d in doors.items() for how, count in d.associations.items()}
    yield _counter("dicom_associations", "Associations by how they went", ("door", "how"), ends)
    rejected = {(n, why): count for n, d in doors.items() for why, count in d.rejected.items()}
    yield _counter("dicom_associations_rejected", "A-ASSOCIATE-RJ sent", ("door", "reason"), rejected)
    refused = {(n, why): count for n, d in doors.items() for why, count in d.refused.items()}
    yield _counter("dicom_pdus_refused", "What peers sent that ended a connection", ("door", "reason"), refused)


def _peers(doors: Mapping[str, DicomDoor]) -> Iterator[Metric]:
    labels = ("door", "calling_ae_title", "host")
    told = [(name, peer) for name, door in doors.items() for peer in door.peers[:MOST_PEERS]]
    seen = [((name, distinct(peer.calling_ae_title), peer.host), peer) for name, peer in told]
    opened = {key: peer.open for key, peer in seen}
    yield _gauge("dicom_peer_associations_open", "Associations by peer, the last seen ones", labels, opened)
    last = {key: peer.last_seen for key, peer in seen}
    yield _gauge("dicom_peer_last_seen_timestamp_seconds", "When a peer last said something", labels, last)


def _hl7(doors: Mapping[str, ConnectionDoor]) -> Iterator[Metric]:
    yield _gauge("hl7_connections_open", "HL7 connections", ("door",), {(n,): d.open for n, d in doors.items()})
    ends = {(n, how): count for n, d in doors.items() for how, count in d.connections.items()}
    yield _counter("hl7_connections", "HL7 connections by what became of them", ("door", "how"), ends)


def _http(door: ConnectionDoor) -> Iterator[Metric]:
    yield _gauge("http_connections_open", "HTTP connections", (), {(): door.open})
    ends = {(how,): count for how, count in door.connections.items()}
    yield _counter("http_connections", "HTTP connections by what became of them", ("how",), ends)


def _writer(writer: WriterState) -> Iterator[Metric]:
    yield _gauge("writer_waiting_requests", "Requests waiting for the writer", (), {(): writer.waiting_requests})
    yield _gauge("writer_waiting_bytes", "Bytes waiting for the writer", (), {(): writer.waiting_bytes})
    yield _histogram("writer_batch_requests", "Requests written in one transaction", writer.batch_requests)
    yield _histogram("writer_batch_seconds", "Time of one transaction and its retries", writer.batch_seconds)
    yield _counter("writer_failed_requests", "Requests that could not be written", (), {(): writer.failed})


_Values = Mapping[Any, float]
"""Values by the labels' values, in the order of the labels."""


def _gauge(name: str, text: str, labels: Sequence[str], values: _Values) -> Metric:
    family = GaugeMetricFamily(f"{NAME}_{name}", text, labels=labels)
    for key, value in values.items():
        family.add_metric(key, value)
    return family


def _counter(name: str, text: str, labels: Sequence[str], values: _Values) -> Metric:
    family = CounterMetricFamily(f"{NAME}_{name}", text, labels=labels)
    for key, value in values.items():
        family.add_metric(key, value)
    return family


def _histogram(name: str, text: str, known: DistributionSnapshot) -> Metric:
    buckets, sum_so_far = [], 0
    for end, count in zip((*known.ends, None), known.counts, strict=True):
        sum_so_far += count
        buckets.append(("+Inf" if end is None else f"{end:g}", float(sum_so_far)))
    family = HistogramMetricFamily(f"{NAME}_{name}", text, labels=())
    family.add_metric((), buckets, known.total)
    return family
