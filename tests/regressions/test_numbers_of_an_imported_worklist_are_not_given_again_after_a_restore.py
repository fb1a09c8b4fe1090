"""A worklist import takes numbers from the database as a serving broker does, and marks them in the data folder."""

from __future__ import annotations

import shutil
from pathlib import Path

from broker.store.database import open_database
from broker.store.ids import reserve
from broker.store.marks import Marks
from tests.kit.messages import Case
from tests.kit.processes import ServedBroker
from tests.kit.worklist_files import item, put


def test_a_restored_database_gives_no_number_that_an_import_had_given(tmp_path: Path, case: Case) -> None:
    data = tmp_path / "data"
    with ServedBroker(data, f"sqlite:///{data / 'broker.db'}") as broker:
        assert broker.send(case.order()).code == "AA"
    shutil.copyfile(data / "broker.db", tmp_path / "copy.db")
    folder = tmp_path / "worklist"
    put(folder, "one.wl", item(case.number))
    assert broker.command("worklist", "import", str(folder)).returncode == 0
    given = Marks(data).read().counters["messages"]

    shutil.copyfile(tmp_path / "copy.db", data / "broker.db")
    with broker:
        database = open_database(None, data, migrate=False)
        with database.write() as tx:
            first_free = reserve(tx, "messages", 1) - 1
        database.close()

    assert first_free >= given
    assert any(alarm["kind"] == "database-restored" for alarm in broker.json("alarms", "list"))
