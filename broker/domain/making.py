"""New orders, procedures and steps: what the sender left out is filled in by rule, and marked."""

from __future__ import annotations

from dataclasses import replace

from broker.domain import order_control, scheduling
from broker.domain.case import Case
from broker.domain.order import (
    AliasKind,
    Order,
    Patient,
    PatientIdentifier,
    RequestedProcedure,
    ScheduledStep,
    StepState,
)
from broker.domain.order_control import Action, Row
from broker.domain.request import Cause, Identifier, OrderRequest, Outcome, Refusal, Values
from broker.domain.rules import Policy, Rules
from broker.domain.scheduling import merge

STATE_AFTER = {
    Action.START: StepState.STARTED,
    Action.COMPLETE: StepState.COMPLETED,
    Action.COMPLETE_UNLESS_OPEN: StepState.COMPLETED,
    Action.CANCEL: StepState.CANCELED,
    Action.DISCONTINUE: StepState.DISCONTINUED,
}


_PROCEDURE_KEYS = {
    "accession": "AccessionNumber",
    "study_uid": "StudyInstanceUID",
    "requested_procedure_id": "RequestedProcedureID",
}


def new_order(case: Case, request: OrderRequest) -> Order:
    if case.patient is None:
        identifiers = tuple(PatientIdentifier(key.value, key.issuer) for key in case.keys.keys)
        case.patient = Patient(case.book.new_id("patients"), identifiers)
        case.draft.put(case.patient)
    sender = case.request.message.sender
    visit = merge({}, request.visit, type_1=case.rules.rows.type_1)
    number = case.book.new_id("orders")
    order = Order(number, case.patient.id, sender.group, request.placer, request.filler, visit)
    case.draft.put(order)
    return order


def new_procedure(case: Case, order: Order, request: OrderRequest) -> RequestedProcedure | Refusal:
    """Fill in what the sender left out, and mark it: accession, Study Instance UID, requested procedure id."""
    missing = case.rules.missing
    for name, key in _PROCEDURE_KEYS.items():
        if getattr(request, name) is None and getattr(missing, name) is Policy.REJECT:
            return Refusal(Cause.MISSING, key, request.group, f"no {name.replace('_', ' ')}")
    number = case.book.new_id("requested_procedures")
    taken = {p.ordinal for p in case.draft.procedures_of(order.id)}
    ordinal = request.ordinal if request.ordinal not in taken else max(taken) + 1
    accession = request.accession or Identifier(_new_accession(case, order))
    procedure = RequestedProcedure(
        number,
        order.id,
        ordinal,
        request.requested_procedure_id or _new_procedure_id(case, order, accession.value, ordinal),
        accession,
        request.study_uid or case.book.new_uid(number),
        frozenset(name for name in _PROCEDURE_KEYS if getattr(request, name) is None),
    )
    case.draft.put(procedure)
    return procedure


def _new_accession(case: Case, order: Order) -> str:
    def taken(number: str) -> bool:
        carriers = case.draft.procedures.with_key("accession", number)
        names = [p.order_id for p in carriers if p.accession.value == number]
        names += [alias.order_id for alias in case.draft.aliases_of(AliasKind.ACCESSION, number)]
        return any(order_id != order.id for order_id in names)

    numbers = case.rules.numbers
    proposed = scheduling.proposed_accession(_number(order.filler), _number(order.placer), taken)
    if proposed is not None:
        return proposed
    return numbers.accession_prefix + str(case.book.new_id("accession")).zfill(numbers.accession_width)


def _new_procedure_id(case: Case, order: Order, accession: str, ordinal: int) -> str:
    used = {p.requested_procedure_id for p in case.draft.procedures_of(order.id)}
    derived = scheduling.derived_procedure_id(_number(order.filler), _number(order.placer), accession, ordinal)
    if derived is not None and derived not in used:
        return derived
    numbers = case.rules.numbers
    return numbers.procedure_prefix + str(case.book.new_id("procedure_number")).zfill(numbers.id_width)


