"""Patients, orders, requested procedures and scheduled steps as the rules see them: frozen, with surrogate ids."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import Enum
from typing import Any

from broker.domain.request import NO_ISSUER, Identifier, Issuer, Values


class StepState(Enum):
    """State of a scheduled step (PS3.3 C.4.10; the last three as dcm4chee and IHE use them)."""

    SCHEDULED = "SCHEDULED"
    ARRIVED = "ARRIVED"
    READY = "READY"
    STARTED = "STARTED"
    DEPARTED = "DEPARTED"
    COMPLETED = "COMPLETED"
    DISCONTINUED = "DISCONTINUED"
    CANCELED = "CANCELED"


NOT_STARTED = frozenset({StepState.SCHEDULED, StepState.ARRIVED, StepState.READY})
FINISHED = frozenset({StepState.COMPLETED, StepState.DISCONTINUED})
BEGUN = FINISHED | {StepState.STARTED, StepState.DEPARTED}
OPEN = NOT_STARTED | {StepState.STARTED, StepState.DEPARTED}
LISTED = NOT_STARTED | {StepState.STARTED}


class PerformedState(Enum):
    """Performed Procedure Step Status (0040,0252)."""

    IN_PROGRESS = "IN PROGRESS"
    COMPLETED = "COMPLETED"
    DISCONTINUED = "DISCONTINUED"


class AliasKind(Enum):
    """What an alias stands for: a value that named something and no longer is its name."""

    ACCESSION = "accession"
    STUDY_UID = "study_uid"
    PROCEDURE_ID = "procedure_id"
    STEP_ID = "step_id"
    PLACER = "placer"
    FILLER = "filler"

    __hash__ = object.__hash__  # names are looked up by the dozen; Enum's own is many times slower


Stamps = Mapping[str, str]
"""Latest stamps by "application/field" ("RIS/ORC-9"): ISO text in UTC, "earliest/latest" where a stamp may mean two
instants (`in_time`)."""


@dataclass(frozen=True, slots=True)
class PatientIdentifier:
    """One of a patient's identifiers. former: it was merged away and still finds its patient."""

    value: str
    issuer: Issuer = NO_ISSUER
    former: bool = False


@dataclass(frozen=True, slots=True)
class Patient:
    """identifiers: the primary one first, then former ones. others: further numbers as sent, values and not keys.

    heard_at  when a message last gave its values; None for a new patient (`timeline`)
    """

    id: int
    identifiers: tuple[PatientIdentifier, ...]
    others: tuple[Identifier, ...] = ()
    values: Values = field(default_factory=dict)
    stamps: Stamps = field(default_factory=dict)
    heard_at: datetime | None = None

    @property
    def primary(self) -> PatientIdentifier:
        return self.identifiers[0]


@dataclass(frozen=True, slots=True)
class Order:
    id: int
    patient_id: int
    sender_group: str
    placer: Identifier | None
    filler: Identifier | None
    visit: Values = field(default_factory=dict)
    last_event_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class RequestedProcedure:
    """generated: names of the fields that we filled in ("accession", "study_uid", "requested_procedure_id")."""

    id: int
    order_id: int
    ordinal: int
    requested_procedure_id: str
    accession: Identifier
    study_uid: str
    generated: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class ScheduledStep:
    """values: what the sender said, by row key. The other fields are settled by rules from them.

    held       why no query shows it; None when it is shown
    stations   AE titles; empty: open to every station whose modalities do not exclude it
    start_at   YYYYMMDDHHMMSS, department wall-clock; None only when held
    generated  names of the fields that we filled in ("step_id", "start_at", "modality", "stations")
    """

    id: int
    order_id: int
    procedure_id: int
    ordinal: int
    step_id: str
    state: StepState
    held: str | None
    modality: str | None
    stations: tuple[str, ...]
    start_at: str | None
    received_at: datetime
    values: Values = field(default_factory=dict)
    generated: frozenset[str] = frozenset()
    stamps: Stamps = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Alias:
    """A former or generated value that still finds what it named."""

    kind: AliasKind
    value: str
    issuer: Issuer
    order_id: int
    procedure_id: int | None = None
    step_id: int | None = None
    source: str = ""


