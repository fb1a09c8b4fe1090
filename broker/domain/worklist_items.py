"""What is different for a worklist item from a file: by what its order is known, and the state that it states.

The law of this file:
- Numbers and accession identify an order as in a message. A file may have none of them, or get them later: then its
  Study Instance UID, else its requested procedure id, else its step id names the order among those of the same sender
  group and patient, as long as no number contradicts.
- A stated state moves a step forward only, never out of CANCELED, COMPLETED or DISCONTINUED; a step that has begun is
  not cancelled by a file; no file completes a step while a performed step is open.
"""

from __future__ import annotations

from broker.domain import identity
from broker.domain.case import Case
from broker.domain.draft import Draft
from broker.domain.identity import Issuers
from broker.domain.order import FINISHED, NOT_STARTED, Alarm, AliasKind, Order, Patient, RequestedProcedure, StepState
from broker.domain.request import Cause, Identifier, OrderRequest, Outcome, Refusal, Sender

_FORWARD = (
    StepState.SCHEDULED, StepState.ARRIVED, StepState.READY, StepState.STARTED, StepState.DEPARTED,
    StepState.COMPLETED, StepState.DISCONTINUED, StepState.CANCELED,
)  # fmt: skip


def find_imported_order(
    draft: Draft, request: OrderRequest, sender: Sender, issuers: Issuers, patient: Patient | None
) -> Order | Refusal | None:
    """The known order that an item means; None when it is a new one; a refusal when nothing names it."""
    if request.filler or request.placer or request.accession:
        found = identity.find_order(draft, request, sender, issuers)
        if found is not None:
            return found
    elif not (request.study_uid or request.requested_procedure_id or request.step_id):
        detail = "neither a number nor a Study Instance UID, procedure id or step id says which step it is"
        return Refusal(Cause.MISSING, "AccessionNumber", request.group, detail)
    if patient is None:
        return None
    meant = [
        order
        for order in draft.orders.values()
        if order.sender_group == sender.group and order.patient_id == patient.id and _means(draft, order, request)
    ]
    if len(meant) > 1:
        return Refusal(Cause.AMBIGUOUS, "AccessionNumber", request.group, "its ids name more than one order")
    return meant[0] if meant else None


def _means(draft: Draft, order: Order, request: OrderRequest) -> bool:
    if _contradicts(order.placer, request.placer) or _contradicts(order.filler, request.filler):
        return False
    return any(_is_named(draft, procedure, request) for procedure in draft.procedures_of(order.id))


def _contradicts(known: Identifier | None, sent: Identifier | None) -> bool:
    return known is not None and sent is not None and known.value != sent.value


def _is_named(draft: Draft, procedure: RequestedProcedure, request: OrderRequest) -> bool:
    sent = request.accession
    if sent is not None and "accession" not in procedure.generated and procedure.accession.value != sent.value:
        return False
    if (uid := request.study_uid) is not None:
        if procedure.study_uid == uid or _was(draft, AliasKind.STUDY_UID, uid, procedure):
            return True
        if "study_uid" not in procedure.generated:
            return False
    if request.requested_procedure_id is not None:
        wanted = request.requested_procedure_id
        return procedure.requested_procedure_id == wanted or _was(draft, AliasKind.PROCEDURE_ID, wanted, procedure)
    if request.step_id is None:
        return False
    return any(step.step_id == request.step_id for step in draft.steps_of(procedure.id))


def _was(draft: Draft, kind: AliasKind, value: str, procedure: RequestedProcedure) -> bool:
    return any(alias.procedure_id == procedure.id for alias in draft.aliases_of(kind, value))


def follow_stated_state(case: Case, request: OrderRequest) -> None:
    """Move the step that a worklist item named to the state that the item states, where that is a way forward."""
    step = case.draft.steps.get(case.taken) if case.taken is not None else None
    wanted = StepState(request.stated)
    if step is None or step.state in FINISHED | {StepState.CANCELED}:
        return
    if _FORWARD.index(wanted) <= _FORWARD.index(step.state):
        return
    if wanted is StepState.CANCELED and step.state not in NOT_STARTED:
        return
    if wanted in FINISHED and case.draft.forest.is_in_progress(step.id):
        case.draft.alarms.append(Alarm("completed-while-performing", f"step {step.id}", step.order_id))
        return
    case.move(step, wanted, request.group)
    case.ended(Outcome.CANCELLED if wanted is StepState.CANCELED else Outcome.UPDATED)
