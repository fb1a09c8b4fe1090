"""Ctrl-C inside a statement, as in a long migration: SQLAlchemy closes the connection, and nothing hides why."""

from __future__ import annotations

import pytest
from sqlalchemy import event, text

from broker.store.ids import reserve


def interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def interrupted(database):
    with database.write() as tx:
        tx.connection.driver_connection.execute("UPDATE id_blocks SET next = 900 WHERE name = 'probe'")
        tx.execute(text("SELECT 1"))


def test_an_interrupted_transaction_is_undone_and_the_next_one_works(database):
    with database.write() as tx:
        before = reserve(tx, "probe", 1)

    event.listen(database.backend.writers, "before_cursor_execute", interrupt)
    with pytest.raises(KeyboardInterrupt):
        interrupted(database)
    event.remove(database.backend.writers, "before_cursor_execute", interrupt)

    with database.write() as tx:
        assert reserve(tx, "probe", 1) == before + 1
