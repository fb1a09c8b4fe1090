"""Two brokers share a database, and an older copy is restored: numbers of the one are given again to the other, whose
files then have the same paths in another folder. The files of the first were taken for those of the rows."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from sqlalchemy import select

from broker.store.database import open_database
from broker.store.tables import instances
from tests.kit.backups import backed_up
from tests.kit.brokers import running
from tests.kit.databases import Databases
from tests.kit.messages import Case

WAIT_SECONDS = 20.0


@pytest.mark.parametrize("database_kind", ["postgresql"], indirect=True)
def test_an_image_at_the_path_of_another_folders_image_is_taken_in_again(
    database_url: str, databases: Databases, tmp_path: Path, case: Case
) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    with running(one, database_url) as broker:
        broker.send(case.order())
        item = broker.item(case)
        broker.close()
    with backed_up(databases, database_url) as backup:
        with running(other, database_url) as broker:
            lost = broker.scanner().take(item, 1)
            assert broker.scanner().store(lost) == [0]
            broker.close()
        backup.restore()
        with running(one, database_url) as broker:
            assert broker.scanner().store(broker.scanner().take(item, 2)) == [0]
            broker.close()
        assert paths(one) == paths(other)

        with running(other, database_url) as broker:
            give_up_at = time.monotonic() + WAIT_SECONDS
            while lost.SOPInstanceUID not in stored(database_url):
                assert time.monotonic() < give_up_at
                time.sleep(0.1)
            assert len(stored(database_url)) == 2
            assert broker.file_of(lost.SOPInstanceUID).exists()
            broker.close()


def paths(data: Path) -> list[str]:
    return [file.relative_to(data).as_posix() for file in (data / "objects").rglob("*.dcm")]


def stored(url: str) -> set[str]:
    database = open_database(url, Path("."), migrate=False)
    try:
        with database.read() as tx:
            return set(tx.execute(select(instances.c.sop_instance_uid)).scalars())
    finally:
        database.close()
