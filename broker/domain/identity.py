"""Who is who: when two issuers, two patients, two orders, two procedures or two steps are the same.

The law of this file:
- A patient is identifier + issuer. Issuers are the same when both universal ids are equal; where one has none, when the
  namespaces are equal and only one known issuer has that namespace; else only by the profile's table.
- The same number of another domain is never searched for.
- An order is filler number, else placer number, within the sender's group; neither sent: the accession number.
- A requested procedure is order + its id, else Study Instance UID; a scheduled step is procedure + its id.
- Values that we generated yield to the sender's own; the old ones stay as aliases.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from broker.domain.draft import Draft
from broker.domain.order import (
    OPEN,
    AliasKind,
    Order,
    Patient,
    RequestedProcedure,
    ScheduledStep,
)
from broker.domain.request import NO_ISSUER, Cause, Identifier, Issuer, OrderRequest, PatientRequest, Refusal, Sender
from broker.domain.rules import Authority


@dataclass(frozen=True, slots=True)
class Issuers:
    """All issuers that are known: those seen before and those of the profile."""

    known: frozenset[Issuer]
    authorities: tuple[Authority, ...] = ()
    _by_namespace: dict[str, frozenset[str]] = field(default_factory=dict, init=False, compare=False, repr=False)

    def canonical(self, issuer: Issuer) -> Issuer:
        """The profile's own form of an issuer it names under another one; else the issuer itself."""
        for authority in self.authorities:
            if any(_written_alike(issuer, form) for form in (authority.issuer, *authority.also)):
                return authority.issuer
        return issuer

    def rank(self, issuer: Issuer) -> int | None:
        """The profile's rank of an issuer; None when it ranks none or does not know it."""
        for authority in self.authorities:
            if authority.rank is not None and self.same(authority.issuer, issuer):
                return authority.rank
        return None

    def named(self, namespace: str) -> frozenset[str]:
        """The universal ids of known issuers with this namespace."""
        if not self._by_namespace:
            found: dict[str, set[str]] = {"": set()}
            for form in (*self.known, *(authority.issuer for authority in self.authorities)):
                if form.namespace and form.universal_id:
                    found.setdefault(form.namespace, set()).add(form.universal_id)
            self._by_namespace.update((name, frozenset(ids)) for name, ids in found.items())
        return self._by_namespace.get(namespace, frozenset())

    def same(self, one: Issuer, other: Issuer) -> bool:
        one, other = self.canonical(one), self.canonical(other)
        if one.universal_id and other.universal_id:
            return one.universal_id == other.universal_id
        if not one or not other:
            return not one and not other
        if one.namespace is None or one.namespace != other.namespace:
            return False
        ids = self.named(one.namespace) | {i for i in (one.universal_id, other.universal_id) if i}
        return len(ids) <= 1 or one == other

    def settle(self, sent: Issuer, defaults: Sequence[Issuer]) -> Issuer | None:
        """The issuer a number was meant with; None when its namespace fits two known ones and no default decides.

        defaults  the sender's default issuer, then the site's
        """
        if not sent:
            return next((self.canonical(default) for default in defaults if default), NO_ISSUER)
        settled = self.canonical(sent)
        if settled.universal_id or settled.namespace is None or len(self.named(settled.namespace)) < 2:
            return settled
        default = next((self.canonical(default) for default in defaults if default), NO_ISSUER)
        return default if default.namespace == settled.namespace else None


def _written_alike(one: Issuer, other: Issuer) -> bool:
    """Same universal id, or the same bare namespace."""
    if one.universal_id or other.universal_id:
        return one.universal_id == other.universal_id
    return bool(one.namespace) and one.namespace == other.namespace


@dataclass(frozen=True, slots=True)
class PatientKeys:
    """What resolves a patient: keys (the primary identifier first, then ranked ones); others are only values."""

    keys: tuple[Identifier, ...]
    others: tuple[Identifier, ...]


def patient_keys(
    request: PatientRequest, sender: Sender, site_default: Issuer, issuers: Issuers
) -> PatientKeys | Refusal:
    """Choose the primary identifier: the first whose authority the profile ranks highest, else the first."""
    settled: list[Identifier] = []
    for identifier in request.identifiers:
        issuer = issuers.settle(identifier.issuer, (sender.issuer, site_default))
        if issuer is None:
            return Refusal(Cause.AMBIGUOUS, "PID-3.4", detail="the assigning authority fits two known ones")
        settled.append(Identifier(identifier.value, issuer))
    if not settled:
        return Refusal(Cause.MISSING, "PatientID", detail="no patient identifier")
    ranked = sorted(
        (i for i in settled if issuers.rank(i.issuer) is not None), key=lambda i: issuers.rank(i.issuer) or 0
    )
    primary = ranked[0] if ranked else settled[0]
    keys = (primary, *(i for i in ranked if i != primary))
    return PatientKeys(keys, tuple(i for i in settled if i not in keys))


