"""Names to orders, identifiers to patients: what a request names, found by text; issuers are compared in the domain."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from functools import cache
from typing import Any

from sqlalchemy import CompoundSelect, Connection, Select, literal, select, union_all

from broker.domain.order import AliasKind
from broker.store.one_of import is_any, many
from broker.store.prepared import Prepared, prepared
from broker.store.tables import aliases, orders, patient_identifiers, requested_procedures, scheduled_steps

Name = tuple[AliasKind, str]

_COLUMNS = {
    AliasKind.PLACER: (orders.c.placer_number, orders.c.id),
    AliasKind.FILLER: (orders.c.filler_number, orders.c.id),
    AliasKind.ACCESSION: (requested_procedures.c.accession_number, requested_procedures.c.order_id),
    AliasKind.STUDY_UID: (requested_procedures.c.study_uid, requested_procedures.c.order_id),
    AliasKind.PROCEDURE_ID: (requested_procedures.c.requested_procedure_id, requested_procedures.c.order_id),
    AliasKind.STEP_ID: (scheduled_steps.c.step_id, scheduled_steps.c.order_id),
}


def find_orders(tx: Connection, names: Iterable[Name]) -> dict[Name, set[int]]:
    """Ids of the orders that carry a name, now or as an alias; names that nobody carries are absent."""
    wanted = set(names)
    if not wanted:
        return {}
    values: dict[AliasKind, list[str]] = defaultdict(list)
    for kind, value in wanted:
        values[kind].append(value)
    parameters = {kind.value: many(tx, of_kind) for kind, of_kind in values.items()}
    parameters["any"] = many(tx, (value for _, value in wanted))
    found: dict[Name, set[int]] = defaultdict(set)
    for kind_text, value, order_id in _orders_named(frozenset(values)).rows(tx, parameters):
        if (name := (AliasKind(kind_text), value)) in wanted:
            found[name].add(order_id)
    return dict(found)


@cache
def _orders_named(kinds: frozenset[AliasKind]) -> Prepared:
    """One UNION over these kinds of names and the aliases; senders of one sort always name the same kinds."""

    def make(dialect: str) -> CompoundSelect[Any]:
        parts: list[Select[Any]] = [
            select(literal(kind.value), column, order_id).where(is_any(dialect, column, kind.value))
            for kind, (column, order_id) in _COLUMNS.items()
            if kind in kinds
        ]
        parts.append(
            select(aliases.c.kind, aliases.c.value, aliases.c.order_id).where(is_any(dialect, aliases.c.value, "any"))
        )
        return union_all(*parts)

    return Prepared(make)


def find_patients(tx: Connection, values: Iterable[str]) -> set[int]:
    """Ids of the patients who carry one of these numbers, of whatever issuer, now or formerly."""
    return set(_patients_named.scalars(tx, {"values": many(tx, values)}))


@prepared
def _patients_named(dialect: str) -> Select[Any]:
    held = patient_identifiers.c
    return select(held.patient_id).where(is_any(dialect, held.value, "values"))
