"""Rows and files of objects against each other: which file has a row, which rows there are, which numbers are free."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Select, select

from broker.store.ids import raise_to
from broker.store.one_of import is_any, many
from broker.store.studies import Place
from broker.store.tables import instance_conflicts, instances, series, studies

TABLES = (instances, instance_conflicts)


@dataclass(frozen=True, slots=True)
class StoredObject:
    """A row of a stored object, or of one that was kept aside. length: of its file, in bytes"""

    number: int
    store: str
    path: str
    length: int
    study_uid: str
    accession_number: str
    order_id: int | None


def places_of(tx: Connection, numbers: Iterable[int]) -> dict[int, list[tuple[str, Place]]]:
    """What rows with these numbers name, as stored objects or kept aside: digest and place; two statements."""
    found: dict[int, list[tuple[str, Place]]] = defaultdict(list)
    wanted = many(tx, numbers)
    for table in TABLES:
        of = table.c
        query = select(of.id, of.digest, of.store, of.path, of.offset, of.length)
        for number, digest, *place in tx.execute(query.where(is_any(tx.dialect.name, of.id, "ids")), {"ids": wanted}):
            found[number].append((digest, Place(*place)))
    return found


def stored_objects(tx: Connection, stores: Sequence[str], aside: bool, after: int, limit: int) -> list[StoredObject]:
    """Rows whose files are in one of these stores, by number from `after` on, at most `limit`.

    aside  of the objects that were kept aside
    """
    table = instance_conflicts if aside else instances
    query: Select[Any] = select(
        table.c.id, table.c.store, table.c.path, table.c.length, studies.c.study_uid, studies.c.accession_number,
        instances.c.order_id,
    ).select_from(instances)  # fmt: skip
    if aside:
        query = query.join(instance_conflicts, instance_conflicts.c.instance_id == instances.c.id)
    query = query.join(series, series.c.id == instances.c.series_id).join(studies, studies.c.id == series.c.study_id)
    query = query.where(table.c.id > after, table.c.store.in_(stores)).order_by(table.c.id).limit(limit)
    return [StoredObject(*row) for row in tx.execute(query)]


def other_stores(tx: Connection, stores: Sequence[str]) -> bool:
    """Whether an object is in any other store than these."""
    query = select(instances.c.id).where(instances.c.store.not_in(stores)).limit(1)
    return tx.execute(query).first() is not None


def pass_number(tx: Connection, highest: int) -> int:
    """Give no number of an object up to `highest` from now on; returns the lowest one that is still free."""
    return raise_to(tx, instances.name, highest + 1)
