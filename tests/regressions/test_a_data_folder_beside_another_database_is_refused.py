"""A start on a data folder and a database that do not belong together is refused, and no image is touched."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from broker.errors import SettingsError
from broker.store.database import open_database
from broker.store.pairing import read_pairing
from tests.kit.brokers import RunningBroker, running
from tests.kit.databases import Databases
from tests.kit.messages import Case


@pytest.fixture
def other_url(databases: Databases, database_kind: str, tmp_path: Path) -> Iterator[str]:
    """A database of its own, with another identity."""
    with ExitStack() as stack:
        if database_kind == "postgresql":
            yield stack.enter_context(databases.empty_postgresql())
        else:
            url = f"sqlite:///{tmp_path}/other.db"
            open_database(url, tmp_path, migrate=True).close()
            yield url


@pytest.fixture
def stored(database_url: str, tmp_path: Path, case: Case) -> Path:
    """A data folder with images of an order."""
    data = tmp_path / "data"
    with running(data, database_url) as broker:
        assert broker.send(case.order()).code == "AA"
        store_three(broker, case)
    return data


def store_three(broker: RunningBroker, case: Case) -> None:
    item = broker.item(case)
    scanner = broker.scanner()
    assert scanner.store(*(scanner.take(item, number) for number in (1, 2, 3))) == [0, 0, 0]


def images(data: Path) -> list[str]:
    return sorted(file.name for file in (data / "objects").rglob("*.dcm"))


def command(*words: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "broker.cli.main", *words]
    return subprocess.run(line, capture_output=True, text=True, timeout=60)


def test_another_database_is_refused_until_they_are_paired(
    stored: Path, database_url: str, other_url: str
) -> None:
    before, folder = images(stored), read_pairing(stored)
    assert folder is not None

    with pytest.raises(SettingsError, match=r"another database.*right --database or --data.*migrate --pair"):
        running(stored, other_url).__enter__()
    plain = command("migrate", "--data", str(stored), "--database", other_url)
    paired = command("migrate", "--pair", "--data", str(stored), "--database", other_url)

    assert images(stored) == before
    assert plain.returncode == 2
    assert (paired.returncode, folder.database in paired.stderr) == (0, True)
    again = read_pairing(stored)
    assert again is not None
    assert again.folder == folder.folder
    assert f"now belongs to database {again.database}" in paired.stderr
    with pytest.raises(SettingsError):
        running(stored, database_url).__enter__()


def test_serve_ends_with_2_and_says_what_to_do(stored: Path, other_url: str) -> None:
    free = ("--hl7-port", "0", "--dicom-port", "0", "--http-port", "0")

    served = command("serve", *free, "--data", str(stored), "--database", other_url)

    assert served.returncode == 2
    assert "this data folder belongs to another database" in served.stderr
    assert "mwl-broker migrate --pair" in served.stderr


def test_a_folder_of_the_version_before_is_paired_with_the_database_that_knows_its_images(
    stored: Path, database_url: str
) -> None:
    (stored / "identity.json").unlink()

    with running(stored, database_url):
        pass

    assert read_pairing(stored) is not None
    assert len(images(stored)) == 3


def test_a_folder_of_the_version_before_is_refused_beside_a_database_that_knows_none_of_its_images(
    stored: Path, other_url: str, tmp_path: Path, case: Case
) -> None:
    """Also where that database has images of the same numbers on the same day."""
    (stored / "identity.json").unlink()
    with running(tmp_path / "elsewhere", other_url) as broker:
        broker.send(case.order())
        store_three(broker, case)
    assert images(tmp_path / "elsewhere") == images(stored)

    with pytest.raises(SettingsError, match=r"images of which this database knows nothing.*migrate --pair"):
        running(stored, other_url).__enter__()

    assert len(images(stored)) == 3
    assert read_pairing(stored) is None


def test_a_folder_without_images_is_paired_at_once(stored: Path, other_url: str) -> None:
    (stored / "identity.json").unlink()
    shutil.rmtree(stored / "objects")

    with running(stored, other_url):
        assert read_pairing(stored) is not None


@pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
def test_a_database_that_was_deleted_is_not_replaced_by_an_empty_one(
    stored: Path, database_url: str, serve_once: Callable[[], None]
) -> None:
    file = Path(database_url.removeprefix("sqlite:///"))
    kept = file.rename(file.with_name("kept.db"))

    with pytest.raises(SettingsError, match=r"missing.*restore it.*migrate --pair"):
        serve_once()

    assert not file.exists()
    kept.rename(file)
    serve_once()
    assert len(images(stored)) == 3


@pytest.fixture
def serve_once(database_url: str, tmp_path: Path) -> Callable[[], None]:
    def serve() -> None:
        with running(tmp_path / "data", database_url):
            pass

    return serve
