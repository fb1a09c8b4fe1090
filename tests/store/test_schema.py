"""The tables, the migrations and schema/current.sql say the same on both databases."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, inspect, text

from broker.store.database import Database, open_database
from broker.store.schema_files import render_schema, schema_folder
from broker.store.tables import metadata
from tests.kit.databases import Databases

TABLES = metadata.sorted_tables


def described(tx: Connection) -> dict[str, Any]:
    """Every table as the database describes it, in an order of its own."""
    seen = inspect(tx)
    return {
        name: {
            "columns": [
                (column["name"], repr(column["type"]), column["nullable"]) for column in seen.get_columns(name)
            ],
            "primary key": seen.get_pk_constraint(name)["constrained_columns"],
            "unique": sorted(
                (str(one["name"]), tuple(one["column_names"])) for one in seen.get_unique_constraints(name)
            ),
            "references": sorted(
                (str(one["name"]), one["constrained_columns"], one["referred_table"], one["referred_columns"])
                for one in seen.get_foreign_keys(name)
            ),
            "indexes": sorted(
                (str(one["name"]), one["column_names"], bool(one["unique"]), str(one.get("dialect_options")))
                for one in seen.get_indexes(name)
            ),
        }
        for name in sorted(set(seen.get_table_names()) - {"alembic_version"})
    }


def without_comments(differences: list[Any]) -> list[Any]:
    """Comments live in tables.py and current.sql only, so that a better word needs no migration."""
    flat = [one for entry in differences for one in (entry if isinstance(entry, list) else [entry])]
    return [one for one in flat if not str(one[0]).endswith("_comment")]


def test_the_migrations_make_the_tables(database: Database) -> None:
    with database.read() as tx:
        differences = compare_metadata(MigrationContext.configure(tx), metadata)

    assert without_comments(differences) == []


def test_current_sql_is_up_to_date() -> None:
    kept = (schema_folder() / "current.sql").read_text(encoding="utf-8")

    assert kept == render_schema(), "run: python -m broker.store.schema_files"


@pytest.mark.parametrize("database_kind", ["postgresql"], indirect=True)
def test_current_sql_makes_what_the_migrations_make(database: Database, databases: Databases, tmp_path: Path) -> None:
    with databases.empty_postgresql() as url:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(render_schema())
            connection.execute("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)")
            with database.read() as tx:
                revision = tx.execute(text("SELECT version_num FROM alembic_version")).scalar_one()
            connection.execute("INSERT INTO alembic_version VALUES (%s)", [revision])
        by_hand = open_database(url, tmp_path, migrate=False)

        with by_hand.read() as one, database.read() as other:
            assert described(one) == described(other)
            assert (
                one.execute(text("SELECT * FROM issuers")).all() == other.execute(text("SELECT * FROM issuers")).all()
            )
        by_hand.close()


def test_both_databases_have_the_same_tables_and_columns(databases: Databases, tmp_path: Path) -> None:
    found = []
    for kind in ("sqlite", "postgresql"):
        with databases.fresh(kind, tmp_path) as url:
            database = open_database(url, tmp_path, migrate=False)
            with database.read() as tx:
                tables = described(tx)
            found.append({name: [column[0] for column in table["columns"]] for name, table in tables.items()})
            database.close()

    assert found[0] == found[1]


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_every_table_and_column_says_what_it_is_for(table: Any) -> None:
    assert table.comment
    assert [column.name for column in table.columns if not column.comment] == []


def test_the_readme_tells_of_every_table() -> None:
    told = (schema_folder() / "README.md").read_text(encoding="utf-8")

    assert [table.name for table in TABLES if f"`{table.name}`" not in told] == []


def test_the_issuer_of_identifiers_without_issuer_is_there(database: Database) -> None:
    with database.read() as tx:
        row = tx.execute(text("SELECT * FROM issuers")).one()

    assert tuple(row) == (0, "", "", "")
