"""Journeys run the broker as a process of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kit.messages import Case
from tests.kit.processes import ServedBroker


@pytest.fixture
def served(database_url: str, tmp_path: Path) -> Iterator[ServedBroker]:
    """A started broker process on each kind of database."""
    with ServedBroker(tmp_path / "data", database_url) as process:
        yield process


@pytest.fixture
def case() -> Case:
    """Names that no other test uses."""
    return Case()
