"""What an order message does: the decision, pure. Load and apply stand in `workflow/place_order.py`.

One message succeeds or fails as a whole. Each order of it is found or made (identity), compared in time (in_time), and
its steps changed as the order control says (order_control). A refusal is a decision like any other.
"""

from __future__ import annotations

from dataclasses import replace

from broker.domain import identity, in_time, order_control, scheduling
from broker.domain.case import Case, touch
from broker.domain.changes import detail_of
from broker.domain.holding import hold_alarms
from broker.domain.making import STATE_AFTER, new_order, new_procedure, new_step, settle
from broker.domain.naming import name_order, name_procedure, name_step
from broker.domain.order import (
    BEGUN,
    NOT_STARTED,
    Alarm,
    Alias,
    AliasKind,
    Order,
    RequestedProcedure,
    ScheduledStep,
    StepState,
)
from broker.domain.order_control import Action, Row
from broker.domain.orderbook import JournalEntry, OrderDraft, RememberedCancel, repeat_key
from broker.domain.patients import update_patient
from broker.domain.request import (
    NO_ISSUER,
    Cause,
    MessageAnswer,
    OrderRequest,
    Outcome,
    PlaceOrder,
    ReceivedMessage,
    Refusal,
)
from broker.domain.scheduling import merge
from broker.domain.worklist_items import find_imported_order, follow_stated_state


def decide(draft: OrderDraft, request: PlaceOrder) -> MessageAnswer:
    """Decide an order message; the draft then holds all there is to write."""
    message = request.message
    first = draft.book.first_answers.get(repeat_key(message)) if message.control_id else None
    if first is not None:
        reason, answers = f"repeat of message {first.message_id}", first.message_id
        own = _journal(draft, message, Outcome.DUPLICATE, reason, answers=answers)
        return MessageAnswer(answers, first.answered_at, Outcome.DUPLICATE, journal_id=own.id)
    ended = place(draft, request)
    if isinstance(ended, Refusal):
        draft.withdraw()
        location = request.locate(ended)
        entry = _journal(draft, message, Outcome.REJECTED, ended.text, cause=ended.cause, location=location)
        draft.cancels = [replace(cancel, message_id=entry.id) for cancel in draft.cancels]
        return MessageAnswer(entry.id, entry.answered_at, Outcome.REJECTED, ended, location, request.warnings)
    outcome, reason = ended
    entry = _journal(draft, message, outcome, "; ".join(filter(None, (reason, *request.warnings))))
    draft.events = [replace(event, message_id=entry.id) for event in draft.events]
    draft.alarms += hold_alarms(draft.events)
    return MessageAnswer(entry.id, entry.answered_at, outcome, warnings=request.warnings)


def _journal(
    draft: OrderDraft,
    message: ReceivedMessage,
    outcome: Outcome,
    reason: str,
    cause: Cause | None = None,
    location: str = "",
    answers: int | None = None,
) -> JournalEntry:
    number = draft.book.new_id("messages")
    draft.journal = JournalEntry(number, message, outcome, reason, draft.book.now, cause, location, answers)
    return draft.journal


PRIORITY = (Outcome.HELD, Outcome.CREATED, Outcome.CANCELLED, Outcome.UPDATED, Outcome.SUPERSEDED, Outcome.UNCHANGED)
"""Which outcome a message has whose orders ended differently: the one that asks most of its reader."""


def place(draft: OrderDraft, request: PlaceOrder) -> tuple[Outcome, str] | Refusal:
    """Place all orders of a request in the draft; the outcome with its reason, or what refuses the whole of it."""
    rules, issuers = draft.book.rules, draft.book.issuers
    keys = identity.patient_keys(request.patient, request.message.sender, rules.default_issuer, issuers)
    if isinstance(keys, Refusal):
        return keys
    patient = identity.find_patient(draft.patients.values(), keys.keys, issuers)
    if isinstance(patient, Refusal):
        return patient
    case = Case(draft, request, keys, patient)
    for order in request.orders:
        refusal = _take(case, order)
        if refusal is not None:
            return refusal
        if order.stated:
            follow_stated_state(case, order)
    _replace_derived(case)
    if case.took_values:
        update_patient(case)
    outcome = next((o for o in PRIORITY if o in case.outcomes), Outcome.UNCHANGED)
    return outcome, "; ".join(case.reasons)