def find_patient(patients: Iterable[Patient], keys: Sequence[Identifier], issuers: Issuers) -> Patient | Refusal | None:
    """The patient that the keys name; None when nobody is known by them; a refusal when they name two people."""
    found: dict[int, Patient] = {}
    wanted: dict[str, list[Issuer]] = {}
    for key in keys:
        wanted.setdefault(key.value, []).append(key.issuer)
    for patient in patients:
        for held in patient.identifiers:
            if any(issuers.same(held.issuer, issuer) for issuer in wanted.get(held.value, ())):
                found[patient.id] = patient
    if len(found) > 1:
        return Refusal(Cause.CONTRADICTION, "PatientID", detail="the identifiers name two patients")
    return next(iter(found.values()), None)


def find_order(draft: Draft, request: OrderRequest, sender: Sender, issuers: Issuers) -> Order | Refusal | None:
    """The known order that a request names; None when it is unknown."""
    if request.filler is None and request.placer is None:
        return _order_by_accession(draft, request, sender, issuers)
    by_filler = _orders_named(draft, AliasKind.FILLER, request.filler, sender, issuers)
    by_placer = _orders_named(draft, AliasKind.PLACER, request.placer, sender, issuers)
    if by_filler:
        if by_placer and not {o.id for o in by_filler} & {o.id for o in by_placer}:
            return Refusal(Cause.CONTRADICTION, "FillerOrderNumberImagingServiceRequest", request.group,
                           "placer and filler number name two orders")  # fmt: skip
        by_placer = by_filler
    elif request.filler is not None:
        # A placer's order may be split into several filler orders: another filler number is another order.
        by_placer = [order for order in by_placer if order.filler is None]
    if len(by_placer) > 1:
        return Refusal(Cause.AMBIGUOUS, "PlacerOrderNumberImagingServiceRequest", request.group,
                       "the order number names more than one order")  # fmt: skip
    return by_placer[0] if by_placer else None


def _orders_named(
    draft: Draft, kind: AliasKind, number: Identifier | None, sender: Sender, issuers: Issuers
) -> list[Order]:
    if number is None:
        return []
    held = {
        alias.order_id for alias in draft.aliases_of(kind, number.value) if _fits(alias.issuer, number.issuer, issuers)
    }
    found = []
    carriers = {order.id: order for order in draft.orders.with_key("number", number.value)}
    carriers |= {order_id: draft.orders[order_id] for order_id in held if order_id in draft.orders}
    for order in sorted(carriers.values(), key=lambda order: order.id):
        own = order.filler if kind is AliasKind.FILLER else order.placer
        named = own is not None and own.value == number.value and _fits(own.issuer, number.issuer, issuers)
        if order.sender_group == sender.group and (named or order.id in held):
            found.append(order)
    return _closest(found, kind, number)


def _closest(found: list[Order], kind: AliasKind, number: Identifier) -> list[Order]:
    """Among several, those that carry the very same issuer, if any does."""
    exact = [o for o in found if (o.filler if kind is AliasKind.FILLER else o.placer) == number]
    return exact or found


def _fits(one: Issuer, other: Issuer, issuers: Issuers) -> bool:
    """Order numbers live in the sender's group, so a missing issuer contradicts none."""
    return not one or not other or issuers.same(one, other)


def _order_by_accession(
    draft: Draft, request: OrderRequest, sender: Sender, issuers: Issuers
) -> Order | Refusal | None:
    if request.accession is None:
        return Refusal(Cause.MISSING, "PlacerOrderNumberImagingServiceRequest", request.group,
                       "no placer, filler or accession number")  # fmt: skip
    wanted = request.accession
    ids = {
        procedure.order_id
        for procedure in draft.procedures.with_key("accession", wanted.value)
        if procedure.accession.value == wanted.value and _fits(procedure.accession.issuer, wanted.issuer, issuers)
    }
    ids |= {alias.order_id for alias in draft.aliases_of(AliasKind.ACCESSION, wanted.value)}
    found = [draft.orders[i] for i in sorted(ids) if draft.orders[i].sender_group == sender.group]
    if len(found) > 1:
        return Refusal(
            Cause.AMBIGUOUS, "AccessionNumber", request.group, "the accession number names more than one order"
        )
    return found[0] if found else None


def study_uid_owner(draft: Draft, study_uid: str) -> set[int]:
    """Ids of the patients whose procedures carry this Study Instance UID, now or as an alias."""
    carriers = draft.procedures.with_key("study_uid", study_uid)
    order_ids = {p.order_id for p in carriers if p.study_uid == study_uid}
    order_ids |= {alias.order_id for alias in draft.aliases_of(AliasKind.STUDY_UID, study_uid)}
    return {draft.orders[i].patient_id for i in order_ids}