def _number(identifier: Identifier | None) -> str | None:
    return identifier.value if identifier else None


def new_step(case: Case, procedure: RequestedProcedure, request: OrderRequest, row: Row) -> Refusal | None:
    if request.step_id is None and case.rules.missing.step_id is Policy.REJECT:
        return Refusal(Cause.MISSING, scheduling.STEP_ID, request.group, "no scheduled procedure step id")
    ordinal = len(case.draft.steps_of(procedure.id)) + 1
    bare = ScheduledStep(
        id=case.book.new_id("scheduled_steps"),
        order_id=procedure.order_id,
        procedure_id=procedure.id,
        ordinal=ordinal,
        step_id=request.step_id or _new_step_id(case, procedure, ordinal),
        state=StepState.SCHEDULED,
        held=None,
        modality=None,
        stations=(),
        start_at=None,
        received_at=case.request.message.received_at,
        values=merge({}, request.step, type_1=case.rules.rows.type_1),
        generated=frozenset() if request.step_id else frozenset({"step_id"}),
        stamps=case.stamps(request),
    )
    step = settle(case, procedure, bare, request)
    if isinstance(step, Refusal):
        return step
    case.event("created", step, request.group, after=step.state.value, effect="update")
    case.tell_hold(None, step, request.group)
    case.keep(procedure, step)
    case.ended(Outcome.HELD if step.held else Outcome.CREATED, f"held: {step.held}" if step.held else "")
    action = order_control.action_for(row, step.state)
    if action in STATE_AFTER:
        case.move(step, STATE_AFTER[action], request.group)
    return None


def _new_step_id(case: Case, procedure: RequestedProcedure, ordinal: int) -> str:
    used = {step.step_id for step in case.draft.steps_of(procedure.id)}
    derived = scheduling.numbered(procedure.requested_procedure_id, ordinal)
    if scheduling.fits_short_string(derived) and derived not in used:
        return derived
    numbers = case.rules.numbers
    return numbers.step_prefix + str(case.book.new_id("step_number")).zfill(numbers.id_width)


def settle(
    case: Case, procedure: RequestedProcedure, step: ScheduledStep, request: OrderRequest
) -> ScheduledStep | Refusal:
    """The step with modality, stations, start and hold settled anew from its values."""
    patient = merge(case.patient.values if case.patient else {}, case.request.patient.changes, type_1=frozenset())
    settled = settle_step(step, procedure, patient, case.sender_name, case.rules)
    if isinstance(settled, Refusal):
        return replace(settled, group=request.group)
    for text in unknown_stations(step, case.rules):
        case.give_reason(text)
    return settled


def unknown_stations(step: ScheduledStep, rules: Rules) -> list[str]:
    """What the journal says of stations that the sender named and the profile does not."""
    sent = step.values.get(scheduling.STATION, [])
    titles = [sent] if isinstance(sent, str) else sent
    return [
        f"station {title} is not in the profile" for title in titles if rules.stations and title not in rules.stations
    ]


def settle_step(
    step: ScheduledStep, procedure: RequestedProcedure, patient: Values, sender: str, rules: Rules
) -> ScheduledStep | Refusal:
    """Settle a step's schedule from its values, and hold it for generated values that the profile wants to be sent."""
    schedule = scheduling.settle(step.values, patient, sender, rules, step.received_at)
    if isinstance(schedule, Refusal):
        return schedule
    made = [*procedure.generated, *(step.generated & {"step_id"})]
    reasons = [f"no {name.replace('_', ' ')}" for name in sorted(made) if getattr(rules.missing, name) is Policy.HOLD]
    if schedule.held:
        reasons.append(schedule.held)
    return replace(
        step,
        modality=schedule.modality,
        stations=schedule.stations,
        start_at=schedule.start_at,
        held="; ".join(reasons) or None,
        generated=(step.generated & {"step_id"}) | schedule.generated,
    )
