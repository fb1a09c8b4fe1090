"""Strangers at the door: DCMTK's tools against one broker process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.kit.databases import Databases
from tests.kit.messages import Case
from tests.kit.processes import ServedBroker


@pytest.fixture(scope="session")
def served(databases: Databases, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedBroker]:
    """A broker process on SQLite for all tests of this folder."""
    folder = tmp_path_factory.mktemp("interop")
    with databases.fresh("sqlite", folder) as url, ServedBroker(folder / "data", url) as process:
        yield process


@pytest.fixture
def case() -> Case:
    """Names that no other test uses."""
    return Case()
