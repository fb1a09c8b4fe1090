"""What a message says of its patient: taken unless it is older than what is known; open steps follow at once."""

from __future__ import annotations

from dataclasses import replace

from broker.domain import in_time
from broker.domain.case import Case, touch
from broker.domain.changes import changed_names, with_names
from broker.domain.identity import Issuers, PatientKeys, find_patient, patient_keys
from broker.domain.order import OPEN, Patient, PatientIdentifier
from broker.domain.request import Outcome, PlaceOrder, Refusal
from broker.domain.rules import Rules
from broker.domain.scheduling import merge


def update_patient(case: Case) -> None:
    """The patient's values, unless they are older than what is known; open steps are encoded anew."""
    patient = case.patient
    if patient is None:
        return
    stamps = in_time.stamps_of(case.request.message)
    if in_time.age(stamps, patient.stamps) is in_time.Age.OLDER:
        return
    said = _as_said(patient, case.request, case.keys, case.rules, case.book.issuers)
    updated = replace(said, stamps=in_time.latest(patient.stamps, stamps))
    case.draft.put(updated)
    if said != patient:
        orders = {order.id for order in case.draft.orders.values() if order.patient_id == patient.id}
        touch(case.draft, [s for s in case.draft.steps.values() if s.order_id in orders and s.state in OPEN])
        if patient.id in case.draft.forest.patients:
            _tell(case, patient, updated)


def may_change(patient: Patient, request: PlaceOrder, rules: Rules, issuers: Issuers) -> bool:
    """False when the request says nothing new of this patient, or means somebody else with the same number."""
    keys = patient_keys(request.patient, request.message.sender, rules.default_issuer, issuers)
    if isinstance(keys, Refusal) or find_patient((patient,), keys.keys, issuers) is None:
        return False
    return _as_said(patient, request, keys, rules, issuers) != patient


def _as_said(patient: Patient, request: PlaceOrder, keys: PatientKeys, rules: Rules, issuers: Issuers) -> Patient:
    """The patient with what the request says of him, whenever it was sent."""
    return replace(
        patient,
        identifiers=_identifiers(patient, keys, issuers),
        others=keys.others,
        values=merge(patient.values, request.patient.changes, type_1=rules.rows.type_1),
    )


def _tell(case: Case, before: Patient, after: Patient) -> None:
    """The lines of this message name what changed of its patient, who was known before; never the values."""
    names = changed_names(before.values, after.values)
    if before.identifiers != after.identifiers:
        names.add("PatientID")
    if before.others != after.others:
        names.add("OtherPatientIDsSequence")
    told = {"created": "created", "updated": "updated", "unchanged": "updated"}
    case.draft.events = [
        replace(with_names(event, names), kind=told[event.kind]) if event.effect and event.kind in told else event
        for event in case.draft.events
    ]
    case.ended(Outcome.UPDATED)


def _identifiers(patient: Patient, keys: PatientKeys, issuers: Issuers) -> tuple[PatientIdentifier, ...]:
    """Present identifiers by rank, else those sent now first; fuller issuers taken over; former ones stay last."""
    sent = [PatientIdentifier(key.value, key.issuer) for key in keys.keys]

    def known(held: PatientIdentifier) -> bool:
        return any(held.value == key.value and issuers.same(held.issuer, key.issuer) for key in sent)

    kept = [held for held in patient.identifiers if not held.former and not known(held)]
    fuller = []
    for key in sent:
        same = [h for h in patient.identifiers if h.value == key.value and issuers.same(h.issuer, key.issuer)]
        former = any(held.former for held in same)
        best = next((h.issuer for h in same if h.issuer.universal_id and not key.issuer.universal_id), key.issuer)
        if not former:
            fuller.append(PatientIdentifier(key.value, best))
    present = sorted([*fuller, *kept], key=lambda held: _place(issuers.rank(held.issuer)))
    return (*present, *(held for held in patient.identifiers if held.former))


def _place(rank: int | None) -> tuple[bool, int]:
    """Ranked ones first, the highest (1) before all."""
    return rank is None, rank or 0