def find_procedure(
    draft: Draft, order: Order, request: OrderRequest, taken: frozenset[int]
) -> RequestedProcedure | Refusal | None:
    """The procedure of a known order that a request means; None when it is a new one.

    taken  ids of procedures that other groups of the same message have already named
    """
    procedures = draft.procedures_of(order.id)
    by_id = _by_name(draft, procedures, AliasKind.PROCEDURE_ID, request.requested_procedure_id)
    by_uid = _by_name(draft, procedures, AliasKind.STUDY_UID, request.study_uid)
    if by_id and by_uid and by_id.id != by_uid.id:
        return Refusal(Cause.CONTRADICTION, "StudyInstanceUID", request.group,
                       "requested procedure id and Study Instance UID name two procedures")  # fmt: skip
    if by_id:
        return by_id
    if by_uid:
        return by_uid if _may_be_renamed(by_uid, request) else None
    return _unnamed(draft, [p for p in procedures if p.id not in taken], request)


def _may_be_renamed(found: RequestedProcedure, request: OrderRequest) -> bool:
    """False for a procedure found by its UID that the sender called otherwise before: one study, two procedures."""
    sent = request.requested_procedure_id
    return sent in (None, found.requested_procedure_id) or "requested_procedure_id" in found.generated


def _by_name(
    draft: Draft, procedures: list[RequestedProcedure], kind: AliasKind, value: str | None
) -> RequestedProcedure | None:
    if value is None:
        return None
    for procedure in procedures:
        own = procedure.study_uid if kind is AliasKind.STUDY_UID else procedure.requested_procedure_id
        if own == value:
            return procedure
    held = {alias.procedure_id for alias in draft.aliases_of(kind, value)}
    return next((procedure for procedure in procedures if procedure.id in held), None)


CODE = "RequestedProcedureCodeSequence"


def _unnamed(draft: Draft, free: list[RequestedProcedure], request: OrderRequest) -> RequestedProcedure | None:
    """No id that we know was sent: step id, accession, code and place in the order, each only where it is unique."""
    if request.requested_procedure_id is not None:
        free = [p for p in free if "requested_procedure_id" in p.generated]
    if request.study_uid is not None:
        free = [p for p in free if "study_uid" in p.generated]
    if request.accession is not None:
        # One accession number for each OBR: another number of the sender's own is another procedure.
        free = [p for p in free if "accession" in p.generated or p.accession.value == request.accession.value]
    if request.step_id is not None:
        held = {s.procedure_id for p in free for s in draft.steps_of(p.id) if s.step_id == request.step_id}
        if len(held) == 1:
            return draft.procedures[held.pop()]
    if request.accession is not None:
        same = [p for p in free if p.accession.value == request.accession.value]
        if len(same) == 1:
            return same[0]
    if isinstance(code := request.step.get(CODE), list):
        same = [p for p in free if any(s.values.get(CODE) == code for s in draft.steps_of(p.id))]
        if len(same) == 1:
            return same[0]
    return next((p for p in free if p.ordinal == request.ordinal), free[0] if len(free) == 1 else None)


def procedures_meant(draft: Draft, order: Order, request: OrderRequest) -> list[RequestedProcedure]:
    """All procedures that a request without procedure or step id speaks of; without any hint, the whole order."""
    meant = draft.procedures_of(order.id)
    if (sent := request.accession) is not None:
        meant = [p for p in meant if "accession" in p.generated or p.accession.value == sent.value]
    if isinstance(code := request.step.get(CODE), list):
        coded = [p for p in meant if any(s.values.get(CODE) == code for s in draft.steps_of(p.id))]
        return coded or meant
    return meant


def find_step(
    draft: Draft, procedure: RequestedProcedure, request: OrderRequest, modality: str | None, taken: frozenset[int]
) -> ScheduledStep | None:
    """The step of a known procedure that a request means; None when it is a new one.

    A named step takes over one that we derived: the first with its modality, else the first. A request that names none
    means one with its modality, and rather one that is open.
    """
    steps = draft.steps_of(procedure.id)
    if request.step_id is None:
        free = [s for s in steps if s.id not in taken]
        return min(free, key=lambda s: (modality not in (None, s.modality), s.state not in OPEN), default=None)
    for step in steps:
        if step.step_id == request.step_id:
            return step
    held = {a.step_id for a in draft.aliases_of(AliasKind.STEP_ID, request.step_id) if a.procedure_id == procedure.id}
    for step in steps:
        if step.id in held:
            return step
    derived = [s for s in steps if "step_id" in s.generated and s.id not in taken]
    return next((s for s in derived if s.modality == modality), derived[0] if derived else None)


def unfinished(steps: Iterable[ScheduledStep]) -> list[ScheduledStep]:
    """Steps that are neither finished nor cancelled."""
    return [step for step in steps if step.state in OPEN]
