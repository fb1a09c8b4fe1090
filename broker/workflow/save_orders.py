"""Write what drafts changed: every verb's apply ends here. Steps are encoded anew from their whole tree."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from broker.domain.draft import Draft
from broker.domain.matching import fold
from broker.domain.order import (
    OPEN,
    Facts,
    Forest,
    Order,
    Patient,
    RequestedProcedure,
    ScheduledStep,
    has_only_moved,
)
from broker.domain.request import Issuer, Values
from broker.domain.scheduling import MODALITY, START_DATE, START_TIME, STATION, STATUS, STEP_ID
from broker.domain.timeline import in_sequence
from broker.mapping.encode import encode, encode_moved
from broker.mapping.rows import RowSet
from broker.store.alarms import raise_alarms
from broker.store.database import Transaction
from broker.store.events import save_events
from broker.store.ids import Ids
from broker.store.issuers import ensure_issuers
from broker.store.orders import save_aliases, save_orders, save_procedures, save_steps, touch_orders
from broker.store.patients import save_patients

FOLDED_NAME_LENGTH = 200  # characters of the match column


@dataclass(frozen=True, slots=True)
class Tree:
    """A step with all that stands above it."""

    patient: Patient
    order: Order
    procedure: RequestedProcedure
    step: ScheduledStep
    study_start: str | None


def facts_of(tree: Tree) -> Facts:
    primary = tree.patient.primary
    return Facts(
        patient_id=primary.value,
        patient_issuer=primary.issuer,
        other_patient_ids=tree.patient.others,
        study_uid=tree.procedure.study_uid,
        status=tree.step.state.value,
        study_start=tree.study_start,
    )


def values_of(tree: Tree) -> Values:
    """A step's values by row key: the step's, the visit's and the patient's, and what the rules settled over them."""
    step, procedure, order = tree.step, tree.procedure, tree.order
    settled: dict[str, Any] = {
        "PatientID": tree.patient.primary.value,
        "AccessionNumber": procedure.accession.value,
        "RequestedProcedureID": procedure.requested_procedure_id,
        "StudyInstanceUID": procedure.study_uid,
        "PlacerOrderNumberImagingServiceRequest": order.placer.value if order.placer else None,
        "FillerOrderNumberImagingServiceRequest": order.filler.value if order.filler else None,
        STEP_ID: step.step_id,
        MODALITY: step.modality,
        STATION: list(step.stations) or None,
        START_DATE: step.start_at[:8] if step.start_at else None,
        START_TIME: step.start_at[8:] if step.start_at else None,
        STATUS: step.state.value,
    }
    merged = {**tree.patient.values, **order.visit, **step.values, **settled}
    return {key: value for key, value in merged.items() if value is not None}


def found_by(tree: Tree) -> Mapping[str, Any]:
    """The columns of a step that it is found by, and that stand above it in its tree."""
    name = tree.patient.values.get("PatientName", "")
    return {
        "patient_id": tree.patient.id,
        "match_patient_id": tree.patient.primary.value,
        "match_patient_name": fold(name if isinstance(name, str) else "")[:FOLDED_NAME_LENGTH],
        "match_accession": tree.procedure.accession.value,
        "match_procedure_id": tree.procedure.requested_procedure_id,
        "match_study_uid": tree.procedure.study_uid,
    }


def save_drafts(
    tx: Transaction,
    rows: RowSet,
    ids: Ids,
    drafts: Sequence[Draft],
    at: datetime,
) -> None:
    """Write the records, events, aliases and alarms of drafts that were made on one forest, in their order.

    at  by the clock; no time that is written runs behind what is known of its order (domain/timeline.py)
    """
    if not drafts:
        return
    known = drafts[0].forest.origin or Forest()
    last = _Last(drafts)
    events, latest = in_sequence((event for draft in drafts for event in draft.events), last.order, last.patient)
    issuers = set(last.issuers())
    issuer_ids = ensure_issuers(tx, ids, issuers) if issuers else {}
    save_patients(tx, ids, list(last.patients.values()), known.patients, issuer_ids, partial(latest.of_patient, at=at))
    save_orders(tx, list(last.orders.values()), set(known.orders), issuer_ids, events, at)
    save_procedures(tx, list(last.procedures.values()), set(known.procedures), issuer_ids)
    columns = partial(_columns_of, rows, last, known.steps)
    save_steps(tx, list(last.steps.values()), known.steps, columns, lambda of: latest.of_order(last.order(of), at))
    save_aliases(tx, ids, [alias for draft in drafts for alias in draft.aliases], issuer_ids)
    save_events(tx, ids, events)
    touch_orders(tx, set(known.orders), events)
    raise_alarms(tx, [alarm for draft in drafts for alarm in draft.alarms], at)


def _columns_of(
    rows: RowSet, last: _Last, known: Mapping[int, ScheduledStep], step: ScheduledStep
) -> Mapping[str, Any]:
    tree = last.tree(step)
    values, facts = values_of(tree), facts_of(tree)
    # What is finished does not follow what changes above it: it catches up when it is written again.
    if step.id not in known or known[step.id].state not in OPEN or last.is_renamed(step):
        return {**found_by(tree), "elements": encode(rows, values, facts), "rows_hash": rows.hash}
    made_by, elements = last.elements.get(step.id, ("", b""))
    if made_by == rows.hash and has_only_moved(known[step.id], step):
        return {"elements": encode_moved(rows, elements, values, facts)}
    return {"elements": encode(rows, values, facts), "rows_hash": rows.hash}


class _Last:
    """The last form of each record that drafts of one forest changed."""

    def __init__(self, drafts: Sequence[Draft]) -> None:
        self._drafts = drafts
        self.elements = drafts[0].forest.elements
        self.patients: dict[int, Patient] = {}
        self.orders: dict[int, Order] = {}
        self.procedures: dict[int, RequestedProcedure] = {}
        self.steps: dict[int, ScheduledStep] = {}
        for draft in drafts:
            self.patients.update(draft.patients.maps[0])
            self.orders.update(draft.orders.maps[0])
            self.procedures.update(draft.procedures.maps[0])
            self.steps.update(draft.steps.maps[0])

    def issuers(self) -> Iterable[Issuer]:
        for patient in self.patients.values():
            yield from (held.issuer for held in patient.identifiers)
        for order in self.orders.values():
            yield from (number.issuer for number in (order.placer, order.filler) if number)
        for procedure in self.procedures.values():
            yield procedure.accession.issuer
        for draft in self._drafts:
            yield from (alias.issuer for alias in draft.aliases)

    def is_renamed(self, step: ScheduledStep) -> bool:
        """Its procedure, order or patient is written, too: what it is found by may be another."""
        order = self.order(step.order_id)
        return step.procedure_id in self.procedures or step.order_id in self.orders or order.patient_id in self.patients

    def order(self, number: int) -> Order:
        return self.orders.get(number) or self._drafts[0].forest.orders[number]

    def patient(self, number: int) -> Patient:
        return self.patients.get(number) or self._drafts[0].forest.patients[number]

    def tree(self, step: ScheduledStep) -> Tree:
        forest = self._drafts[0].forest
        order = self.order(step.order_id)
        patient = self.patient(order.patient_id)
        procedure = self.procedures.get(step.procedure_id) or forest.procedures[step.procedure_id]
        return Tree(patient, order, procedure, step, forest.study_starts.get(procedure.id))
