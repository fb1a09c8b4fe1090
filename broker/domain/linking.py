"""Which scheduled step an object belongs to: found by its names in a fixed sequence, never against the patient.

The law of this file:
- Step id with requested procedure id (and accession number, when the object carries one); Study Instance UID; accession
  number; patient, modality, station and time. The first that finds anything decides; the last is only a proposal.
- Aliases find what they named: values that we generated and the sender replaced, and Study UIDs made for a group.
- The patient agrees when the object's identifier is a present or former one of the order's patient, of the same issuer
  where the object names one. Another identifier, or none: nothing is linked, and an alarm tells a person.
- The same identifier with another name or birth date agrees, and is flagged.
- Several steps remain: the one unfinished step of the object's modality when only one exists, else the procedure.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Protocol

from broker.domain.identity import Issuers, unfinished
from broker.domain.matching import fold
from broker.domain.order import Alias, AliasKind, Forest, Order, Patient, RequestedProcedure, ScheduledStep, StepState
from broker.domain.request import NO_ISSUER, Issuer

NEAR = timedelta(hours=12)
"""How far from its planned start an object may lie to be proposed for a step."""


class Sure(Enum):
    """How sure a link is. A proposal is for a person and moves nothing."""

    CERTAIN = "certain"
    LIKELY = "likely"
    PROPOSAL = "proposal"


class How(Enum):
    """Which names found a link."""

    STEP_ID = "step-id"
    STUDY_UID = "study-uid"
    ACCESSION = "accession"
    PROPOSAL = "proposal"


@dataclass(frozen=True, slots=True)
class LinkKeys:
    """What one scheduled-step item of a performed step, or one image, says of where it belongs; "" where it is silent.

    station     AE title
    when        YYYYMMDDHHMMSS, department wall-clock; "" when unknown
    birth_date  YYYYMMDD
    """

    patient_id: str
    patient_issuer: Issuer = NO_ISSUER
    step_id: str = ""
    requested_procedure_id: str = ""
    accession: str = ""
    study_uid: str = ""
    modality: str = ""
    station: str = ""
    when: str = ""
    patient_name: str = ""
    birth_date: str = ""

    def names(self) -> Iterator[tuple[AliasKind, str]]:
        """The names by which orders are looked up for this object; step ids are no names of their own."""
        if self.study_uid:
            yield AliasKind.STUDY_UID, self.study_uid
        if self.accession:
            yield AliasKind.ACCESSION, self.accession
        elif self.step_id and self.requested_procedure_id:
            yield AliasKind.STEP_ID, self.step_id
            yield AliasKind.PROCEDURE_ID, self.requested_procedure_id

    def orders(self, found: Mapping[tuple[AliasKind, str], set[int]]) -> set[int]:
        """Ids of the orders that may be meant, from what the names found: step and procedure id only together."""
        sets = {kind: found.get((kind, value), set()) for kind, value in self.names()}
        by_step = sets.pop(AliasKind.STEP_ID, set()) & sets.pop(AliasKind.PROCEDURE_ID, set())
        return by_step.union(*sets.values())


@dataclass(frozen=True, slots=True)
class Link:
    """Where an object belongs. step_id None: to the procedure only."""

    order_id: int
    procedure_id: int
    step_id: int | None
    how: How
    sure: Sure

    @property
    def moves(self) -> bool:
        """True when a performed step linked so may change the scheduled step's state."""
        return self.step_id is not None and self.sure is not Sure.PROPOSAL


@dataclass(frozen=True, slots=True)
class Linking:
    """What the sequence found.

    links          empty: nothing was found, or the patient does not agree
    other_patient  the order whose names the object carries although its patient is another, or none; else None
    flagged        the order whose patient has the same identifier but another name or birth date; else None
    """

    links: tuple[Link, ...] = ()
    other_patient: int | None = None
    flagged: int | None = None


class Records(Protocol):
    """Records by id: a forest, or a draft laid over one."""

    @property
    def patients(self) -> Mapping[int, Patient]: ...
    @property
    def orders(self) -> Mapping[int, Order]: ...
    @property
    def procedures(self) -> Mapping[int, RequestedProcedure]: ...
    @property
    def steps(self) -> Mapping[int, ScheduledStep]: ...


