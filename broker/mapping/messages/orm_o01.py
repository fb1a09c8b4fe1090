"""ORM^O01, general order message: bytes that were split into segments, to a request to place its orders."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Protocol
from zoneinfo import ZoneInfo

from broker.domain.request import (
    Cause,
    Identifier,
    KeepMessage,
    OrderRequest,
    Outcome,
    PatientRequest,
    PlaceOrder,
    ReceivedMessage,
    Refusal,
    Sender,
)
from broker.errors import TooMany
from broker.hl7v2.reader import Message
from broker.hl7v2.segments import Segment
from broker.hl7v2.times import read_interval
from broker.mapping.fitting import Refused
from broker.mapping.groups import MOST_GROUPS, Group, split
from broker.mapping.identifiers import identifier, patient_identifiers
from broker.mapping.row import ACCESSION, FILLER, PATIENT_ID, PATIENT_NAME, PLACER, PROCEDURE_ID, STEP_ID, STUDY_UID
from broker.mapping.rows import RowSet
from broker.mapping.values import OrderReader

MOST_PATIENT_SEGMENTS = MOST_GROUPS + 1
"""PID of one message: some senders repeat it with each order."""


class OrderReading(Protocol):
    """What reading an order needs to know of the site."""

    @property
    def zone(self) -> ZoneInfo:
        """The department's time zone."""

    def rows_for(self, sender: Sender) -> RowSet:
        """The attribute rows as they are for one sender."""


def read(message: Message, received: ReceivedMessage, site: OrderReading) -> PlaceOrder | KeepMessage:
    """Read every order of a message.

    returns  a PlaceOrder; or a KeepMessage with the refusal, when a value refuses the message: no order, no patient id
             or name, an identifier or a start that cannot be taken. Every other fault is a warning.
    source   HL7 2.5.1 4.4.1; IHE RAD TF-2 4.4
    """
    reader = OrderReader(site.rows_for(received.sender), site.zone, received.version)
    try:
        patient, groups = split(message)
        _check_parts(groups, message.segments.named("PID"))
        request = _patient(reader, patient)
        orders = tuple(_orders(reader, groups))
    except Refused as refused:
        return KeepMessage(received, Outcome.REJECTED, refused.refusal.text, refused.refusal)
    except TooMany as bound:
        refusal = Refusal(Cause.TOO_MANY, detail=bound.text)
        return KeepMessage(received, Outcome.REJECTED, refusal.text, refusal, str(bound.facts["place"]))
    return PlaceOrder(received, request, orders, tuple(reader.warnings))


def _check_parts(groups: Sequence[Group], patients: Iterator[Segment]) -> None:
    if not groups or groups[0].first("ORC") is None:
        raise Refused(Refusal(Cause.MISSING, "ORC", detail="no order"))
    if len(groups) > MOST_GROUPS:
        raise Refused(Refusal(Cause.TOO_MANY, "ORC", len(groups), f"more than {MOST_GROUPS} orders"))
    named = {segment.field(3) for segment in islice(patients, MOST_PATIENT_SEGMENTS)}
    if len(named) > 1:
        # Which order would be whose is a guess, and a guess is the wrong patient.
        raise Refused(Refusal(Cause.CONTRADICTION, PATIENT_ID, detail="the message has two patients"))
    if next(patients, None) is not None:
        raise Refused(Refusal(Cause.TOO_MANY, "PID", detail=f"more than {MOST_PATIENT_SEGMENTS} PID"))


def _patient(reader: OrderReader, patient: Group) -> PatientRequest:
    identifiers = patient_identifiers(reader, patient)
    changes = reader.changes("patient", patient)
    if not isinstance(changes.get(PATIENT_NAME), str):
        raise Refused(Refusal(Cause.MISSING, PATIENT_NAME))
    return PatientRequest(identifiers, changes)


def _orders(reader: OrderReader, groups: Sequence[Group]) -> list[OrderRequest]:
    ordinals = _Ordinals()
    orders = []
    for group in groups:
        common = group.first("ORC")
        order_time, order_time_latest = read_interval(_plain(group, common, 9), reader.zone) or (None, None)
        placer, filler = identifier(reader, PLACER, group), identifier(reader, FILLER, group)
        procedure_id, study_uid = (_value(identifier(reader, key, group)) for key in (PROCEDURE_ID, STUDY_UID))
        orders.append(
            OrderRequest(
                group=group.number,
                control=_plain(group, common, 1),
                status=_plain(group, common, 5),
                order_time=order_time,
                order_time_latest=order_time_latest,
                placer=placer,
                filler=filler,
                accession=identifier(reader, ACCESSION, group),
                requested_procedure_id=procedure_id,
                study_uid=study_uid,
                step_id=_value(identifier(reader, STEP_ID, group)),
                ordinal=ordinals.of(placer, filler, procedure_id or study_uid),
                visit=reader.changes("visit", group),
                step=reader.changes("step", group),
            )
        )
    return orders


def _value(number: Identifier | None) -> str | None:
    return number.value if number is not None else None


def _plain(group: Group, segment: Segment | None, number: int) -> str:
    """First component of a field, as sent."""
    if segment is None:
        return ""
    marks = group.delimiters
    return segment.field(number).split(marks.repetition, 1)[0].split(marks.component, 1)[0].strip()


@dataclass(slots=True)
class _Order:
    """One order of the message, and the procedures seen of it."""

    placer: Identifier | None
    filler: Identifier | None
    named: dict[str, int] = field(default_factory=dict)
    count: int = 0


class _Ordinals:
    """Counts the procedures of each order in a message; groups that name the same procedure share its number."""

    def __init__(self) -> None:
        self._orders: list[_Order] = []
        self._by_number: dict[Identifier | None, list[_Order]] = {}

    def of(self, placer: Identifier | None, filler: Identifier | None, procedure: str | None) -> int:
        order = self._order(placer, filler)
        if procedure is not None and procedure in order.named:
            return order.named[procedure]
        order.count += 1
        if procedure is not None:
            order.named[procedure] = order.count
        return order.count

    def _order(self, placer: Identifier | None, filler: Identifier | None) -> _Order:
        """Filler numbers part orders; where one of two is missing, the placer number joins them."""
        for number in (filler, placer):
            for order in self._by_number.get(number, ()) if number is not None else ():
                if filler is None or order.filler is None or order.filler == filler:
                    return order
        order = _Order(placer, filler)
        for number in {placer, filler} - {None}:
            self._by_number.setdefault(number, []).append(order)
        return order
