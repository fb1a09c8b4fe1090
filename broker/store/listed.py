"""What the worklist lists by default, in the words of SQL: one text for the indexes and for the query."""

from __future__ import annotations

from sqlalchemy import Index, text

LISTED_STEPS = "held IS NULL AND state NOT IN ('CANCELED', 'COMPLETED', 'DEPARTED', 'DISCONTINUED')"
"""Steps that the worklist shows by default. SQLite uses a partial index only when its condition stands literally in the
query, so this very text stands in both; and as NOT IN, so that no index that begins with the state looks better."""


def listed_index(name: str, *columns: str) -> Index:
    """An index of the listed steps alone: it stays small however many steps are finished."""
    condition = text(LISTED_STEPS)
    return Index(name, *columns, sqlite_where=condition, postgresql_where=condition)
