"""The kinds of columns the tables are made of, alike on every database."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Text,
    TypeDecorator,
    text,
)
from sqlalchemy.types import TypeEngine

LISTED_STEPS = "listed"
"""Steps that the worklist shows by default. SQLite uses a partial index only when its condition stands literally in the
query, so this very text stands in both. A column of its own, so that a step that starts stays where it is in these."""


def conventions() -> MetaData:
    """Empty metadata in which constraints and indexes get the same names on every database."""
    return MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


@lru_cache(maxsize=64)
def _as_text(instant: datetime) -> str:
    # One request writes the same instant into many rows.
    return instant.astimezone(UTC).isoformat(timespec="microseconds")[:-6] + "Z"


class Instant(TypeDecorator[datetime]):
    """A UTC instant kept as text: 2026-03-02T09:15:00.000000Z."""

    impl = String(27)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(label(27))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> str | None:
        return None if value is None else _as_text(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> datetime | None:
        return None if value is None else datetime.fromisoformat(value)


_EMPTY: Mapping[str, type[Any]] = {"{}": dict, "[]": list}
_of_json = json.JSONDecoder().raw_decode
_as_json = json.JSONEncoder(ensure_ascii=False, sort_keys=True).encode


class Json(TypeDecorator[Any]):
    """A JSON value kept as text, keys sorted."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        return None if value is None else _as_json(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        return None if value is None else _EMPTY[value]() if value in _EMPTY else _of_json(value)[0]


def label(length: int) -> TypeEngine[str]:
    """Text of limited length that may be indexed; it sorts by its code points."""
    return String(length).with_variant(String(length, collation="C"), "postgresql")


def own_id() -> Column[int]:
    """Surrogate key; its numbers come from blocks (id_blocks), so it never counts by itself."""
    kind = BigInteger().with_variant(Integer, "sqlite")
    return Column("id", kind, primary_key=True, autoincrement=False, comment="our own number")


def reference(name: str, target: str, *, comment: str, nullable: bool = False, index: bool = False) -> Column[int]:
    """The number of a row of another table, "table.column"."""
    kind = BigInteger().with_variant(Integer, "sqlite")
    return Column(name, kind, ForeignKey(target), nullable=nullable, index=index, comment=comment)


def listed_index(name: str, *columns: str) -> Index:
    """An index of the listed steps only: finished ones, soon nearly all there are, cost it nothing."""
    condition = text(LISTED_STEPS)
    return Index(name, *columns, sqlite_where=condition, postgresql_where=condition)