@dataclass(frozen=True, slots=True)
class Event:
    """One line of an order's timeline: what happened, to what, caused by whom.

    kind    "created", "updated", "state", "alias", "linked", "image", "superseded" ...
    actor   who caused it: "hl7:RIS|HOSP", "dicom:CT1", "broker"
    effect  how a message's values were taken ("update", "descriptive", "values" or ""), for replaying them
    group   number of the order in its message (with message_id: where the values came from)
    """

    at: datetime
    order_id: int
    kind: str
    actor: str
    procedure_id: int | None = None
    step_id: int | None = None
    before: str | None = None
    after: str | None = None
    effect: str = ""
    group: int | None = None
    message_id: int | None = None
    performed_step_id: int | None = None
    instance_id: int | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Alarm:
    """Something a person must look at. One open alarm for each (kind, subject); repeats raise its count.

    kind     one of broker/domain/alarms.py
    subject  ids of ours, accession, UIDs; never patient data
    """

    kind: str
    subject: str
    order_id: int | None = None
    detail: str = ""


@dataclass(slots=True)
class Forest:
    """Trees of orders as loaded: dictionaries by id.

    performed     step id -> id and state of each performed step that moves it
    study_starts  procedure id -> earliest performed start, YYYYMMDDHHMMSS
    issuers       every one that is known, by row
    elements      step id -> hash of the profile rows that made its encoded elements, and these
    found_by      indexes of the records, made when a draft first needs them (`layers`)
    found_alias   the same of the aliases
    origin        the records as they were loaded: these have a row; None when nothing was loaded
    """

    patients: dict[int, Patient] = field(default_factory=dict)
    orders: dict[int, Order] = field(default_factory=dict)
    procedures: dict[int, RequestedProcedure] = field(default_factory=dict)
    steps: dict[int, ScheduledStep] = field(default_factory=dict)
    aliases: list[Alias] = field(default_factory=list)
    performed: dict[int, dict[int, PerformedState]] = field(default_factory=dict)
    study_starts: dict[int, str] = field(default_factory=dict)
    issuers: dict[int, Issuer] = field(default_factory=dict)
    elements: dict[int, tuple[str, bytes]] = field(default_factory=dict)
    found_by: dict[str, Any] = field(default_factory=dict)
    found_alias: list[Any] = field(default_factory=list)
    origin: Forest | None = None

    def is_in_progress(self, step_id: int) -> bool:
        """A modality works on this step."""
        return PerformedState.IN_PROGRESS in self.performed.get(step_id, {}).values()

    def loaded(self) -> Forest:
        """Remember what has a row, before drafts are folded in."""
        records = (dict(self.patients), dict(self.orders), dict(self.procedures), dict(self.steps))
        self.origin = Forest(*records)
        return self


@dataclass(frozen=True, slots=True)
class Facts:
    """Values of the house that a row may name as its source: "@patient_id", "@patient_issuer" ...

    other_patient_ids  identifiers of the same patient that are values, not keys
    study_start        earliest performed start, YYYYMMDDHHMMSS; None until something was performed
    """

    patient_id: str
    patient_issuer: Issuer
    other_patient_ids: tuple[Identifier, ...]
    study_uid: str
    status: str
    study_start: str | None


def has_only_moved(before: ScheduledStep, now: ScheduledStep) -> bool:
    """Nothing that a modality is told of the step is another but its status."""
    return before is now or replace(before, state=now.state, held=now.held, stamps=now.stamps) == now


def order_status(states: list[StepState]) -> str:
    """The status of an order, derived from its steps; never stored.

    returns  SCHEDULED, STARTED, COMPLETED, DISCONTINUED or CANCELED; "" for an order without steps
    """
    present = set(states)
    if not present:
        return ""
    if present <= {StepState.CANCELED}:
        return StepState.CANCELED.value
    if not present & OPEN:
        done = StepState.COMPLETED in present
        return StepState.COMPLETED.value if done else StepState.DISCONTINUED.value
    if present & (FINISHED | {StepState.STARTED, StepState.DEPARTED}):
        return StepState.STARTED.value
    return StepState.SCHEDULED.value
