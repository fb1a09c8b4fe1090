"""A fixed offered load: senders, askers and storers that keep to their timetable whatever the broker does.

A time counts from the moment the timetable names, so that waiting for a late answer before is waiting too.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from pydicom.dataset import Dataset

from tests.bench import wire
from tests.bench.datasets import encode
from tests.bench.steps import step
from tests.kit.messages import Case
from tests.kit.mllp import Sender

OBJECT_BYTES = 500_000
UID_MARK = "2.25.77" + "0" * 30
START_SECONDS = 0.5


@dataclass
class Door:
    """What one door's clients saw: milliseconds of what was answered well, and what else happened."""

    times: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Timetable:
    """How many clients, how many requests a second each, for how long; ends early once the file `until` exists."""

    clients: int
    rate: float
    seconds: float
    until: Path | None = None


def orders(port: int, timetable: Timetable, first: int) -> Door:
    """New orders over HL7, each client on a connection of its own. first: number of the first case."""

    def open_client(client: int) -> tuple[Callable[[int], None], Callable[[], None]]:
        sender = Sender(port, timeout_seconds=60)

        def send(turn: int) -> None:
            number = first + turn * timetable.clients + client
            answer = sender.send(Case(number).order(header={"control_id": f"BENCH{number}"}))
            if answer.code != "AA":
                raise wire.WireError(f"answered {answer.code} {answer.error}")

        return send, sender.socket.close

    return _offered(timetable, open_client)


def queries(port: int, called: str, timetable: Timetable, identifier: bytes, answers: int) -> Door:
    """Worklist queries, each client on an association of its own."""
    request = wire.find_request(identifier)

    def open_client(client: int) -> tuple[Callable[[int], None], Callable[[], None]]:
        association = wire.LeanAssociation(port, called, quick=True, calling=f"BENCH{client}")

        def ask(turn: int) -> None:
            association.send(request)
            found = association.pending()
            if found != answers:
                raise wire.WireError(f"{found} answers instead of {answers}")

        return ask, association.close

    return _offered(timetable, open_client)


def objects(port: int, called: str, timetable: Timetable, first: int) -> Door:
    """Images of half a megabyte. first: number of the first; numbers of one database must not meet."""

    def open_client(client: int) -> tuple[Callable[[int], None], Callable[[], None]]:
        association = wire.LeanAssociation(port, called, quick=True, calling=f"STORE{client}")
        template = wire.store_request(UID_MARK, image(client), association.peer_maximum)

        def store(turn: int) -> None:
            number = first + turn * timetable.clients + client
            association.send(template.replace(UID_MARK.encode(), f"2.25.77{number:030d}".encode()))
            association.pending()

        return store, association.close

    return _offered(timetable, open_client)


def image(number: int) -> bytes:
    """A secondary capture image of a step that the broker knows, in Implicit VR Little Endian."""
    values = step(number).values
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = wire.SECONDARY_CAPTURE, UID_MARK
    dataset.Modality, dataset.InstanceNumber = "CT", 1
    for keyword in ("PatientName", "PatientID", "StudyInstanceUID", "AccessionNumber"):
        setattr(dataset, keyword, values[keyword])
    dataset.SeriesInstanceUID = f"{values['StudyInstanceUID']}.1"
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.Rows, dataset.Columns = 500, OBJECT_BYTES // 1000
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 16, 15, 0
    dataset.add_new(0x7FE00010, "OW", bytes(OBJECT_BYTES))
    return encode(dataset)


def _offered(
    timetable: Timetable, open_client: Callable[[int], tuple[Callable[[int], None], Callable[[], None]]]
) -> Door:
    door = Door()
    opened = [open_client(client) for client in range(timetable.clients)]
    began = time.perf_counter() + START_SECONDS
    apart = 1 / timetable.clients / timetable.rate
    threads = [
        threading.Thread(target=_keep_to, args=(timetable, began + client * apart, do, door))
        for client, (do, _) in enumerate(opened)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for _, close in opened:
        close()
    return door


def _keep_to(timetable: Timetable, began: float, do: Callable[[int], None], door: Door) -> None:
    turn = 0
    while turn / timetable.rate < timetable.seconds and not (timetable.until and timetable.until.exists()):
        due = began + turn / timetable.rate
        time.sleep(max(0.0, due - time.perf_counter()))
        try:
            do(turn)
            door.times.append((time.perf_counter() - due) * 1000)
        except (OSError, AssertionError, wire.WireError) as error:
            door.errors.append(f"{type(error).__name__}: {error}")
            return
        turn += 1
