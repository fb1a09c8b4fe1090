"""Order messages and books for tests of the rules: short ways to say who sends what about whom."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any
from zoneinfo import ZoneInfo

from broker.domain.identity import Issuers
from broker.domain.order import Event, Forest, ScheduledStep, StepState
from broker.domain.order_control import SHIPPED
from broker.domain.orderbook import OrderBook
from broker.domain.ordering import decide
from broker.domain.request import (
    NO_ISSUER,
    Identifier,
    Issuer,
    MessageAnswer,
    OrderRequest,
    PatientRequest,
    PlaceOrder,
    ReceivedMessage,
    Sender,
)
from broker.domain.rules import RowFacts, Rules
from broker.domain.scheduling import MODALITY, START_DATE, START_TIME

HOSP = Issuer("HOSP")
NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
ROWS = RowFacts(
    descriptive=frozenset({"RequestedProcedureDescription", "RequestedProcedureCodeSequence", "AccessionNumber"}),
    type_1=frozenset({"PatientName", "PatientID", MODALITY}),
)
RULES = Rules(zone=ZoneInfo("Europe/Berlin"), order_control=SHIPPED, rows=ROWS)


def code(value: str) -> list[dict[str, str]]:
    return [{"CodeValue": value, "CodingSchemeDesignator": "99X", "CodeMeaning": value.title()}]


def order(control: str = "NW", status: str = "", **said: Any) -> OrderRequest:
    """One ORC/OBR group: placer PO1, CT on 2026-03-02 10:15, unless said otherwise; None leaves a value out."""
    values: dict[str, Any] = {MODALITY: "CT", START_DATE: "20260302", START_TIME: "101500", **said.pop("step", {})}
    numbers = {name: _number(said.pop(name, default)) for name, default in _NUMBERS.items()}
    return OrderRequest(
        group=said.pop("group", 1),
        control=control,
        status=status,
        order_time=said.pop("at", None),
        requested_procedure_id=said.pop("procedure_id", None),
        study_uid=said.pop("study_uid", None),
        step_id=said.pop("step_id", None),
        ordinal=said.pop("ordinal", 1),
        visit=said.pop("visit", {}),
        step={key: value for key, value in values.items() if value is not None},
        **numbers,
        **said,
    )


_NUMBERS: Mapping[str, str | None] = {"placer": "PO1", "filler": None, "accession": None}


def _number(said: str | Identifier | None) -> Identifier | None:
    return Identifier(said) if isinstance(said, str) else said


class Ris:
    """A sender whose messages are decided one after the other on one book. told: events of the last message."""

    def __init__(self, rules: Rules = RULES, application: str = "RIS", facility: str = "HOSP") -> None:
        numbers = count(1)
        self.book = OrderBook(
            forest=Forest(),
            issuers=Issuers(frozenset(), rules.authorities),
            rules=rules,
            now=NOON,
            new_id=lambda name: next(numbers),
            new_uid=lambda procedure_id: f"2.25.{procedure_id}",
        )
        self.application, self.facility = application, facility
        self.control_ids = count(1)
        self.alarms: list[str] = []
        self.events: list[str] = []
        self.told: list[Event] = []

    def send(
        self,
        *orders: OrderRequest,
        patient: str | Identifier = "P1",
        issuer: Issuer = HOSP,
        others: tuple[Identifier, ...] = (),
        values: Mapping[str, Any] | None = None,
        sent: datetime | None = None,
        control_id: str | None = None,
        digest: str | None = None,
        sender: Sender | None = None,
    ) -> MessageAnswer:
        """Decide one message; what it changed is taken in. sent: MSH-7."""
        number = str(next(self.control_ids))
        message = ReceivedMessage(
            raw=b"",
            peer="127.0.0.1:1",
            received_at=self.book.now,
            sender=sender or Sender(self.application, self.facility, f"{self.application}|{self.facility}"),
            control_id=number if control_id is None else control_id,
            message_time=sent,
            digest=digest or number,
        )
        first = patient if isinstance(patient, Identifier) else Identifier(patient, issuer)
        changes = {"PatientName": "Doe^Jane"} if values is None else values
        request = PlaceOrder(message, PatientRequest((first, *others), changes), tuple(orders))
        draft = self.book.draft()
        answer = decide(draft, request)
        self.alarms += [alarm.kind for alarm in draft.alarms]
        self.events += [event.kind for event in draft.events]
        self.told = draft.events
        self.book.fold(draft)
        return answer

    def steps(self) -> list[ScheduledStep]:
        return sorted(self.book.forest.steps.values(), key=lambda step: step.id)

    def step(self) -> ScheduledStep:
        (only,) = self.steps()
        return only

    def procedure(self) -> Any:
        (only,) = self.book.forest.procedures.values()
        return only

    def put_state(self, state: StepState) -> None:
        """As if the modality had moved the only step."""
        step = self.step()
        self.book.forest.steps[step.id] = replace(step, state=state)

    def later(self, **span: float) -> None:
        self.book.now += timedelta(**span)


def named(value: str, issuer: Issuer = NO_ISSUER) -> Identifier:
    return Identifier(value, issuer)
