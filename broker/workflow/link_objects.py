"""The orders that performed steps and images may belong to, loaded for a whole batch at once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from broker.domain.identity import Issuers
from broker.domain.linking import Linking, LinkKeys, Names
from broker.domain.order import Alarm, Forest
from broker.domain.rules import Authority
from broker.store.database import Transaction
from broker.store.forest import load_forest
from broker.store.lookup import find_orders, find_patients


@dataclass(frozen=True, slots=True)
class Candidates:
    """Trees of the orders that a batch's objects may belong to, and the names that find them."""

    forest: Forest
    names: Names
    issuers: Issuers


def load_candidates(
    tx: Transaction, keys: Sequence[LinkKeys], authorities: tuple[Authority, ...], order_ids: Iterable[int] = ()
) -> Candidates:
    """Load what the objects' names find; for objects whose names find nothing, the open orders of their patients.

    order_ids  orders that are needed besides
    """
    found = find_orders(tx, {name for one in keys for name in one.names()})
    wanted = set(order_ids).union(*(one.orders(found) for one in keys))
    lost = {one.patient_id for one in keys if one.patient_id and not one.orders(found)}
    forest = load_forest(tx, wanted, find_patients(tx, lost) if lost else ())
    return Candidates(forest, Names(forest), Issuers(frozenset(forest.issuers.values()), authorities))


def alarms_of(linking: Linking, subject: str) -> list[Alarm]:
    """What a person must be told about a link that was refused or doubted. subject: a UID, never patient data."""
    alarms = []
    if linking.other_patient is not None:
        alarms.append(Alarm("other-patient", subject, linking.other_patient, "not linked: the patient does not agree"))
    if linking.flagged is not None:
        alarms.append(
            Alarm("patient-flagged", subject, linking.flagged, "same patient identifier, other name or birth date")
        )
    return alarms
