"""A PostgreSQL server that is frozen: health routes say what they know, doors answer by their limits."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from psycopg.conninfo import conninfo_to_dict

from broker.simulators.modality import worklist_query
from tests.kit.brokers import RunningBroker, running
from tests.kit.messages import Case
from tests.kit.mute_proxy import MuteProxy
from tests.kit.scanner import Scanner
from tests.kit.waiting import until

pytestmark = pytest.mark.parametrize("database_kind", ["postgresql"], indirect=True)
DOOR_SECONDS = 25.0
"""The doors' own limit is 3 s here, the database's 3 s; a frozen server is noticed after 9 s."""


@pytest.fixture
def proxy(database_url: str) -> Iterator[MuteProxy]:
    said = conninfo_to_dict(database_url.replace("postgresql+psycopg://", "postgresql://"))
    folder, port = str(said["host"]), said.get("port") or "5432"
    target = f"{folder}/.s.PGSQL.{port}" if folder.startswith("/") else (folder, int(port))
    with MuteProxy(target) as one:
        yield one


@pytest.fixture
def broker(proxy: MuteProxy, database_url: str, tmp_path: Path) -> Iterator[RunningBroker]:
    said = conninfo_to_dict(database_url.replace("postgresql+psycopg://", "postgresql://"))
    url = f"postgresql://{said['user']}:{said.get('password', '')}@127.0.0.1:{proxy.port}/{said['dbname']}"
    with running(tmp_path / "data", url, lock_seconds=3.0, writer_wait_seconds=3.0) as one:
        yield one
        proxy.speak()


def timed(ask: Callable[[], object]) -> tuple[object, float]:
    began = time.monotonic()
    return ask(), time.monotonic() - began


def status(broker: RunningBroker, path: str) -> int:
    try:
        with urlopen(f"http://127.0.0.1:{broker.http_port}{path}", timeout=10) as answer:
            return int(answer.status)
    except HTTPError as error:
        return error.code


def test_everybody_is_answered_and_the_broker_goes_on_when_the_server_does(
    broker: RunningBroker, proxy: MuteProxy, case: Case
) -> None:
    assert broker.send(case.order()).code == "AA"
    item, scanner = broker.item(case), Scanner(broker.dicom_port, timeout_seconds=DOOR_SECONDS)
    image = scanner.take(item)
    proxy.fall_silent()

    query = worklist_query({}, {"PatientID": case.patient_id})
    with ThreadPoolExecutor(12) as pool:
        asked = {
            "C-FIND": pool.submit(timed, lambda: scanner.find(query)[-1][0]),
            "HL7": pool.submit(timed, lambda: broker.send(Case().order()).error),
            "C-STORE": pool.submit(timed, lambda: scanner.store(image)[0]),
            "N-CREATE": pool.submit(timed, lambda: scanner.start(item)[1]),
        }
        paths = ["/health/ready"] * 3 + ["/health/live"]
        healths = [pool.submit(timed, partial(status, broker, path)) for path in paths]
        metrics = pool.submit(timed, lambda: status(broker, "/metrics"))
        told = {name: future.result(60) for name, future in asked.items()}

    assert [future.result()[0] for future in healths] == [503, 503, 503, 200]
    assert max(future.result()[1] for future in [*healths, metrics]) < 3.5  # 3 s, and this machine's own slowness
    assert metrics.result()[0] == 200
    expected = {"C-FIND": 0xA700, "HL7": "207", "C-STORE": 0xA700, "N-CREATE": 0x0213}
    assert {name: answer for name, (answer, _) in told.items()} == expected
    assert max(seconds for _, seconds in told.values()) < DOOR_SECONDS

    proxy.speak()
    until(lambda: status(broker, "/health/ready") == 200, 30.0)
    assert broker.send(Case().order()).code == "AA"
    assert broker.scanner().store(image) == [0]
