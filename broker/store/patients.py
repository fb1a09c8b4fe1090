"""Patients and their identifiers: loaded by id, written in bulk."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, bindparam, delete, select, update

from broker.domain.order import Patient, PatientIdentifier
from broker.domain.request import Identifier, Issuer
from broker.store.ids import Ids
from broker.store.one_of import is_any, many
from broker.store.prepared import add, prepared, write
from broker.store.tables import issuers, patient_identifiers, patients


def load_patients(tx: Connection, patient_ids: Iterable[int]) -> dict[int, Patient]:
    """Patients by id, with all their identifiers: the primary one first, former ones last."""
    wanted = set(patient_ids)
    if not wanted:
        return {}
    rows: dict[int, Any] = {}
    held: dict[int, list[PatientIdentifier]] = defaultdict(list)
    for row in _trees.rows(tx, {"ids": many(tx, wanted)}):
        rows[row.id] = row
        issuer = Issuer(row.namespace or None, row.universal_id or None, row.universal_type or None)
        held[row.id].append(PatientIdentifier(row.value, issuer, row.former))
    return {
        number: Patient(
            number,
            tuple(held[number]),
            tuple(Identifier(value, Issuer(*issuer)) for value, *issuer in row.others),
            row.values_,
            row.stamps,
            row.updated_at,
        )
        for number, row in rows.items()
    }


@prepared
def _trees(dialect: str) -> Select[Any]:
    held = patient_identifiers.c
    return (
        select(
            patients.c.id,
            patients.c["values"].label("values_"),
            patients.c.others,
            patients.c.stamps,
            patients.c.updated_at,
            held.value,
            held.former,
            issuers.c.namespace,
            issuers.c.universal_id,
            issuers.c.universal_type,
        )
        .join(patient_identifiers, held.patient_id == patients.c.id)
        .join(issuers, issuers.c.id == held.issuer_id)
        .where(is_any(dialect, patients.c.id, "ids"))
        .order_by(patients.c.id, held.former, held.position, held.id)
    )


_UPDATE = update(patients).where(patients.c.id == bindparam("of_id"))
_FORGET = delete(patient_identifiers).where(patient_identifiers.c.patient_id == bindparam("of_id"))


def save_patients(
    tx: Connection,
    ids: Ids,
    changed: Sequence[Patient],
    known: Mapping[int, Patient],
    issuer_ids: Mapping[Issuer, int],
    time_of: Callable[[Patient], datetime],
) -> None:
    """Write patients; `known` are those that have a row, as they were. time_of: when they were heard of."""
    new = [patient for patient in changed if patient.id not in known]
    old = [patient for patient in changed if patient.id in known]
    add(tx, patients, [{"id": p.id, "created_at": time_of(p), **_columns(p, time_of(p))} for p in new])
    write(tx, _UPDATE, [{"of_id": p.id, **_columns(p, time_of(p))} for p in old])
    renamed = [p for p in old if p.identifiers != known[p.id].identifiers]
    write(tx, _FORGET, [{"of_id": p.id} for p in renamed])
    rows = [
        {
            "id": ids.next("patient_identifiers"),
            "patient_id": patient.id,
            "value": held.value,
            "issuer_id": issuer_ids[held.issuer],
            "position": position,
            "former": held.former,
        }
        for patient in (*new, *renamed)
        for position, held in enumerate(patient.identifiers)
    ]
    add(tx, patient_identifiers, rows)


def _columns(patient: Patient, at: datetime) -> dict[str, Any]:
    return {
        "values": patient.values,
        "others": [
            [i.value, i.issuer.namespace, i.issuer.universal_id, i.issuer.universal_type] for i in patient.others
        ],
        "stamps": patient.stamps,
        "updated_at": at,
    }
