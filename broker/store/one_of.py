"""A column is one of many values: one parameter however many, so that SQL text and plan stay the same."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Connection, String, bindparam, cast, func, select
from sqlalchemy.dialects.postgresql import ARRAY


def is_any(dialect: str, column: ColumnElement[Any], name: str) -> ColumnElement[bool]:
    """`column` is one of the values bound as `name` with `many`; dialect: `Connection.dialect.name`."""
    if dialect == "postgresql":
        kind = BigInteger() if column.type.python_type is int else String()
        return column == func.any(cast(bindparam(name), ARRAY(kind)))
    values = func.json_each(bindparam(name, type_=String())).table_valued("value")
    return column.in_(select(values.c.value))


def many(tx: Connection, values: Iterable[Any]) -> Any:
    """The parameter for `is_any`: an array on PostgreSQL, JSON text on SQLite."""
    distinct = sorted(set(values))
    return distinct if tx.dialect.name == "postgresql" else json.dumps(distinct)