class Names:
    """Present names and aliases of loaded trees, and what each one finds; made once for a batch."""

    def __init__(self, forest: Forest) -> None:
        self._procedures: dict[tuple[AliasKind, str], set[int]] = defaultdict(set)
        self._steps: dict[str, set[int]] = defaultdict(set)
        self._steps_of: dict[int, list[int]] = defaultdict(list)
        self._procedures_of: dict[int, list[int]] = defaultdict(list)
        self._steps_of_patient: dict[int, list[int]] = defaultdict(list)
        self._patients: dict[str, set[int]] = defaultdict(set)
        for patient in forest.patients.values():
            for identifier in patient.identifiers:
                self._patients[identifier.value].add(patient.id)
        for procedure in forest.procedures.values():
            self._procedures_of[procedure.order_id].append(procedure.id)
            self._procedures[AliasKind.PROCEDURE_ID, procedure.requested_procedure_id].add(procedure.id)
            self._procedures[AliasKind.STUDY_UID, procedure.study_uid].add(procedure.id)
            self._procedures[AliasKind.ACCESSION, procedure.accession.value].add(procedure.id)
        for step in sorted(forest.steps.values(), key=lambda s: s.ordinal):
            self._steps[step.step_id].add(step.id)
            self._steps_of[step.procedure_id].append(step.id)
            self._steps_of_patient[forest.orders[step.order_id].patient_id].append(step.id)
        self.add(forest.aliases)

    def add(self, aliases: Iterable[Alias]) -> None:
        for alias in aliases:
            if alias.kind is AliasKind.STEP_ID and alias.step_id is not None:
                self._steps[alias.value].add(alias.step_id)
            elif alias.procedure_id is not None:
                self._procedures[alias.kind, alias.value].add(alias.procedure_id)
            else:
                self._procedures[alias.kind, alias.value].update(self._procedures_of[alias.order_id])

    def procedures(self, kind: AliasKind, value: str) -> set[int]:
        return self._procedures.get((kind, value), set()) if value else set()

    def steps(self, step_id: str) -> set[int]:
        return self._steps.get(step_id, set()) if step_id else set()

    def steps_of(self, procedure_id: int) -> list[int]:
        return self._steps_of.get(procedure_id, [])

    def patients(self, identifier: str) -> set[int]:
        return self._patients.get(identifier, set()) if identifier else set()

    def steps_of_patient(self, patient_id: int) -> list[int]:
        return self._steps_of_patient.get(patient_id, [])


@dataclass(frozen=True, slots=True)
class _Found:
    """What one rule of the sequence found: steps, or procedures with all their steps."""

    how: How
    steps: tuple[ScheduledStep, ...]
    procedures: tuple[RequestedProcedure, ...]


def link(names: Names, records: Records, keys: LinkKeys, issuers: Issuers) -> Linking:
    """Find where an object belongs.

    names, records  trees that carry the object's names, and the open orders of the patients with its identifier
    returns         links that agree with the patient; what disagrees is named, never linked
    """
    for rule in (_by_step_id, _by_study_uid, _by_accession):
        found = rule(names, records, keys)
        if found.procedures:
            return _decide(found, names, records, keys, issuers)
    return _propose(names, records, keys, issuers)


def link_any(names: Names, records: Records, items: Sequence[LinkKeys], issuers: Issuers) -> Linking:
    """Find where an object with several request items belongs: the first item that finds anything.

    An item that names another patient's order outweighs every link, so that nothing is linked.
    """
    linkings = [link(names, records, keys, issuers) for keys in items]
    refused = next((found for found in linkings if found.other_patient is not None), None)
    sure = (found for found in linkings if found.links and found.links[0].how is not How.PROPOSAL)
    return refused or next(sure, None) or next((found for found in linkings if found.links), Linking())


def agrees(patient: Patient, keys: LinkKeys, issuers: Issuers) -> bool:
    """True when the object's identifier is a present or former identifier of the patient."""
    return bool(keys.patient_id) and any(
        held.value == keys.patient_id and (not keys.patient_issuer or issuers.same(held.issuer, keys.patient_issuer))
        for held in patient.identifiers
    )


def differs(patient: Patient, keys: LinkKeys) -> bool:
    """True when name or birth date are known on both sides and are not the same."""
    name, birth_date = patient.values.get("PatientName", ""), patient.values.get("PatientBirthDate", "")
    held, sent = _name(name if isinstance(name, str) else ""), _name(keys.patient_name)
    return bool((held and sent and held != sent) or (birth_date and keys.birth_date and birth_date != keys.birth_date))


def _name(text: str) -> str:
    """The first group of a name, folded."""
    return fold(text).split("=")[0]


