"""A writer, a second process, and PostgreSQL's administrator, for the tests of the store."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from broker.store.database import Database
from broker.store.writer import Writer

ROOT = Path(__file__).parents[2]


@pytest.fixture
def writer(database: Database) -> Iterator[Writer]:
    """A running writer."""
    started = Writer(database)
    started.start()
    yield started
    started.stop(5.0)


@pytest.fixture
def other_process(database_url: str) -> Iterator[Callable[[str], subprocess.Popen[str]]]:
    """Starts a second process on the same database: "write", "hold" or "take"; its first line says it is at work."""
    started: list[subprocess.Popen[str]] = []

    def start(what: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "tests.store.other_process", what, database_url]
        process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()
