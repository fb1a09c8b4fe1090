"""Servers that the benchmark plays itself: stock pynetdicom, nothing but the library, and the loop without work."""

from __future__ import annotations

import socket
import threading
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from pydicom.dataset import Dataset
from pynetdicom import AE, evt

from tests.bench import wire
from tests.bench.datasets import dataset_of
from tests.bench.steps import steps

BACKLOG = 16


def serve_worklist(port: int, count: int) -> None:
    """Answer worklist queries from prebuilt datasets, found by modality and day in a dictionary."""
    by_day: dict[tuple[str, str], list[Dataset]] = defaultdict(list)
    for step in steps(count):
        by_day[step.modality, step.start_at[:8]].append(dataset_of(step))

    def find(event: evt.Event) -> Iterator[tuple[int, Dataset | None]]:
        for dataset in _found(by_day, event.identifier):
            yield 0xFF00, dataset

    _serve(port, [wire.WORKLIST_FIND, wire.VERIFICATION], [(evt.EVT_C_FIND, find)])


def _found(by_day: dict[tuple[str, str], list[Dataset]], identifier: Dataset) -> Iterator[Dataset]:
    asked = identifier.ScheduledProcedureStepSequence[0]
    low, _, high = str(asked.ScheduledProcedureStepStartDate).partition("-")
    for (modality, day), datasets in by_day.items():
        if modality == asked.Modality and low <= day <= (high or low):
            for dataset in datasets:
                station = dataset.ScheduledProcedureStepSequence[0].ScheduledStationAETitle
                if asked.ScheduledStationAETitle in ("", None, station):
                    yield dataset


def serve_performed(port: int) -> None:
    """Take N-CREATEs of performed steps, store nothing and return no dataset."""

    def create(event: evt.Event) -> tuple[int, None]:
        return 0x0000, None

    _serve(port, [wire.PERFORMED_STEP, wire.VERIFICATION], [(evt.EVT_N_CREATE, create)])


def _serve(port: int, classes: list[str], handlers: Any) -> None:
    ae = AE("STOCK")
    for uid in classes:
        ae.add_supported_context(uid)
    ae.start_server(("127.0.0.1", port), block=True, evt_handlers=handlers)


def serve_ready_made(port: int, answers: list[bytes]) -> None:
    """Send the same bytes for every message; each connection in a thread of its own."""
    listener = socket.create_server(("127.0.0.1", port), backlog=BACKLOG)
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=_one_association, args=(connection, answers), daemon=True).start()


def _one_association(connection: socket.socket, answers: list[bytes]) -> None:
    with connection:
        try:
            wire.serve_ready_made(connection, answers)
        except (OSError, wire.WireError):
            return
