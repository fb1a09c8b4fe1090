"""Wire tests share one broker for each kind of database; each test brings a patient and an order of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.kit.brokers import PROFILE, RunningBroker, running
from tests.kit.databases import KINDS, Databases
from tests.kit.messages import Case
from tests.kit.stock_engine import StockServer

WAYS: dict[str, dict[str, Any]] = {
    "": {},
    "-stock-engine": {"engine": StockServer},
    "-two-processes": {"dicom_processes": 2},
}


EVERYWHERE = [*KINDS, "sqlite-stock-engine"]
DICOM_SIDE = [*EVERYWHERE, *(f"{kind}-two-processes" for kind in KINDS)]
DICOM_TESTS = ("test_worklist", "test_performed_steps", "test_stored_images", "test_together")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Tests of the DICOM side also meet a door of two processes."""
    if "shared_broker" in metafunc.fixturenames:
        name = metafunc.module.__name__.rpartition(".")[2]
        ways = DICOM_SIDE if name in DICOM_TESTS else EVERYWHERE
        metafunc.parametrize("shared_broker", ways, indirect=True, scope="session")


@pytest.fixture(scope="session")
def shared_broker(
    request: pytest.FixtureRequest, databases: Databases, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningBroker]:
    """A broker for the whole session: on each kind of database, on pynetdicom's stock engine, in several processes."""
    folder = tmp_path_factory.mktemp(f"broker-{request.param}")
    kind, dash, way = request.param.partition("-")
    with databases.fresh(kind, folder) as url, running(folder, url, **WAYS[dash + way]) as broker:
        yield broker


@pytest.fixture
def broker(shared_broker: RunningBroker) -> RunningBroker:
    """The shared broker; alarms of earlier tests are forgotten."""
    shared_broker.forget_alarms()
    return shared_broker


@pytest.fixture
def case() -> Case:
    """Names that no other test uses."""
    return Case()


@pytest.fixture
def broker_with(
    databases: Databases, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., RunningBroker]]:
    """Makes brokers of the test's own, with more lines in the site profile or other settings."""
    with ExitStack() as stack:

        def make(profile: str = "", kind: str = "sqlite", **settings: object) -> RunningBroker:
            folder = tmp_path_factory.mktemp("broker")
            url = stack.enter_context(databases.fresh(kind, folder))
            return stack.enter_context(running(folder, url, PROFILE + profile, **settings))

        yield make
