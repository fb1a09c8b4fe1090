"""Performed procedure steps: which requests their state allows, and what they do to the scheduled step.

Source: PS3.4 F.7.2 (MPPS), IHE RAD TF-2 4.6 (append and group cases).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from broker.domain.linking import How, Link, LinkKeys
from broker.domain.order import NOT_STARTED, PerformedState, StepState


class Verdict(Enum):
    """How an N-CREATE or N-SET ended. The DICOM door keeps the table from these to its statuses."""

    RECORDED = "recorded"
    DUPLICATE = "the performed step exists already"
    UNKNOWN = "no such performed step"
    FINAL = "the performed step is final and can no longer be updated"
    INVALID_VALUE = "an attribute has a wrong value"
    MISSING_ATTRIBUTE = "a required attribute is missing"
    MISSING_VALUE = "a required attribute has no value"


@dataclass(frozen=True, slots=True)
class Faults:
    """What is wrong with a request's attributes, as tags."""

    missing: tuple[int, ...] = ()
    empty: tuple[int, ...] = ()
    invalid: tuple[int, ...] = ()

    @property
    def verdict(self) -> Verdict | None:
        """The first fault that refuses the request; None when there is none."""
        if self.missing:
            return Verdict.MISSING_ATTRIBUTE
        if self.empty:
            return Verdict.MISSING_VALUE
        return Verdict.INVALID_VALUE if self.invalid else None

    @property
    def tags(self) -> tuple[int, ...]:
        """The attributes that the verdict is about."""
        return self.missing or self.empty or self.invalid


@dataclass(frozen=True, slots=True)
class PerformedMessage:
    """An N-CREATE or N-SET as received. peer: calling AE title."""

    sop_instance_uid: str
    dataset: bytes
    transfer_syntax_uid: str
    peer: str
    received_at: datetime


@dataclass(frozen=True, slots=True)
class Progress:
    """What may change until the end; None: the request does not say.

    ended_at  YYYYMMDDHHMMSS, as the modality said it
    reason    discontinuation reason: code, scheme and meaning
    """

    ended_at: str | None = None
    reason: str | None = None
    series_count: int | None = None
    image_count: int | None = None


@dataclass(frozen=True, slots=True)
class PerformedCreate:
    """An N-CREATE whose attributes are sound. items: one for each scheduled step it names.

    started_at  YYYYMMDDHHMMSS, as the modality said it
    """

    message: PerformedMessage
    state: PerformedState
    performed_id: str
    patient_number: str
    patient_issuer: str
    modality: str
    station_ae_title: str
    started_at: str
    progress: Progress
    items: tuple[LinkKeys, ...]


@dataclass(frozen=True, slots=True)
class PerformedSet:
    """An N-SET. state None: it does not change the state."""

    message: PerformedMessage
    state: PerformedState | None
    progress: Progress


@dataclass(frozen=True, slots=True)
class PerformedStep:
    """A performed step as stored. updated_at: when its last message came, None before it is written."""

    id: int
    sop_instance_uid: str
    state: PerformedState
    performed_id: str
    patient_number: str
    patient_issuer: str
    modality: str
    station_ae_title: str
    started_at: str
    ended_at: str | None
    reason: str
    series_count: int
    image_count: int
    peer: str
    created_at: datetime
    updated_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class PerformedAnswer:
    """What the door needs for its answer."""

    verdict: Verdict
    performed_step_id: int | None = None


def may_create(present: PerformedStep | None, request: PerformedCreate) -> Verdict:
    """Whether an N-CREATE may be recorded.

    present  the performed step with its SOP Instance UID, if there is one
    source   PS3.4 F.7.2.1.2: the status has to be IN PROGRESS
    """
    if present is not None:
        return Verdict.DUPLICATE
    return Verdict.RECORDED if request.state is PerformedState.IN_PROGRESS else Verdict.INVALID_VALUE


def may_set(present: PerformedStep | None) -> Verdict:
    """Whether an N-SET may be recorded (PS3.4 F.7.2.2.2: only while IN PROGRESS)."""
    if present is None:
        return Verdict.UNKNOWN
    return Verdict.RECORDED if present.state is PerformedState.IN_PROGRESS else Verdict.FINAL


def state_on_start(state: StepState, link: Link) -> StepState:
    """The scheduled step's state once a performed step linked to it is in progress.

    A finished step is opened again only by a performed step that names it by its id (append case): one that only
    shares the study, such as evidence created later, leaves it finished. A cancelled step stays cancelled.
    """
    if not link.moves:
        return state
    if state in NOT_STARTED or state is StepState.DEPARTED:
        return StepState.STARTED
    if state in (StepState.COMPLETED, StepState.DISCONTINUED) and link.how is How.STEP_ID:
        return StepState.STARTED
    return state


def state_on_end(state: StepState, performed: Iterable[PerformedState]) -> StepState:
    """The scheduled step's state once one of its performed steps is final.

    performed  states of all performed steps that are linked to the step, proposals left out
    """
    states = set(performed)
    if state is not StepState.STARTED or not states or PerformedState.IN_PROGRESS in states:
        return state
    return StepState.COMPLETED if PerformedState.COMPLETED in states else StepState.DISCONTINUED
