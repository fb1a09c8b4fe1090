"""Assigning authorities as rows: each distinct one once; row 0 is "none named"."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection, Select, select

from broker.domain.request import NO_ISSUER, Issuer
from broker.store.ids import Ids
from broker.store.prepared import add, prepared
from broker.store.tables import issuers

NONE_ID = 0


@prepared
def _all(_dialect: str) -> Select[Any]:
    return select(issuers.c.id, issuers.c.namespace, issuers.c.universal_id, issuers.c.universal_type)


def all_issuers(tx: Connection) -> dict[Issuer, int]:
    """Every known issuer with its row; a hospital has tens of them."""
    return {Issuer(row[1] or None, row[2] or None, row[3] or None): row[0] for row in _all.rows(tx)}


def ensure_issuers(tx: Connection, ids: Ids, wanted: Iterable[Issuer]) -> dict[Issuer, int]:
    """The rows of the issuers, new ones added."""
    known = all_issuers(tx)
    missing = sorted({NO_ISSUER, *wanted} - known.keys(), key=lambda i: (i.namespace or "", i.universal_id or ""))
    rows = []
    for issuer in missing:
        known[issuer] = NONE_ID if issuer == NO_ISSUER else ids.next("issuers")
        rows.append(
            {
                "id": known[issuer],
                "namespace": issuer.namespace or "",
                "universal_id": issuer.universal_id or "",
                "universal_type": issuer.universal_type or "",
            }
        )
    add(tx, issuers, rows)
    return known
