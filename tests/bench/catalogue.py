"""Every measurement by name: what it is about, what it needs on this machine, and the function that makes it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from tests.bench import doors, mixed, sizes, worklist
from tests.bench.results import Line
from tests.bench.run import Run

_BOTH = ("wlmscpfs", "orthanc", "orthanc worklists")


@dataclass(frozen=True)
class Measurement:
    """One measurement. needs: names of `peers.FINDERS`."""

    title: str
    measure: Callable[[Run], Iterator[Line]]
    needs: tuple[str, ...] = ()


CATALOGUE: Mapping[str, Measurement] = {
    "open-5": Measurement("5 answers in an open association", worklist.open_5, _BOTH),
    "open-72": Measurement("72 answers in an open association", worklist.open_72, _BOTH),
    "open-2500": Measurement("2,500 answers in an open association", worklist.open_2500, _BOTH),
    "open-2500-members": Measurement(
        "2,500 answers, members asked inside two sequences, every tenth name not ASCII", worklist.open_members, _BOTH
    ),
    "findscu-2500": Measurement(
        "findscu with 2,500 answers, whole process", worklist.findscu_2500, (*_BOTH, "findscu")
    ),
    "findscu-5": Measurement("findscu with 5 answers, whole process", worklist.findscu_5, ("wlmscpfs", "findscu")),
    "echo": Measurement("C-ECHO beside stock pynetdicom", doors.echo),
    "n-create": Measurement("N-CREATE, committed, beside stock pynetdicom", doors.create, ("postgresql",)),
    "idle-1000": Measurement("1,000 idle associations", doors.idle, ("echoscu",)),
    "clients-50": Measurement("50 clients that query in a loop", doors.crowd, ("orthanc", "orthanc worklists")),
    "echo-beside-2500": Measurement("C-ECHO beside two clients that fetch 2,500 answers", doors.echo_beside),
    "million": Measurement("a million steps, 100,000 of them open", sizes.million),
    "postgresql": Measurement("PostgreSQL beside SQLite", sizes.postgresql, ("postgresql",)),
    "mixed": Measurement("orders, queries and images at once, at a fixed load", mixed.mixed),
    "import": Measurement("10,000 worklist files imported beside a serving broker", mixed.imported),
}
