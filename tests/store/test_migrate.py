"""Migrations: run at the start, refused when told so, by one process at a time, found wherever we are installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

import broker
from broker.errors import BrokerError, DatabaseTooOld, SettingsError
from broker.store.database import open_database
from broker.store.migrate import newest_revision, revision_of
from broker.store.schema_files import schema_folder
from tests.kit.databases import Databases


@pytest.fixture
def empty_url(database_kind: str, databases: Databases, tmp_path: Path) -> Iterator[str]:
    """URL of a database without tables."""
    if database_kind == "sqlite":
        yield f"sqlite:///{tmp_path}/deep/inside/new.db"
        return
    with databases.empty_postgresql() as url:
        yield url


def test_a_start_brings_an_empty_database_up_to_date(empty_url: str, tmp_path: Path) -> None:
    database = open_database(empty_url, tmp_path, migrate=True)

    with database.read() as tx:
        assert revision_of(tx) == newest_revision()
    database.close()


def test_without_permission_to_migrate_an_old_database_is_refused_with_the_way_out(
    empty_url: str, tmp_path: Path
) -> None:
    with pytest.raises(DatabaseTooOld, match="mwl-broker migrate"):
        open_database(empty_url, tmp_path, migrate=False)


def test_a_database_of_a_newer_version_is_refused(database_url: str, tmp_path: Path) -> None:
    database = open_database(database_url, tmp_path, migrate=False)
    with database.write() as tx:
        tx.execute(text("UPDATE alembic_version SET version_num = 'from tomorrow'"))
    database.close()

    with pytest.raises(SettingsError, match="newer version"):
        open_database(database_url, tmp_path, migrate=True)


def test_two_first_starts_at_once_do_not_disturb_each_other(empty_url: str, tmp_path: Path) -> None:
    together = threading.Barrier(3, timeout=10)
    failures: list[BrokerError] = []

    def start() -> None:
        together.wait()
        try:
            open_database(empty_url, tmp_path, migrate=True).close()
        except BrokerError as error:
            failures.append(error)

    threads = [threading.Thread(target=start) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert failures == []
    open_database(empty_url, tmp_path, migrate=False).close()


def test_migrations_are_found_and_run_from_an_installed_package(tmp_path: Path) -> None:
    package = Path(broker.__file__).parent
    installed = tmp_path / "100% installed"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(package, installed / "broker", ignore=ignored)
    shutil.copytree(schema_folder(), installed / "broker" / "_schema", ignore=ignored)
    code = (
        "from pathlib import Path; from broker.store.database import open_database;"
        "from broker.store.schema_files import schema_folder;"
        "open_database(None, Path('data'), migrate=True).close(); print(schema_folder())"
    )

    environment = os.environ | {"PYTHONPATH": str(installed)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(installed / "broker" / "_schema")
    assert (tmp_path / "data" / "broker.db").exists()
