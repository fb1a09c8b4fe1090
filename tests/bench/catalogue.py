"""Every measurement by name: what it is about, what it needs on this machine, and the function that makes it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from tests.bench import worklist
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
}