def _take(case: Case, request: OrderRequest) -> Refusal | None:
    """One order of the message."""
    row = order_control.row_of(case.rules.order_control, request.control, request.status)
    if row is None:
        return order_control.not_in_table(request.control, request.group)
    order = _known_order(case, request)
    if isinstance(order, Refusal):
        return order
    if order is None:
        return _unknown(case, request, row)
    if case.patient is None or order.patient_id != case.patient.id:
        case.draft.alarms.append(
            Alarm("other-patient", f"order {order.id}", order.id, "order message for another patient")
        )
        return Refusal(Cause.OTHER_PATIENT, "PatientID")
    if _creates(row):
        return _take_values(case, order, request, row)
    return _take_status(case, order, request, row)


def _known_order(case: Case, request: OrderRequest) -> Order | Refusal | None:
    sender, issuers = case.request.message.sender, case.book.issuers
    if case.request.imported:
        return find_imported_order(case.draft, request, sender, issuers, case.patient)
    return identity.find_order(case.draft, request, sender, issuers)


def _creates(row: Row) -> bool:
    """True for rows that carry an order's values (NW, XO); the others (SC, CA, DC) only move states."""
    return order_control.action_for(row, None) is Action.CREATE


def _unknown(case: Case, request: OrderRequest, row: Row) -> Refusal | None:
    action = order_control.action_for(row, None)
    numbers = (request.placer, request.filler, request.accession)
    placer, filler, accession = (number.value if number else None for number in numbers)
    if action is Action.CREATE:
        stop = _stopping_cancel(case, request)
        if stop is None:
            return _take_values(case, None, request, row)
        detail = f"a cancel came before it (message {stop.message_id}) and is remembered for 24 hours; newer is taken"
        case.draft.alarms.append(Alarm("order-after-cancel", f"order {placer or filler or accession}", detail=detail))
        case.ended(Outcome.SUPERSEDED, "a cancel of this order came before it")
        return None
    if action is Action.NOTHING:
        case.ended(Outcome.UNCHANGED)
        return None
    if order_control.cancels(row):
        sender = case.request.message.sender
        case.draft.remember(
            RememberedCancel(
                case.book.new_id("remembered_cancels"), sender.group, sender.application,
                placer, filler, accession, case.stamps(request), case.book.now,
            )
        )  # fmt: skip
    subject = "PlacerOrderNumberImagingServiceRequest" if placer else "FillerOrderNumberImagingServiceRequest"
    return Refusal(Cause.UNKNOWN_ORDER, subject if placer or filler else "AccessionNumber", request.group)


def _stopping_cancel(case: Case, request: OrderRequest) -> RememberedCancel | None:
    """A cancel of the last 24 hours that this order is not strictly newer than."""
    message, sent = case.request.message, case.stamps(request)
    for cancel in case.book.cancels:
        if cancel.sender_group != message.sender.group or case.book.now - cancel.at > case.book.remembered:
            continue
        pairs = [(cancel.placer, request.placer), (cancel.filler, request.filler)]
        if not (cancel.placer or cancel.filler) or not (request.placer or request.filler):
            pairs = [(cancel.accession, request.accession)]
        named = any(held is not None and sent_ is not None and held == sent_.value for held, sent_ in pairs)
        if named and in_time.age(sent, cancel.stamps) is not in_time.Age.NEWER:
            return cancel
    return None


def _take_values(case: Case, order: Order | None, request: OrderRequest, row: Row) -> Refusal | None:
    """NW and XO: find or make order, procedure and step, then change the step as its state allows."""
    refusal = _foreign_study_uid(case, request)
    if refusal is not None:
        return refusal
    if order is None:
        order = new_order(case, request)
    procedure = identity.find_procedure(case.draft, order, request, frozenset(case.named_procedures))
    if isinstance(procedure, Refusal):
        return procedure
    modality = request.step.get(scheduling.MODALITY)
    said = modality if isinstance(modality, str) else None
    step = identity.find_step(case.draft, procedure, request, said, frozenset(case.named_steps)) if procedure else None
    if procedure and step:
        if step.id in case.named_steps:
            request = replace(request, step=scheduling.continued(step.values, request.step))
        return _change(case, order, procedure, step, request, row)
    if cancelled := _cancelled_since(case, order, request):
        _superseded(case, cancelled, request, row)
        return None
    procedure = procedure or new_procedure(case, order, request)
    return procedure if isinstance(procedure, Refusal) else new_step(case, procedure, request, row)


