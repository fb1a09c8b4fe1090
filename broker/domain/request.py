"""What a request says, as values: HL7-free, DICOM-free, frozen.

A field of a request is KEEP (no statement: the key is left out), DELETE (the sender takes the value back) or a value.
Values are plain JSON: text, a list of texts (multi-valued), or a list of items (a sequence: keyword -> value).
Their keys are those of the profile's rows: DICOM keywords joined by dots from the root of a worklist item.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any

Value = str | list[Any]


class Absent(Enum):
    """DELETE takes a stored value back (HL7 `""`); KEEP is said by leaving the key out."""

    DELETE = "delete"


DELETE = Absent.DELETE
Values = Mapping[str, Value]
Changes = Mapping[str, Value | Absent]


@dataclass(frozen=True, slots=True)
class Issuer:
    """An assigning authority: namespace (HL7 HD.1) and universal id with its type (HD.2, HD.3)."""

    namespace: str | None = None
    universal_id: str | None = None
    universal_type: str | None = None

    def __bool__(self) -> bool:
        return bool(self.namespace or self.universal_id)


NO_ISSUER = Issuer()


@dataclass(frozen=True, slots=True)
class Identifier:
    """A number and who gave it; issuer is NO_ISSUER where the sender named none."""

    value: str
    issuer: Issuer = NO_ISSUER


class Cause(Enum):
    """Why a request is refused. The HL7 door keeps the table from these to MSA-1 and ERR-3 (issue of the door)."""

    NOT_HL7 = "not an HL7 v2 message"
    MESSAGE_TYPE = "unsupported message type"
    TRIGGER_EVENT = "unsupported trigger event"
    PROCESSING_ID = "unsupported processing id"
    VERSION = "unsupported version"
    ORDER_CONTROL = "order control is not in the table"
    MISSING = "required value is missing"
    TOO_LONG = "value is too long"
    TOO_MANY = "more parts than are taken"
    UNREADABLE = "value cannot be read"
    UNKNOWN_ORDER = "no such order"
    AMBIGUOUS = "identifier names more than one record"
    CONTRADICTION = "identifiers contradict each other"
    OTHER_PATIENT = "the patient is not the known order's patient"
    STATE_FORBIDS = "the present state forbids this change"
    INTERNAL = "the broker could not process the message; send it again"


@dataclass(frozen=True, slots=True)
class Refusal:
    """A refusal is a decision like any other: written to the journal and answered.

    subject  what it is about: a row key ("PatientID"), or one of "MSH-7" style paths where no row exists
    group    number of the order in its message, from 1; 0 when it is about the message or the patient
    detail   what stands behind the cause's own words
    words    what stands in their place; no patient data, nothing of any length
    """

    cause: Cause
    subject: str = ""
    group: int = 0
    detail: str = ""
    words: str = ""

    @property
    def text(self) -> str:
        said = self.words or self.cause.value
        return f"{said}: {self.detail}" if self.detail else said


def nowhere(refusal: Refusal) -> str:
    """The location of a refusal whose subject stands nowhere."""
    return ""


class Outcome(Enum):
    """How a message ended; every message ends in exactly one."""

    CREATED = "created"
    UPDATED = "updated"
    CANCELLED = "cancelled"
    UNCHANGED = "unchanged"
    DUPLICATE = "duplicate"
    SUPERSEDED = "superseded"
    HELD = "held"
    IGNORED = "ignored"
    REJECTED = "rejected"
    QUARANTINED = "quarantined"


@dataclass(frozen=True, slots=True)
class Sender:
    """Who sent a message. group: the sender's number space (profile; by default application|facility)."""

    application: str
    facility: str
    group: str
    issuer: Issuer = NO_ISSUER


@dataclass(frozen=True, slots=True)
class ReceivedMessage:
    """One HL7 message as it came, and its header.

    message_time         MSH-7, UTC: the earliest instant that it may mean
    message_time_latest  the latest one; None: the same (domain/in_time.py)
    """

    raw: bytes
    peer: str
    received_at: datetime
    sender: Sender
    receiving_application: str = ""
    receiving_facility: str = ""
    message_type: str = ""
    trigger_event: str = ""
    control_id: str = ""
    version: str = ""
    processing_id: str = ""
    charset: str = ""
    message_time: datetime | None = None
    message_time_latest: datetime | None = None
    digest: str = ""


@dataclass(frozen=True, slots=True)
class PatientRequest:
    """The patient of a message: all identifiers in the sender's order, and the patient's values."""

    identifiers: tuple[Identifier, ...]
    changes: Changes = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class OrderRequest:
    """One order of a message: an ORC/OBR group, which names one requested procedure and at most one step.

    group             number in the message, from 1
    control, status   ORC-1 and ORC-5 as sent ("" when empty)
    order_time        ORC-9, UTC: the earliest instant that it may mean; order_time_latest: the latest; None: the same
    accession         None when not sent; the same for the other identifiers
    ordinal           1 for the first procedure of this order in the message, 2 for the second ...
    visit, step       changes of the rows that belong to the visit and to the step
    stated            the state that a worklist item says its step is in; "" when nothing is said
    """

    group: int
    control: str
    status: str
    order_time: datetime | None
    placer: Identifier | None
    filler: Identifier | None
    accession: Identifier | None
    requested_procedure_id: str | None
    study_uid: str | None
    step_id: str | None
    ordinal: int
    visit: Changes = field(default_factory=dict)
    step: Changes = field(default_factory=dict)
    stated: str = ""
    order_time_latest: datetime | None = None


@dataclass(frozen=True, slots=True)
class PlaceOrder:
    """An order message, read.

    imported  it is a worklist item from a file, one order for each of its steps
    locate    where in the message a refusal's subject stands, in the sender's own terms (an ERR location)
    """

    message: ReceivedMessage
    patient: PatientRequest
    orders: tuple[OrderRequest, ...]
    warnings: tuple[str, ...] = ()
    imported: bool = False
    locate: Callable[[Refusal], str] = field(default=nowhere, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class KeepMessage:
    """A message that places no order: refused by the door, or of a kind that is only kept."""

    message: ReceivedMessage
    outcome: Outcome
    reason: str = ""
    refusal: Refusal | None = None
    location: str = ""


@dataclass(frozen=True, slots=True)
class MessageAnswer:
    """What the door needs for its answer; a repeat gets the first one's facts, so that the answer is the same.

    message_id   our journal id, from which the answer's own control id is made; of a repeat, the first one's
    answered_at  when the (first) answer was decided, UTC
    refusal      None: accepted
    journal_id   the repeat's own journal id; None where it is no repeat
    """

    message_id: int
    answered_at: datetime
    outcome: Outcome
    refusal: Refusal | None = None
    location: str = ""
    warnings: tuple[str, ...] = ()
    journal_id: int | None = None
