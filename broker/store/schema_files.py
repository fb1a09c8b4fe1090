"""The folder `schema/`: where it lies, and the text of its `current.sql`, which is made from the tables."""

from __future__ import annotations

import sys
from pathlib import Path

from sqlalchemy import Dialect, Table, make_url
from sqlalchemy.schema import CreateIndex, CreateTable

import broker
from broker.errors import SettingsError
from broker.store.tables import metadata

_HEAD = """\
-- The whole database as one file, in PostgreSQL's words. SQLite has the same tables and columns.
-- Made from broker/store/tables.py by `python -m broker.store.schema_files`; do not edit.
-- What each table is for, and how states change, is told in README.md beside this file.
--
-- Instants are UTC text (2026-03-02T09:15:00.000000Z), scheduled times are DICOM text (YYYYMMDDHHMMSS),
-- JSON is text. The numbers of rows come from id_blocks.
"""
_ROWS = """\
-- The issuer of identifiers whose sender names none.
INSERT INTO issuers (id, namespace, universal_id, universal_type) VALUES (0, '', '', '');
"""


def schema_folder() -> Path:
    """The folder with `current.sql` and `migrations/`: inside the package in a wheel, beside it in a checkout.

    raises  SettingsError when the installation lacks it
    """
    package = Path(broker.__file__).resolve().parent
    for folder in (package / "_schema", package.parent / "schema"):
        if (folder / "migrations" / "env.py").is_file():
            return folder
    raise SettingsError("this installation lacks its folder schema/; install it again", package=str(package))


def render_schema() -> str:
    """The text of `current.sql`: every table with its indexes, each table and column with its comment."""
    dialect = make_url("postgresql+psycopg://").get_dialect()()
    return "\n".join([_HEAD, *(_table(table, dialect) for table in metadata.sorted_tables), _ROWS])


def _table(table: Table, dialect: Dialect) -> str:
    statement = str(CreateTable(table).compile(dialect=dialect)).strip()
    comments = {column.name: column.comment for column in table.columns}
    lines = [_commented(line.replace("\t", "    ").rstrip(), comments) for line in statement.splitlines()]
    indexes = sorted(table.indexes, key=lambda index: str(index.name))
    made = [str(CreateIndex(index).compile(dialect=dialect)) + ";" for index in indexes]
    return "\n".join([f"-- {table.comment}", *lines[:-1], lines[-1] + ";", *made, ""])


def _commented(line: str, comments: dict[str, str | None]) -> str:
    name = line.split()[0].strip('"') if line.startswith("    ") else ""
    comment = comments.get(name)
    return f"{line}  -- {comment}" if comment else line


def _main() -> None:
    target = schema_folder() / "current.sql"
    target.write_text(render_schema(), encoding="utf-8")
    sys.stdout.write(f"written: {target}\n")


if __name__ == "__main__":
    _main()