def _cancelled_since(case: Case, order: Order, request: OrderRequest) -> ScheduledStep | None:
    """A step of an order that is cancelled as a whole, and that the request is not strictly newer than."""
    steps, sent = case.draft.steps_of_order(order.id), case.stamps(request)
    if any(step.state is not StepState.CANCELED for step in steps):
        return None
    return next((step for step in steps if in_time.age(sent, step.stamps) is not in_time.Age.NEWER), None)


def _foreign_study_uid(case: Case, request: OrderRequest) -> Refusal | None:
    """A Study Instance UID belongs to the patient of the procedure that names it."""
    if request.study_uid is None:
        return None
    owners = identity.study_uid_owner(case.draft, request.study_uid)
    if not owners - ({case.patient.id} if case.patient else set()):
        return None
    detail = "order message refused: the Study Instance UID is another patient's"
    case.draft.alarms.append(Alarm("study-uid-of-other-patient", request.study_uid, detail=detail))
    return Refusal(
        Cause.OTHER_PATIENT, "StudyInstanceUID", request.group, "the Study Instance UID is another patient's"
    )


def _change(
    case: Case,
    order: Order,
    procedure: RequestedProcedure,
    step: ScheduledStep,
    request: OrderRequest,
    row: Row,
) -> Refusal | None:
    """Change one known step as the order control and its state say."""
    case.named_procedures.add(procedure.id)
    case.named_steps.add(step.id)
    age = in_time.age(case.stamps(request), step.stamps)
    action = order_control.action_for(row, step.state)
    if age is in_time.Age.OLDER or (action is Action.REVIVE and age is not in_time.Age.NEWER):
        _superseded(case, step, request, row)
        return None
    if action is Action.REFUSE:
        return Refusal(Cause.STATE_FORBIDS, "ORC-1", request.group, f"the step is {step.state.value}")
    if action in (Action.UPDATE, Action.DESCRIPTIVE, Action.VALUES, Action.REVIVE):
        return _change_values(case, order, procedure, step, request, action)
    if action is Action.COMPLETE_UNLESS_OPEN and case.draft.forest.is_in_progress(step.id):
        detail = "ORC-5 says complete; a performed step is still in progress"
        case.draft.alarms.append(Alarm("completed-while-performing", f"step {step.id}", step.order_id, detail))
        action = Action.NOTHING
    stamped = replace(step, stamps=in_time.latest(step.stamps, case.stamps(request)))
    if action is Action.NOTHING:
        if order_control.cancels(row):
            # What comes back must be newer than the last cancel, not only than the first.
            case.draft.put(stamped)
        case.event("unchanged", step, request.group)
        case.ended(Outcome.UNCHANGED)
        return None
    case.move(stamped, STATE_AFTER[action], request.group)
    case.ended(Outcome.CANCELLED if action in order_control.CANCELLING else Outcome.UPDATED)
    return None


def _superseded(case: Case, step: ScheduledStep, request: OrderRequest, row: Row) -> None:
    case.event("superseded", step, request.group)
    if order_control.cancels(row):
        detail = f"{request.control} is older than what is known; the step stays {step.state.value}"
        case.draft.alarms.append(Alarm("cancel-superseded", f"step {step.id}", step.order_id, detail))
    case.ended(Outcome.SUPERSEDED, "older than what is known")


