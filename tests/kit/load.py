"""Load that survives the broker's death: senders and a scanner that, like real ones, try again until they are answered.

What was acknowledged is recorded only when the answer has come; what was not is sent again, byte for byte.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from broker.simulators.modality import ModalityError
from tests.kit.messages import Case
from tests.kit.mllp import Sender
from tests.kit.scanner import Scanner

SUCCESS, DUPLICATE, FAILED = 0x0000, 0x0111, 0x0110
RETRY_SECONDS = 0.05
IMAGES = 5


@dataclass
class Load:
    """Counts acknowledgements of all threads; ports() says where the broker is now, {} while it is down."""

    ports: Callable[[], dict[str, int]]
    orders: list[Case] = field(default_factory=list)
    images: list[Dataset] = field(default_factory=list)
    performed: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    stopping: threading.Event = field(default_factory=threading.Event)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def acknowledged(self) -> int:
        return len(self.orders) + len(self.images) + len(self.performed)

    def wait_for(self, more: int, images: int, timeout_seconds: float) -> bool:
        """Wait until so many more things were acknowledged, and so many images among them."""
        wanted, stored = self.acknowledged() + more, len(self.images) + images
        with self.changed:
            return self.changed.wait_for(
                lambda: bool(self.problems) or (self.acknowledged() >= wanted and len(self.images) >= stored),
                timeout_seconds,
            )

    def record(self, done: list[Any], what: Any) -> None:
        with self.changed:
            done.append(what)
            self.changed.notify_all()

    def send_orders(self) -> None:
        """One HL7 connection; a new one when it breaks, beginning with the message that was not answered."""
        case = Case()
        message = case.order()
        while not self.stopping.is_set():
            try:
                with Sender(self._port("hl7"), timeout_seconds=5) as sender:
                    while not self.stopping.is_set():
                        answer = sender.send(message)
                        if answer.code == "AA":
                            self.record(self.orders, case)
                            case = Case()
                            message = case.order()
                        elif answer.error != "207":
                            self.problems.append(f"{case.placer}: {answer.code} {answer.error}")
            except (OSError, AssertionError, KeyError):
                self.stopping.wait(RETRY_SECONDS)

    def acquire(self, item: Dataset) -> None:
        """One scanner that reports and stores for one item, in steps that it repeats until each is answered."""
        for step in self._acquisitions(item):
            while not self.stopping.is_set():
                try:
                    if step(Scanner(self._port("dicom"), timeout_seconds=5)):
                        break
                except (ModalityError, OSError, RuntimeError, KeyError):
                    self.stopping.wait(RETRY_SECONDS)
            if self.stopping.is_set():
                return

    def _acquisitions(self, item: Dataset) -> Iterator[Callable[[Scanner], bool]]:
        while True:
            uid = generate_uid(prefix=None)
            images = [Scanner(0).take(item, number) for number in range(1, IMAGES + 1)]
            yield partial(_start, item, uid)
            yield partial(self._store, list(images))
            yield partial(self._end, uid, images)

    def _store(self, left: list[Dataset], scanner: Scanner) -> bool:
        """Store what is left in one association; what was answered is left no more."""
        with scanner.association() as association:
            while left:
                if association.send_c_store(left[0]).get("Status") != SUCCESS:
                    return False
                self.record(self.images, left.pop(0))
        return True

    def _end(self, uid: str, images: list[Dataset], scanner: Scanner) -> bool:
        ended = scanner.end(uid, images) in (SUCCESS, FAILED)  # a repeat of an N-SET that was kept finds it final
        if ended:
            self.record(self.performed, uid)
        return ended

    def _port(self, door: str) -> int:
        return self.ports()[door]


def _start(item: Dataset, uid: str, scanner: Scanner) -> bool:
    return scanner.start(item, uid)[1] in (SUCCESS, DUPLICATE)  # a repeat of an N-CREATE that was kept finds it there


@contextmanager
def loaded(ports: Callable[[], dict[str, int]], item: Dataset, hl7_connections: int = 4) -> Iterator[Load]:
    """Run the load in threads; they have ended when the block is left."""
    load = Load(ports)
    threads = [threading.Thread(target=load.send_orders) for _ in range(hl7_connections)]
    threads.append(threading.Thread(target=load.acquire, args=(item,)))
    for thread in threads:
        thread.start()
    try:
        yield load
    finally:
        load.stopping.set()
        limit = time.monotonic() + 30
        for thread in threads:
            thread.join(max(0.0, limit - time.monotonic()))
        assert not any(thread.is_alive() for thread in threads)
