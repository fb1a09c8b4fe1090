"""Names that change: a value that we filled in yields to the sender's own, and the old one stays as an alias."""

from __future__ import annotations

from dataclasses import replace

from broker.domain.draft import Draft
from broker.domain.order import Alias, AliasKind, Order, RequestedProcedure, ScheduledStep
from broker.domain.request import NO_ISSUER, Identifier, Issuer, OrderRequest


def name_order(draft: Draft, order: Order, request: OrderRequest) -> Order:
    """The order with the numbers that the request adds; a number that changes stays as an alias."""
    placer, known = request.placer, order.placer
    if placer is not None and known is not None and placer.value != known.value:
        _alias(draft, AliasKind.PLACER, known.value, known.issuer, order.id)
    return replace(order, placer=_fuller(known, placer), filler=_fuller(order.filler, request.filler))


def _fuller(known: Identifier | None, sent: Identifier | None) -> Identifier | None:
    """The number as sent; the issuer that is known stays when the same number comes without one."""
    if known is None or sent is None:
        return sent or known
    return known if sent.value == known.value and not sent.issuer else sent


def name_procedure(
    draft: Draft, procedure: RequestedProcedure, request: OrderRequest, *, study_uid_fixed: bool
) -> RequestedProcedure:
    """The procedure with the names the request gives it.

    study_uid_fixed  the study has begun: its UID stays, and the one sent now becomes an alias
    """
    where = (procedure.order_id, procedure.id)
    named = procedure
    sent_id, sent_accession, sent_uid = request.requested_procedure_id, request.accession, request.study_uid
    if sent_id is not None:
        if sent_id != named.requested_procedure_id:
            _alias(draft, AliasKind.PROCEDURE_ID, named.requested_procedure_id, NO_ISSUER, *where)
        named = replace(named, requested_procedure_id=sent_id, generated=named.generated - {"requested_procedure_id"})
    if sent_accession is not None:
        if sent_accession.value != named.accession.value:
            _alias(draft, AliasKind.ACCESSION, named.accession.value, named.accession.issuer, *where)
        accession = _fuller(named.accession, sent_accession) or sent_accession
        named = replace(named, accession=accession, generated=named.generated - {"accession"})
    if sent_uid is None:
        return named
    if sent_uid != named.study_uid:
        given_up = sent_uid if study_uid_fixed else named.study_uid
        _alias(draft, AliasKind.STUDY_UID, given_up, NO_ISSUER, *where)
        if study_uid_fixed:
            return named
    return replace(named, study_uid=sent_uid, generated=named.generated - {"study_uid"})


def name_step(draft: Draft, step: ScheduledStep, request: OrderRequest) -> ScheduledStep:
    """The step under the id that the request gives it."""
    if request.step_id is None:
        return step
    if request.step_id != step.step_id:
        _alias(draft, AliasKind.STEP_ID, step.step_id, NO_ISSUER, step.order_id, step.procedure_id, step.id)
    return replace(step, step_id=request.step_id, generated=step.generated - {"step_id"})


def _alias(
    draft: Draft, kind: AliasKind, value: str, issuer: Issuer, order_id: int,
    procedure_id: int | None = None, step_id: int | None = None,
) -> None:  # fmt: skip
    known = draft.aliases_of(kind, value)
    if not any((a.order_id, a.procedure_id) == (order_id, procedure_id) for a in known):
        draft.aliases.append(Alias(kind, value, issuer, order_id, procedure_id, step_id, "replaced"))
