"""Wire tests share one broker for each kind of database; each test brings a patient and an order of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from broker.dicom.listener import EngineServer
from tests.kit.brokers import PROFILE, RunningBroker, running
from tests.kit.databases import KINDS, Databases
from tests.kit.messages import Case
from tests.kit.stock_engine import StockServer

ENGINES = {"": EngineServer, "-stock-engine": StockServer}


@pytest.fixture(scope="session", params=[*KINDS, "sqlite-stock-engine"])
def shared_broker(
    request: pytest.FixtureRequest, databases: Databases, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningBroker]:
    """A broker for the whole session: on each kind of database, and on pynetdicom's stock engine."""
    folder = tmp_path_factory.mktemp(f"broker-{request.param}")
    kind, dash, engine = request.param.partition("-")
    with databases.fresh(kind, folder) as url, running(folder, url, engine=ENGINES[dash + engine]) as broker:
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
