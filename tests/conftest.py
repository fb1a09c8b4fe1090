"""What every test may ask for: a fresh database (each test runs on both kinds) and a clock that stands still."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from hypothesis import settings

from broker.store.database import Database, open_database
from tests.kit.clock import SettableClock
from tests.kit.databases import KINDS, Databases

settings.register_profile("usual", max_examples=100, deadline=None, derandomize=True)
settings.register_profile("soak", max_examples=2_000, deadline=None, print_blob=True)
settings.load_profile("usual")  # --hypothesis-profile, which `make soak` gives, is read after this


@pytest.fixture(scope="session")
def databases() -> Iterator[Databases]:
    """The makers of databases; PostgreSQL starts when a test first needs it."""
    made = Databases()
    yield made
    made.close()


@pytest.fixture(params=KINDS)
def database_kind(request: pytest.FixtureRequest) -> str:
    """ "sqlite" and "postgresql", one after the other."""
    return str(request.param)


@pytest.fixture
def database_url(database_kind: str, databases: Databases, tmp_path: Path) -> Iterator[str]:
    """URL of a fresh migrated database of this test's own."""
    with databases.fresh(database_kind, tmp_path) as url:
        yield url


@pytest.fixture
def database(database_url: str, tmp_path: Path) -> Iterator[Database]:
    """A fresh migrated database of this test's own, open."""
    opened = open_database(database_url, tmp_path, migrate=False, lock_seconds=5.0)
    yield opened
    opened.close()


@pytest.fixture
def clock() -> SettableClock:
    """A clock that a test moves."""
    return SettableClock()


@pytest.fixture(autouse=True)
def _process_logs() -> Iterator[None]:
    """Commands run inside a test configure the process's log; the next test gets it as it was."""
    root = logging.getLogger()
    before = root.handlers[:], root.level, threading.excepthook, sys.unraisablehook
    yield
    if structlog.is_configured():
        structlog.reset_defaults()
        logging.captureWarnings(False)
        root.handlers[:], threading.excepthook, sys.unraisablehook = before[0], before[2], before[3]
        root.setLevel(before[1])
