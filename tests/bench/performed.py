"""N-CREATEs of a plain-socket sender: recorded bytes, each with a UID of its own."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from pydicom.uid import generate_uid

from broker.simulators.modality import performed_step
from tests.bench.datasets import dataset_of, encode
from tests.bench.steps import BenchStep
from tests.bench.wire import create_request

NOON = datetime(2031, 3, 3, 12, 0, 0)


def creations(steps: Iterable[BenchStep]) -> list[bytes]:
    """One N-CREATE-RQ for each step, as a scanner that has the step on its list would send it."""
    made = []
    for step in steps:
        dataset = performed_step(dataset_of(step), step.station, NOON)
        made.append(create_request(generate_uid(prefix=None), encode(dataset)))
    return made