def _change_values(
    case: Case,
    order: Order,
    procedure: RequestedProcedure,
    step: ScheduledStep,
    request: OrderRequest,
    action: Action,
) -> Refusal | None:
    """Take the values of NW or XO: all of them, or the descriptive ones of a step that has begun."""
    descriptive = action is Action.DESCRIPTIVE
    rows = case.rules.rows
    only = rows.descriptive if descriptive else None
    begun = any(s.state in BEGUN for s in case.draft.steps_of(procedure.id))
    visit = merge(order.visit, request.visit, type_1=rows.type_1, only=only)
    order_now = replace(name_order(case.draft, order, request), visit=visit)
    procedure_now = name_procedure(case.draft, procedure, request, study_uid_fixed=begun)
    step_now = name_step(case.draft, step, request)
    step_now = replace(
        step_now,
        values=merge(step.values, request.step, type_1=rows.type_1, only=only),
        stamps=in_time.latest(step.stamps, case.stamps(request)),
    )
    if not descriptive:
        settled = settle(case, procedure_now, step_now, request)
        if isinstance(settled, Refusal):
            return settled
        step_now = settled
    same = (order_now, procedure_now, replace(step_now, stamps=step.stamps)) == (order, procedure, step)
    if order_now != order:
        case.draft.put(order_now)
        touch(case.draft, case.draft.steps_of_order(order.id))
    if procedure_now != procedure:
        case.draft.put(procedure_now)
        touch(case.draft, case.draft.steps_of(procedure.id))
    case.keep(procedure_now, step_now)
    effect = "descriptive" if descriptive else "update"
    detail = detail_of((order, order_now), (procedure, procedure_now), (step, step_now))
    case.event("unchanged" if same else "updated", step_now, request.group, effect=effect, detail=detail)
    case.tell_hold(step.held, step_now, request.group)
    if action is Action.REVIVE:
        case.move(step_now, StepState.SCHEDULED, request.group)
        same = False
    held_now = step_now.held and step_now.held != step.held
    case.ended(
        Outcome.HELD if held_now else Outcome.UNCHANGED if same else Outcome.UPDATED,
        f"held: {step_now.held}" if held_now else "",
    )
    return None


def _take_status(case: Case, order: Order, request: OrderRequest, row: Row) -> Refusal | None:
    """SC, CA and DC: move the steps that the message names; without names, all of the order."""
    targets = _named_steps(case, order, request)
    if not targets:
        subject = "RequestedProcedureID" if request.requested_procedure_id else "AccessionNumber"
        return Refusal(Cause.UNKNOWN_ORDER, subject, request.group, "the order has no such procedure or step")
    for procedure, step in targets:
        refusal = _change(case, order, procedure, step, request, row)
        if refusal is not None:
            return refusal
    return None


def _named_steps(case: Case, order: Order, request: OrderRequest) -> list[tuple[RequestedProcedure, ScheduledStep]]:
    draft = case.draft
    siblings = [r for r in case.request.orders if (r.placer, r.filler) == (request.placer, request.filler)]
    if not (request.requested_procedure_id or request.study_uid or request.step_id) and len(siblings) == 1:
        return [(p, s) for p in identity.procedures_meant(draft, order, request) for s in draft.steps_of(p.id)]
    procedure = identity.find_procedure(draft, order, request, frozenset(case.named_procedures))
    if procedure is None or isinstance(procedure, Refusal):
        return []
    if request.step_id is None:
        return [(procedure, step) for step in draft.steps_of(procedure.id)]
    step = identity.find_step(draft, procedure, request, None, frozenset(case.named_steps))
    return [(procedure, step)] if step else []


def _replace_derived(case: Case) -> None:
    """Where a message named steps, those that we had derived and that have not begun give way to them."""
    for procedure_id in case.named_procedures:
        steps = case.draft.steps_of(procedure_id)
        named = [s for s in steps if s.id in case.named_steps and "step_id" not in s.generated]
        if not named or not case.took_values:
            continue
        for step in steps:
            if "step_id" in step.generated and step.id not in case.named_steps and step.state in NOT_STARTED:
                case.event("replaced", step, 0, before=step.state.value, after=StepState.CANCELED.value)
                case.draft.put(replace(step, state=StepState.CANCELED))
                heir = next((s for s in named if s.modality == step.modality), named[0])
                case.draft.aliases.append(
                    Alias(
                        AliasKind.STEP_ID,
                        step.step_id,
                        NO_ISSUER,
                        step.order_id,
                        procedure_id,
                        heir.id,
                        "derived",
                    )
                )
