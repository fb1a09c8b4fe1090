"""Record what a modality says it does: an N-CREATE or N-SET, kept as received, and its effect on scheduled steps."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Protocol

from broker.domain.draft import Draft
from broker.domain.linking import How, Link, Linking, Sure, link
from broker.domain.order import Alarm, Alias, AliasKind, Event, PerformedState, StepState
from broker.domain.performed import (
    PerformedAnswer,
    PerformedCreate,
    PerformedMessage,
    PerformedSet,
    PerformedStep,
    Progress,
    Verdict,
    may_create,
    may_set,
    state_on_end,
    state_on_start,
)
from broker.domain.request import NO_ISSUER
from broker.domain.rules import Rules
from broker.domain.timeline import next_moment
from broker.mapping.rows import RowSet
from broker.store.database import Transaction
from broker.store.ids import Ids
from broker.store.performed import (
    KeptMessage,
    StoredLink,
    add_links,
    add_performed,
    change_performed,
    keep_messages,
    performed_by_uid,
)
from broker.store.writer import Decision, Verb
from broker.workflow.link_objects import Candidates, alarms_of, load_candidates
from broker.workflow.save_orders import save_drafts

Request = PerformedCreate | PerformedSet
Known = tuple[PerformedStep, tuple[Link, ...]]


class Site(Protocol):
    """What we need of the site profile."""

    @property
    def rules(self) -> Rules: ...
    @property
    def rows(self) -> RowSet: ...


@dataclass(slots=True)
class PerformedDraft:
    """One request's changes over the batch's state.

    known     performed steps with their links, by SOP Instance UID
    of_steps  scheduled step id -> performed step id -> state
    starts    procedure id -> earliest performed start
    """

    orders: Draft
    candidates: Candidates
    known: ChainMap[str, Known]
    of_steps: ChainMap[int, dict[int, PerformedState]]
    starts: ChainMap[int, str]


@dataclass(slots=True)
class PerformedLoaded:
    """The state of a batch (store/writer.py: State)."""

    candidates: Candidates
    known: dict[str, Known]

    def draft(self) -> PerformedDraft:
        forest = self.candidates.forest
        return PerformedDraft(
            Draft(forest), self.candidates, ChainMap({}, self.known), ChainMap({}, forest.performed),
            ChainMap({}, forest.study_starts),
        )  # fmt: skip

    def fold(self, draft: PerformedDraft) -> None:
        forest = self.candidates.forest
        draft.orders.fold()
        self.candidates.names.add(draft.orders.aliases)
        self.known.update(draft.known.maps[0])
        forest.performed.update(draft.of_steps.maps[0])
        forest.study_starts.update(draft.starts.maps[0])


@dataclass(slots=True)
class PerformedChanges:
    """What one request writes. created: the performed step is new."""

    draft: PerformedDraft
    step: PerformedStep
    created: bool
    message: PerformedMessage
    links: list[StoredLink] = field(default_factory=list)


def record_performed_verb(site: Site, ids: Ids) -> Verb:
    """The verb for PerformedCreate and PerformedSet; it answers with a PerformedAnswer."""

    def load(tx: Transaction, requests: Sequence[Request]) -> PerformedLoaded:
        known = performed_by_uid(tx, {request.message.sop_instance_uid for request in requests})
        keys = [key for request in requests if isinstance(request, PerformedCreate) for key in request.items]
        linked = {one.order_id for _, links in known.values() for one in links}
        return PerformedLoaded(load_candidates(tx, keys, site.rules.authorities, linked), dict(known))

    def decide(draft: PerformedDraft, request: Request) -> Decision:
        if isinstance(request, PerformedCreate):
            return _create(draft, request, ids)
        return _set(draft, request)

    def apply(tx: Transaction, decisions: Sequence[Decision]) -> None:
        _apply(tx, [d.changes for d in decisions if d.changes is not None], site.rows, ids)

    return Verb("record_performed", _keys, load, decide, apply)


def _keys(request: Request) -> list[str]:
    keys = {f"performed:{request.message.sop_instance_uid}"}
    if isinstance(request, PerformedCreate):
        keys |= {f"patient:{item.patient_id}" for item in request.items if item.patient_id}
        keys |= {f"{kind.value}:{value}" for item in request.items for kind, value in item.names()}
    return sorted(keys)


def _create(draft: PerformedDraft, request: PerformedCreate, ids: Ids) -> Decision:
    uid = request.message.sop_instance_uid
    present = draft.known.get(uid)
    verdict = may_create(present[0] if present else None, request)
    if verdict is not Verdict.RECORDED:
        return Decision(None, PerformedAnswer(verdict, present[0].id if present else None))
    issuers = draft.candidates.issuers
    found = [link(draft.candidates.names, draft.orders, item, issuers) for item in request.items]
    links = tuple({(one.procedure_id, one.step_id): one for linking in found for one in linking.links}.values())
    at = draft.orders.moment(request.message.received_at, [one.order_id for one in links])
    step = _performed(request, ids.next("performed_steps"), at)
    draft.known[uid] = (step, links)
    _tell(draft, found, uid)
    for one in links:
        _start(draft, step, one)
    _name_study(draft, request, found)
    stored = [StoredLink(ids.next("performed_links"), step.id, one) for one in links]
    changes = PerformedChanges(draft, step, True, replace(request.message, received_at=at), stored)
    return Decision(changes, PerformedAnswer(Verdict.RECORDED, step.id))


def _performed(request: PerformedCreate, key: int, at: datetime) -> PerformedStep:
    return PerformedStep(
        id=key,
        sop_instance_uid=request.message.sop_instance_uid,
        state=request.state,
        performed_id=request.performed_id,
        patient_number=request.patient_number,
        patient_issuer=request.patient_issuer,
        modality=request.modality,
        station_ae_title=request.station_ae_title,
        started_at=request.started_at,
        ended_at=request.progress.ended_at,
        reason=request.progress.reason or "",
        series_count=request.progress.series_count or 0,
        image_count=request.progress.image_count or 0,
        peer=request.message.peer,
        created_at=at,
        updated_at=at,
    )


def _tell(draft: PerformedDraft, found: Sequence[Linking], uid: str) -> None:
    alarms = [alarm for linking in found for alarm in alarms_of(linking, uid)]
    draft.orders.alarms.extend(dict.fromkeys(alarms))


def _start(draft: PerformedDraft, step: PerformedStep, one: Link) -> None:
    """Write down the link, and move the scheduled step when the link is sure enough."""
    detail = {"how": one.how.value, "sure": one.sure.value, "sop_instance_uid": step.sop_instance_uid}
    draft.orders.events += [
        _event(step, one, "linked", None, None, detail),
        _event(step, one, "performed", None, step.state.value, detail | {"station": step.station_ae_title}),
    ]
    if one.sure is Sure.PROPOSAL:
        return
    _study_starts(draft, step, one.procedure_id)
    if one.step_id is None:
        return
    draft.of_steps[one.step_id] = draft.of_steps.get(one.step_id, {}) | {step.id: step.state}
    before = draft.orders.steps[one.step_id].state
    _move(draft, step, one, state_on_start(before, one))
    if before is StepState.CANCELED:
        draft.orders.alarms.append(
            Alarm("performed-on-cancelled", step.sop_instance_uid, one.order_id, "work began on a cancelled step")
        )


def _study_starts(draft: PerformedDraft, step: PerformedStep, procedure_id: int) -> None:
    """The earliest performed start is a fact of the procedure: its steps are encoded anew."""
    if step.started_at and step.started_at < draft.starts.get(procedure_id, "9"):
        draft.starts[procedure_id] = step.started_at
        for scheduled_id in draft.candidates.names.steps_of(procedure_id):
            draft.orders.put(draft.orders.steps[scheduled_id])


def _move(draft: PerformedDraft, step: PerformedStep, one: Link, state: StepState) -> None:
    assert one.step_id is not None
    scheduled = draft.orders.steps[one.step_id]
    if scheduled.state is state:
        return
    draft.orders.put(replace(scheduled, state=state))
    detail = {"sop_instance_uid": step.sop_instance_uid}
    draft.orders.events.append(_event(step, one, "state", scheduled.state.value, state.value, detail))


def _event(
    step: PerformedStep, one: Link, kind: str, before: str | None, after: str | None, detail: dict[str, str]
) -> Event:
    return Event(
        at=step.created_at,
        order_id=one.order_id,
        kind=kind,
        actor=f"dicom:{step.peer}",
        procedure_id=one.procedure_id,
        step_id=one.step_id,
        before=before,
        after=after,
        performed_step_id=step.id,
        detail=detail,
    )


def _name_study(draft: PerformedDraft, request: PerformedCreate, found: Sequence[Linking]) -> None:
    """A Study UID that the modality made for a group finds the steps that its items name by their ids."""
    for item, linking in zip(request.items, found, strict=True):
        for one in linking.links:
            procedure = draft.orders.procedures[one.procedure_id]
            known = draft.candidates.names.procedures(AliasKind.STUDY_UID, item.study_uid)
            if one.how is not How.STEP_ID or one.step_id is None or procedure.id in known:
                continue
            patient_id = draft.orders.orders[one.order_id].patient_id
            owners = {draft.orders.orders[draft.orders.procedures[i].order_id].patient_id for i in known}
            if owners - {patient_id}:
                continue
            kind, uid = AliasKind.STUDY_UID, item.study_uid
            draft.orders.aliases.append(
                Alias(kind, uid, NO_ISSUER, one.order_id, procedure.id, one.step_id, "performed")
            )


def _set(draft: PerformedDraft, request: PerformedSet) -> Decision:
    present = draft.known.get(request.message.sop_instance_uid)
    verdict = may_set(present[0] if present else None)
    if present is None or verdict is not Verdict.RECORDED:
        return Decision(None, PerformedAnswer(verdict, present[0].id if present else None))
    before, links = present
    at = next_moment(request.message.received_at, before.updated_at)
    after = replace(_advanced(before, request.state, request.progress), updated_at=at)
    draft.known[request.message.sop_instance_uid] = (after, links)
    # What happens now happens at the time of this request, caused by its sender.
    acting = replace(after, created_at=at, peer=request.message.peer)
    if after.state is not before.state:
        for one in links:
            _end(draft, acting, one, before.state)
    changes = PerformedChanges(draft, after, False, replace(request.message, received_at=at))
    return Decision(changes, PerformedAnswer(Verdict.RECORDED, after.id))


def _advanced(before: PerformedStep, state: PerformedState | None, progress: Progress) -> PerformedStep:
    return replace(
        before,
        state=state or before.state,
        ended_at=before.ended_at if progress.ended_at is None else progress.ended_at,
        reason=before.reason if progress.reason is None else progress.reason,
        series_count=before.series_count if progress.series_count is None else progress.series_count,
        image_count=before.image_count if progress.image_count is None else progress.image_count,
    )


def _end(draft: PerformedDraft, step: PerformedStep, one: Link, before: PerformedState) -> None:
    detail = {"sop_instance_uid": step.sop_instance_uid}
    draft.orders.events.append(_event(step, one, "performed", before.value, step.state.value, detail))
    if one.step_id is None or not one.moves:
        return
    states = draft.of_steps.get(one.step_id, {}) | {step.id: step.state}
    draft.of_steps[one.step_id] = states
    _move(draft, step, one, state_on_end(draft.orders.steps[one.step_id].state, states.values()))


def _apply(tx: Transaction, changes: Sequence[PerformedChanges], rows: RowSet, ids: Ids) -> None:
    """Write a batch; of a performed step that several requests touched, the last form."""
    if not changes:
        return
    last = {change.step.id: change.step for change in changes}
    created = {change.step.id for change in changes if change.created}
    at = max(change.message.received_at for change in changes)
    add_performed(tx, [step for key, step in last.items() if key in created])
    change_performed(tx, {key: step for key, step in last.items() if key not in created})
    keep_messages(
        tx,
        [
            KeptMessage(ids.next("performed_messages"), c.step.id, "N-CREATE" if c.created else "N-SET", c.message)
            for c in changes
        ],
    )
    add_links(tx, [stored for change in changes for stored in change.links])
    save_drafts(tx, rows, ids, [change.draft.orders for change in changes], at)
