"""Assigning authorities as rows: each distinct one once; row 0 is "none named"."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection, insert, select

from broker.domain.request import NO_ISSUER, Issuer
from broker.store.ids import Ids
from broker.store.tables import issuers

NONE_ID = 0

_ALL = select(issuers.c.id, issuers.c.namespace, issuers.c.universal_id, issuers.c.universal_type)


def all_issuers(tx: Connection) -> dict[Issuer, int]:
    """Every known issuer with its row; a hospital has tens of them."""
    return {Issuer(row[1] or None, row[2] or None, row[3] or None): row[0] for row in tx.execute(_ALL)}


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
    if rows:
        tx.execute(insert(issuers), rows)
    return known
