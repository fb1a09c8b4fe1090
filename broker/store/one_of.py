"""A column is one of many values: one parameter however many, so that SQL text and plan stay the same."""

from __future__ import annotations

from collections.abc import Iterable
from json.encoder import encode_basestring_ascii
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
    if tx.dialect.name == "postgresql":
        return distinct
    return f"[{','.join(_as_json(value) for value in distinct)}]"


def _as_json(value: Any) -> str:
    # What json.dumps does, at a fraction of the price.
    return str(value) if isinstance(value, int) else encode_basestring_ascii(value)
