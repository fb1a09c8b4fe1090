"""Database and data folder: which names which, and what is refused where they differ."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from broker.errors import SettingsError
from broker.store.database import Database, open_database
from broker.store.pairing import paired_database, read_pairing, write_pairing
from tests.kit.databases import Databases
from tests.store.test_migrate import at_revision

SOME, OTHER = "1a1a1a1a-0000-4000-8000-000000000001", "1a1a1a1a-0000-4000-8000-000000000002"


@pytest.fixture
def empty_url(database_kind: str, databases: Databases, tmp_path: Path) -> Iterator[str]:
    """URL of a database without tables."""
    if database_kind == "sqlite":
        yield f"sqlite:///{tmp_path}/new.db"
        return
    with databases.empty_postgresql() as url:
        yield url


def test_a_database_keeps_the_identity_that_its_migration_gave_it(empty_url: str, tmp_path: Path) -> None:
    at_revision(empty_url, tmp_path, "0003").close()

    opened = [open_database(empty_url, tmp_path, migrate=True) for _ in range(2)]

    assert len({one.identity for one in opened}) == 1
    assert len(opened[0].identity) == 36
    for one in opened:
        one.close()


def test_a_database_without_a_row_of_identity_is_given_one(database: Database, database_url: str, tmp_path) -> None:
    with database.write() as tx:
        tx.execute(text("DELETE FROM database_identity"))

    opened = [open_database(database_url, tmp_path, migrate=False) for _ in range(2)]

    assert opened[0].identity == opened[1].identity != database.identity
    for one in opened:
        one.close()


def test_the_wanted_database_is_opened(database: Database, database_url: str, tmp_path: Path) -> None:
    open_database(database_url, tmp_path, migrate=False, identity=database.identity).close()


def test_another_database_than_the_wanted_one_is_refused_and_stays_as_it_was(empty_url: str, tmp_path: Path) -> None:
    at_revision(empty_url, tmp_path, "0003").close()

    with pytest.raises(SettingsError, match=r"another database.*migrate --pair"):
        open_database(empty_url, tmp_path, migrate=True, identity=SOME)

    kept = at_revision(empty_url, tmp_path, "0003")
    with kept.read() as tx:
        assert tx.execute(text("SELECT version_num FROM alembic_version")).scalar_one() == "0003"
    kept.close()


def test_a_missing_file_is_not_made_where_one_database_is_wanted(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"missing.*restore it"):
        open_database(None, tmp_path / "data", migrate=True, identity=SOME)

    assert not (tmp_path / "data" / "broker.db").exists()


def test_a_folder_that_is_paired_again_keeps_its_own_identity(tmp_path: Path) -> None:
    before = write_pairing(tmp_path, SOME)

    after = write_pairing(tmp_path, OTHER, before)

    assert read_pairing(tmp_path) == after
    assert (after.folder, paired_database(tmp_path)) == (before.folder, OTHER)
    assert stat.S_IMODE((tmp_path / "identity.json").stat().st_mode) == 0o600
    assert sorted(file.name for file in tmp_path.iterdir()) == ["identity.json"]


def test_two_folders_have_two_identities(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("one", "other")]
    for folder in folders:
        folder.mkdir()

    assert len({write_pairing(folder, SOME).folder for folder in folders}) == 2


def test_a_folder_without_the_file_has_no_pairing(tmp_path: Path) -> None:
    assert read_pairing(tmp_path) is None
    assert read_pairing(tmp_path / "missing") is None


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"folder": 1, "database": 2}', '{"folder": "a"}'])
def test_a_damaged_file_is_refused_with_the_way_out(tmp_path: Path, content: str) -> None:
    (tmp_path / "identity.json").write_text(content)

    with pytest.raises(SettingsError, match="migrate --pair"):
        read_pairing(tmp_path)