def _by_step_id(names: Names, records: Records, keys: LinkKeys) -> _Found:
    within = names.procedures(AliasKind.PROCEDURE_ID, keys.requested_procedure_id)
    if keys.accession:
        within = within & names.procedures(AliasKind.ACCESSION, keys.accession)
    steps = [records.steps[i] for i in sorted(names.steps(keys.step_id))] if within else []
    return _found(How.STEP_ID, records, [s for s in steps if s.procedure_id in within])


def _by_study_uid(names: Names, records: Records, keys: LinkKeys) -> _Found:
    return _with_steps(How.STUDY_UID, names, records, _of_study(names, records, keys))


def _of_study(names: Names, records: Records, keys: LinkKeys) -> set[int]:
    """The procedures whose own Study UID it is; else those that it names as an alias."""
    found = names.procedures(AliasKind.STUDY_UID, keys.study_uid)
    return {i for i in found if records.procedures[i].study_uid == keys.study_uid} or found


def _by_accession(names: Names, records: Records, keys: LinkKeys) -> _Found:
    return _with_steps(How.ACCESSION, names, records, names.procedures(AliasKind.ACCESSION, keys.accession))


def _found(how: How, records: Records, steps: list[ScheduledStep]) -> _Found:
    procedures = {step.procedure_id: records.procedures[step.procedure_id] for step in steps}
    return _Found(how, tuple(steps), tuple(procedures.values()))


def _with_steps(how: How, names: Names, records: Records, procedure_ids: Iterable[int]) -> _Found:
    procedures = tuple(records.procedures[i] for i in sorted(procedure_ids))
    steps = tuple(records.steps[i] for procedure in procedures for i in names.steps_of(procedure.id))
    return _Found(how, steps, procedures)


def _decide(found: _Found, names: Names, records: Records, keys: LinkKeys, issuers: Issuers) -> Linking:
    def patient_of(order_id: int) -> Patient:
        return records.patients[records.orders[order_id].patient_id]

    mine = [p for p in found.procedures if agrees(patient_of(p.order_id), keys, issuers)]
    if not mine:
        return Linking(other_patient=found.procedures[0].order_id)
    if len(mine) > 1:
        same_study = _of_study(names, records, keys)
        mine = [procedure for procedure in mine if procedure.id in same_study] or mine
    kept = {procedure.id for procedure in mine}
    links = _choose(_Found(found.how, tuple(s for s in found.steps if s.procedure_id in kept), tuple(mine)), keys)
    order_id = links[0].order_id
    return Linking(links, flagged=order_id if differs(patient_of(order_id), keys) else None)


def _choose(found: _Found, keys: LinkKeys) -> tuple[Link, ...]:
    """One step when one can be told, else one procedure, else each procedure as a proposal."""
    steps = [s for s in found.steps if s.state is not StepState.CANCELED] or list(found.steps)
    if len(steps) == 1 and len(found.procedures) == 1:
        return (_to_step(steps[0], found.how, Sure.LIKELY if found.how is How.ACCESSION else Sure.CERTAIN),)
    fitting = [s for s in unfinished(steps) if keys.modality and s.modality == keys.modality]
    if len(fitting) == 1:
        return (_to_step(fitting[0], found.how, Sure.LIKELY),)
    sure = Sure.LIKELY if len(found.procedures) == 1 else Sure.PROPOSAL
    return tuple(Link(p.order_id, p.id, None, found.how, sure) for p in found.procedures)


def _to_step(step: ScheduledStep, how: How, sure: Sure) -> Link:
    return Link(step.order_id, step.procedure_id, step.id, how, sure)


def _propose(names: Names, records: Records, keys: LinkKeys, issuers: Issuers) -> Linking:
    """The nearest unfinished step of the patient on that modality and station, within twelve hours."""
    when = _instant(keys.when)
    if when is None:
        return Linking()
    near: list[tuple[timedelta, int, ScheduledStep]] = []
    for patient in (records.patients[i] for i in names.patients(keys.patient_id)):
        if not agrees(patient, keys, issuers):
            continue
        for step in unfinished(records.steps[i] for i in names.steps_of_patient(patient.id)):
            start = _instant(step.start_at or "")
            if start is not None and abs(start - when) <= NEAR and _fits(step, keys):
                near.append((abs(start - when), step.id, step))
    return Linking((_to_step(min(near)[2], How.PROPOSAL, Sure.PROPOSAL),)) if near else Linking()


def _fits(step: ScheduledStep, keys: LinkKeys) -> bool:
    on_station = not step.stations or keys.station in step.stations
    return bool(keys.modality) and step.modality == keys.modality and on_station


def _instant(text: str) -> datetime | None:
    try:
        return datetime.strptime(text, "%Y%m%d%H%M%S")
    except ValueError:
        return None
