"""Statements that the driver runs itself: values, rows and errors are those that SQLAlchemy would have given."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import (
    Boolean,
    Column,
    Connection,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    bindparam,
    create_engine,
    delete,
    insert,
    literal,
    select,
    update,
)
from sqlalchemy.exc import DBAPIError, OperationalError

from broker.store.columns import Instant, Json
from broker.store.database import Database, open_database
from broker.store.dialects import Fault, fault_of
from broker.store.prepared import Prepared, add, prepared, write
from broker.store.tables import id_blocks
from tests.kit.databases import KINDS, Databases

KINDS_OF_VALUES = Table(
    "kinds_of_values",
    MetaData(),
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("name", String(40)),
    Column("at", Instant),
    Column("values", Json),
    Column("sure", Boolean),
    Column("raw", LargeBinary),
    prefixes=["TEMPORARY"],
)
KINDS_OF = KINDS_OF_VALUES.c
NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
NOTHING: dict[str, Any] = dict.fromkeys(KINDS_OF.keys())

VALUES = [
    {"name": "Müller 山田 \U0010ffff '%s' :name %(name)s ?"},
    {"name": ""},
    {"at": NOON},
    {"at": NOON + timedelta(microseconds=7)},
    {"at": datetime(2026, 3, 2, 14, 0, tzinfo=timezone(timedelta(hours=2)))},
    {"values": {}},
    {"values": []},
    {"values": ""},
    {"values": 0},
    {"values": False},
    {"values": {"b": [1, {"a": None}], "a": {"é": "ü", "": []}}},
    {"values": [[], {}, [[]]]},
    {"sure": True},
    {"sure": False},
    {"raw": b""},
    {"raw": bytes(range(256))},
    {},
]

ALL = select(KINDS_OF_VALUES).order_by(KINDS_OF.id)
COUNTER = insert(id_blocks)
UPDATE = update(KINDS_OF_VALUES).where(KINDS_OF.id == bindparam("of_id"))
DELETE = delete(KINDS_OF_VALUES).where(KINDS_OF.id == bindparam("of_id"))
Way = Callable[[Connection, Sequence[dict[str, Any]]], object]


@prepared
def _all(kind: str) -> Any:
    return ALL


@prepared
def _called(kind: str) -> Any:
    return select(KINDS_OF.id, KINDS_OF.name).where(KINDS_OF.name == bindparam("name")).order_by(KINDS_OF.id)


def by_driver(tx: Connection, rows: Sequence[dict[str, Any]]) -> None:
    write(tx, COUNTER, rows)


def by_sqlalchemy(tx: Connection, rows: Sequence[dict[str, Any]]) -> None:
    tx.execute(COUNTER, list(rows))


def row(number: int, **values: Any) -> dict[str, Any]:
    return {**NOTHING, "id": number, **values}


def names(tx: Connection) -> list[str | None]:
    return [found.name for found in _all.rows(tx)]


@pytest.fixture
def tx(database: Database) -> Iterator[Connection]:
    """A transaction, and in it the table of all kinds of values, empty."""
    with database.write() as tx:
        KINDS_OF_VALUES.create(tx)
        yield tx
        KINDS_OF_VALUES.drop(tx)


def test_each_kind_of_value_is_written_as_sqlalchemy_would(tx: Connection) -> None:
    for number, given in enumerate(VALUES):
        add(tx, KINDS_OF_VALUES, [row(number, **given)])
        tx.execute(insert(KINDS_OF_VALUES), row(number + len(VALUES), **given))

    kept = 'SELECT name, at, "values", sure, raw FROM kinds_of_values ORDER BY id'
    rows = [tuple(found) for found in tx.exec_driver_sql(kept)]

    assert rows[: len(VALUES)] == rows[len(VALUES) :]


def test_each_kind_of_value_is_read_as_sqlalchemy_would(tx: Connection) -> None:
    given = [row(number, **values) for number, values in enumerate(VALUES)]
    tx.execute(insert(KINDS_OF_VALUES), given)

    ours, theirs = _all.rows(tx), tx.execute(ALL).all()

    assert [found._asdict() for found in ours] == [dict(found._mapping) for found in theirs] == given
    assert [list(map(type, found)) for found in ours] == [list(map(type, found)) for found in theirs]


def test_what_json_reads_belongs_to_its_reader(tx: Connection) -> None:
    add(tx, KINDS_OF_VALUES, [row(1, values={}), row(2, values={})])

    first, second = _all.rows(tx)
    first.values["new"] = 1

    assert second.values == {}
    assert _all.rows(tx)[0].values == {}


def test_a_row_has_its_values_by_name_and_by_place(tx: Connection) -> None:
    add(tx, KINDS_OF_VALUES, [row(7, name="ann")])

    (found,) = _called.rows(tx, {"name": "ann"})

    assert (found.id, found.name) == (found[0], found[1]) == (7, "ann")
    assert _called.scalars(tx, {"name": "ann"}) == [7]
    assert _called.rows(tx, {"name": "nobody"}) == []


def test_a_constant_of_a_query_is_converted_too(tx: Connection) -> None:
    @prepared
    def at_noon(kind: str) -> Any:
        return (
            select(KINDS_OF.id, literal("50%").label("share"))
            .where(
                KINDS_OF.at == NOON, KINDS_OF.sure.is_(True), KINDS_OF["values"] == {"a": 1}, KINDS_OF.name.like("a%")
            )
            .limit(1)
        )

    rows = [row(number, name="ann", at=NOON, sure=True, values={"a": 1}) for number in (1, 2)]
    add(tx, KINDS_OF_VALUES, [*rows, row(3, name="bob", at=NOON, sure=True, values={"a": 1})])

    (found,) = at_noon.rows(tx)

    assert (found.id in (1, 2), found.share) == (True, "50%")


def test_a_constant_of_an_update_is_written(tx: Connection) -> None:
    add(tx, KINDS_OF_VALUES, [row(1, name="ann"), row(2, name="bob")])
    at_noon = UPDATE.values(at=NOON, sure=True)

    write(tx, at_noon, [{"of_id": 2, "name": "rob"}])

    assert [(found.name, found.at, found.sure) for found in _all.rows(tx)] == [
        ("ann", None, None), ("rob", NOON, True),
    ]  # fmt: skip


def test_a_parameter_that_stands_twice_is_given_once(tx: Connection) -> None:
    @prepared
    def known_by(kind: str) -> Any:
        asked = bindparam("asked", type_=String())
        return select(KINDS_OF.id).where((KINDS_OF.name == asked) | (KINDS_OF.name == "is " + asked))

    add(tx, KINDS_OF_VALUES, [row(1, name="ann"), row(2, name="is ann"), row(3, name="bob")])

    assert sorted(known_by.scalars(tx, {"asked": "ann"})) == [1, 2]


@pytest.mark.parametrize("count", [0, 1, 2, 700])
def test_any_number_of_rows_is_added_changed_and_deleted(tx: Connection, count: int) -> None:
    add(tx, KINDS_OF_VALUES, [row(number, name=f"n{number}") for number in range(count)])
    added = names(tx)
    write(tx, UPDATE, [{"of_id": number, "name": f"m{number}"} for number in range(count)])
    changed = names(tx)
    write(tx, DELETE, [{"of_id": number} for number in range(1, count)])

    assert added == [f"n{number}" for number in range(count)]
    assert changed == [f"m{number}" for number in range(count)]
    assert names(tx) == changed[:1]


def test_an_update_changes_the_columns_that_its_rows_name(tx: Connection) -> None:
    add(tx, KINDS_OF_VALUES, [row(1, name="ann", sure=True), row(2, name="bob", sure=True)])

    write(tx, UPDATE, [{"of_id": 1, "name": "anna"}])
    write(tx, UPDATE, [{"of_id": 1, "sure": False}, {"sure": None, "of_id": 2}])
    write(tx, UPDATE, [{"of_id": 2, "name": None, "values": {"a": 1}}])

    assert [(found.name, found.sure, found.values) for found in _all.rows(tx)] == [
        ("anna", False, None), (None, None, {"a": 1}),
    ]  # fmt: skip


def test_one_query_serves_both_databases_of_a_process(databases: Databases, tmp_path: Path) -> None:
    made: list[str] = []

    @prepared
    def counters(kind: str) -> Any:
        made.append(kind)
        return select(id_blocks.c.next, literal(kind).label("kind")).where(id_blocks.c.name == bindparam("name"))

    def asked(database: Database) -> tuple[int, str]:
        with database.write() as tx:
            if not counters.rows(tx, {"name": "x"}):
                add(tx, id_blocks, [{"name": "x", "next": 7}])
            (found,) = counters.rows(tx, {"name": "x"})
            return found.next, found.kind

    with databases.fresh(KINDS[0], tmp_path) as one, databases.fresh(KINDS[1], tmp_path) as other:
        opened = [open_database(url, tmp_path, migrate=False) for url in (one, other)]
        seen = [asked(database) for database in [*opened, *opened]]
        for database in opened:
            database.close()

    assert seen == [(7, kind) for kind in KINDS] * 2
    assert made == list(KINDS)


def error_of(database: Database, way: Way, rows: Sequence[dict[str, Any]]) -> DBAPIError:
    with pytest.raises(DBAPIError) as caught, database.write() as tx:
        way(tx, rows)
    return caught.value


def same(one: DBAPIError, other: DBAPIError) -> bool:
    facts = [
        (type(error), type(error.orig), error.connection_invalidated, error.hide_parameters, fault_of(error))
        for error in (one, other)
    ]
    return facts[0] == facts[1]


@pytest.mark.parametrize(
    "rows",
    [
        [{"name": "PAT-4711", "next": 99_999_977}],
        [{"name": "new", "next": 99_999_977}, {"name": "PAT-4711", "next": 99_999_977}],
        [{"name": "new", "next": None}],
    ],
    ids=["one row", "many rows", "an empty value"],
)
def test_a_violation_is_the_same_error_and_shows_no_parameters(
    database: Database, database_kind: str, rows: list[dict[str, Any]]
) -> None:
    with database.write() as tx:
        add(tx, id_blocks, [{"name": "PAT-4711", "next": 1}])

    ours, theirs = (error_of(database, way, rows) for way in (by_driver, by_sqlalchemy))

    assert same(ours, theirs)
    assert (ours.params, ours.statement) == (None, None)
    assert "99999977" not in str(ours) or "DETAIL" in str(theirs)  # what PostgreSQL tells itself stays, as always
    with database.write() as tx:
        assert tx.execute(select(id_blocks.c.next)).scalars().all() == [1]


def test_a_text_that_is_too_long_or_holds_a_nul_is_taken_or_refused_alike(database: Database) -> None:
    for text in ("A\0B", "\0", "x" * 5_000_000):
        ended = []
        for way in (by_driver, by_sqlalchemy):
            try:
                with database.write() as tx:
                    way(tx, [{"name": text, "next": 1}])
                    ended.append(tx.execute(select(id_blocks.c.name)).scalar_one() == text)
                    tx.execute(delete(id_blocks))
            except DBAPIError as error:
                ended.append((type(error), fault_of(error)))

        assert ended[0] == ended[1] != False  # noqa: E712 - an error is neither


def test_a_broken_character_is_no_failure_of_the_database(database: Database) -> None:
    for way in (by_driver, by_sqlalchemy):
        with pytest.raises(UnicodeEncodeError), database.write() as tx:
            way(tx, [{"name": "\ud800", "next": 1}])

    with database.write() as tx:
        by_driver(tx, [{"name": "good", "next": 1}])


@pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
def test_a_locked_file_is_the_same_error(database: Database, database_url: str, tmp_path: Path) -> None:
    engine = create_engine(database_url, connect_args={"timeout": 0}, hide_parameters=True)
    errors = []

    with closing(sqlite3.connect(tmp_path / "broker.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        for way in (by_driver, by_sqlalchemy):
            with pytest.raises(OperationalError) as caught, engine.connect() as tx:
                way(tx, [{"name": "PAT-4711", "next": 1}])
            errors.append(caught.value)
    engine.dispose()

    assert same(*errors)
    assert fault_of(errors[0])[0] is Fault.UNAVAILABLE
    assert "4711" not in str(errors[0])


@pytest.mark.parametrize("database_kind", ["postgresql"], indirect=True)
def test_a_row_that_another_transaction_holds_is_the_same_error(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    hasty = open_database(database_url, tmp_path, migrate=False, lock_seconds=0.1)
    errors = []

    with database.write() as tx:
        by_driver(tx, [{"name": "PAT-4711", "next": 1}])
        for way in (by_driver, by_sqlalchemy):
            with pytest.raises(OperationalError) as caught, hasty.backend.writers.connect() as other:
                way(other, [{"name": "PAT-4711", "next": 1}])
            errors.append(caught.value)
    hasty.close()

    assert same(*errors)
    assert fault_of(errors[0])[0] is Fault.UNAVAILABLE


def test_a_connection_that_is_closed_is_the_same_error(database: Database) -> None:
    def asked_by_driver(tx: Connection) -> None:
        Prepared(lambda kind: select(id_blocks.c.name)).rows(tx)

    ways = [
        asked_by_driver,
        lambda tx: tx.execute(select(id_blocks.c.name)),
        lambda tx: by_driver(tx, [{"name": "a", "next": 1}]),
        lambda tx: by_driver(tx, [{"name": "a", "next": 1}, {"name": "b", "next": 1}]),
    ]
    errors = []

    for way in ways:
        tx = database.backend.writers.connect()
        driver: Any = tx.connection.driver_connection
        driver.close()
        with pytest.raises(DBAPIError) as caught:
            way(tx)
        errors.append(caught.value)
        tx.invalidate()
        tx.close()

    assert all(same(errors[0], error) for error in errors)
    assert errors[0].connection_invalidated


@pytest.mark.parametrize("database_kind", ["postgresql"], indirect=True)
def test_a_connection_that_the_server_has_cut_is_the_same_error(
    database: Database, database_url: str, databases: Databases
) -> None:
    errors = []

    for way in (by_driver, by_sqlalchemy):
        tx = database.backend.writers.connect()
        by_driver(tx, [{"name": "a", "next": 1}])
        databases.cut_connections(database_url)
        with pytest.raises(DBAPIError) as caught:
            way(tx, [{"name": "b", "next": 1}])
        errors.append(caught.value)
        tx.invalidate()
        tx.close()

    assert same(*errors)
    assert fault_of(errors[0])[0] is Fault.UNAVAILABLE
