"""Migrations: run at the start, refused when told so, by one process at a time, found wherever we are installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import select, text

import broker
from broker.domain.matching import All
from broker.domain.order import LISTED, StepState
from broker.errors import BrokerError, DatabaseTooOld, SettingsError
from broker.site.profile import load
from broker.store.database import Database, open_database
from broker.store.dialects import backend_for
from broker.store.migrate import newest_revision, revision_of
from broker.store.schema_files import schema_folder
from broker.store.tables import scheduled_steps
from broker.store.worklist import page_of_steps
from tests.kit.databases import Databases
from tests.kit.steps import PlannedStep, put_steps

LISTED_BEFORE = text(  # as the second revision has it
    "SELECT id FROM scheduled_steps"
    " WHERE held IS NULL AND state NOT IN ('CANCELED', 'COMPLETED', 'DEPARTED', 'DISCONTINUED') ORDER BY start_at, id"
)


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


def test_a_database_of_the_second_revision_lists_the_same_steps_after_the_third(empty_url: str, tmp_path: Path) -> None:
    rows = load(None).rows
    planned = [
        PlannedStep(step_id=f"S{number}", state=state.value, held=held, start_at=f"202603021015{number % 3:02d}")
        for number, (state, held) in enumerate(product(StepState, (None, "no modality", "")))
    ]
    older = at_revision(empty_url, tmp_path, "0002")
    put_steps(older, rows, planned, lacking=["listed"])
    with older.read() as tx:
        before = list(tx.execute(LISTED_BEFORE).scalars())
    older.close()

    database = open_database(empty_url, tmp_path, migrate=True)

    with database.read() as tx:
        after = [step.id for step in page_of_steps(tx, All(), LISTED, None, 100).steps]
        kept = tx.execute(select(scheduled_steps).order_by(scheduled_steps.c.id)).all()
    database.close()
    assert after == before
    assert len(after) == len(LISTED)
    assert [(step.state, step.held) for step in kept] == [(step.state, step.held) for step in planned]
    assert [step.listed for step in kept] == [
        step.held is None and StepState(step.state) in LISTED for step in planned
    ]  # fmt: skip


def at_revision(url: str, folder: Path, revision: str) -> Database:
    """An open database as an older version left it."""
    database = Database(backend_for(url, folder, 5.0), 5.0)
    database.backend.prepare()
    config = Config()
    config.set_main_option("script_location", str(schema_folder() / "migrations"))
    with database.write() as tx:
        config.attributes["connection"] = tx
        command.upgrade(config, revision)
    return database


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
