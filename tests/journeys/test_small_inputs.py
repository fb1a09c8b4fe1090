"""Ten peers send the same harmful input at once, and everybody else is served as if nothing were the matter."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.kit.harm import Harm, harms
from tests.kit.messages import Case
from tests.kit.mllp import Sender
from tests.kit.processes import ServedBroker
from tests.kit.raw_dicom import RawPeer

AT_ONCE = 10
MOST_SECONDS = 1.0
"""Longest that a C-ECHO or an order of somebody else may take meanwhile."""
MOST_GROWTH_MB = 400


@pytest.fixture(scope="module", params=[(), ("--dicom-processes", "2")], ids=["one process", "two DICOM processes"])
def broker(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedBroker]:
    """On SQLite: what is read before the store takes part is the same on both databases."""
    folder = tmp_path_factory.mktemp("harm")
    with ServedBroker(folder / "data", f"sqlite:///{folder / 'broker.db'}", *request.param) as served:
        yield served


@pytest.mark.parametrize("harm", harms(), ids=lambda harm: harm.name)
def test_ten_harmful_inputs_at_once_stop_nobody_and_take_little_memory(broker: ServedBroker, harm: Harm) -> None:
    before = _resident_mb(broker)
    watch = _Memory(broker)

    with ThreadPoolExecutor(AT_ONCE) as peers, watch:
        sent = [peers.submit(harm.send, broker.ports[harm.door], f"127.0.0.{2 + n}") for n in range(AT_ONCE)]
        echoes, orders = [], []
        while not all(one.done() for one in sent) or not echoes:
            echoes.append(_timed(lambda: _echo(broker.ports["dicom"])))
            orders.append(_timed(lambda: _order(broker.ports["hl7"])))
    for one in sent:
        one.result()

    assert max(echoes) < MOST_SECONDS
    assert max(orders) < MOST_SECONDS
    assert watch.most_mb - before < MOST_GROWTH_MB


class _Memory:
    """The most that a broker's processes held while this was entered."""

    def __init__(self, broker: ServedBroker) -> None:
        self.most_mb = 0.0
        self._broker = broker
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> _Memory:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(0.02):
            self.most_mb = max(self.most_mb, _resident_mb(self._broker))


def _resident_mb(broker: ServedBroker) -> float:
    """Of the main process and those of its DICOM door together."""
    assert broker.process is not None
    total = 0.0
    for pid in (broker.process.pid, *broker.door_pids().values()):
        try:
            total += int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096 / 1e6
        except FileNotFoundError:
            continue
    return total


def _timed(ask: object) -> float:
    began = time.monotonic()
    ask()  # type: ignore[operator]
    return time.monotonic() - began


def _echo(port: int) -> None:
    with RawPeer(port, source="127.0.0.100").associate() as peer:
        assert peer.echo() == 0x0000


def _order(port: int) -> None:
    with Sender(port, timeout_seconds=60.0, source="127.0.0.101") as sender:
        assert sender.send(Case().order()).code == "AA"
