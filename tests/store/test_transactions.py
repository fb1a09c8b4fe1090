"""One transaction, whoever asks in it: SQLAlchemy and prepared statements write together, or not at all."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy import Connection, insert, select
from sqlalchemy.exc import IntegrityError

from broker.store.database import Database
from broker.store.prepared import add
from broker.store.tables import id_blocks

NAMES = select(id_blocks.c.name).order_by(id_blocks.c.next)
Way = Callable[[Connection, str, int], object]


def by_sqlalchemy(tx: Connection, name: str, number: int) -> None:
    tx.execute(insert(id_blocks), {"name": name, "next": number})


def by_driver(tx: Connection, name: str, number: int) -> None:
    add(tx, id_blocks, [{"name": name, "next": number}])


in_any_order = pytest.mark.parametrize(
    "ways",
    [(by_sqlalchemy, by_driver), (by_driver, by_sqlalchemy), (by_driver, by_driver), (by_sqlalchemy, by_sqlalchemy)],
    ids=lambda ways: " then ".join(way.__name__[3:] for way in ways),
)


def names(database: Database) -> list[str]:
    with database.read() as tx:
        return list(tx.execute(NAMES).scalars())


def write_one_name(database: Database, ways: tuple[Way, ...]) -> None:
    """The second of them fails."""
    with database.write() as tx:
        for number, way in enumerate(ways):
            way(tx, "taken", number)


@in_any_order
def test_what_both_write_is_committed_together(database: Database, ways: tuple[Way, ...]) -> None:
    with database.write() as tx:
        for number, way in enumerate(ways):
            way(tx, f"n{number}", number)
        before = names(database)

    assert (before, names(database)) == ([], ["n0", "n1"])


@in_any_order
@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_exception_takes_back_what_both_have_written(
    database: Database, ways: tuple[Way, ...], error: type[BaseException]
) -> None:
    def write_and_fail() -> None:
        with database.write() as tx:
            for number, way in enumerate(ways):
                way(tx, f"n{number}", number)
            raise error

    with pytest.raises(error):
        write_and_fail()

    assert names(database) == []


@in_any_order
def test_a_statement_that_fails_takes_the_ones_before_it_back(database: Database, ways: tuple[Way, ...]) -> None:
    with pytest.raises(IntegrityError):
        write_one_name(database, ways)

    assert names(database) == []


@in_any_order
def test_the_transaction_after_one_that_failed_is_a_fresh_one(database: Database, ways: tuple[Way, ...]) -> None:
    with pytest.raises(IntegrityError):
        write_one_name(database, ways)

    with database.write() as tx:
        seen = list(tx.execute(NAMES).scalars())
        for number, way in enumerate(ways):
            way(tx, f"n{number}", number)

    assert (seen, names(database)) == ([], ["n0", "n1"])


def test_a_transaction_that_only_reads_leaves_nothing_open(database: Database) -> None:
    for _ in range(2):
        with database.write() as tx:
            tx.execute(NAMES).all()

    with database.write() as tx:
        by_driver(tx, "n0", 0)
    assert names(database) == ["n0"]


@pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
def test_a_commit_that_is_refused_takes_everything_back(database: Database) -> None:
    def write_what_points_nowhere() -> None:
        with database.write() as tx:
            tx.exec_driver_sql("PRAGMA defer_foreign_keys=ON")
            by_driver(tx, "lost", 0)
            tx.exec_driver_sql("INSERT INTO scheduled_stations (step_id, ae_title, position) VALUES (1, 'CT1', 0)")

    with pytest.raises(IntegrityError):
        write_what_points_nowhere()

    with database.write() as tx:
        by_driver(tx, "n0", 0)
    assert names(database) == ["n0"]
