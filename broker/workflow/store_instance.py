"""Store an object whose file is on disk: its row, its study and series, and what it belongs to."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import Enum
from typing import Protocol

from broker.domain.draft import Draft
from broker.domain.linking import Link, LinkKeys, link_any
from broker.domain.order import Alarm, Event
from broker.domain.rules import Rules
from broker.mapping.rows import RowSet
from broker.store.database import Transaction
from broker.store.ids import Ids
from broker.store.studies import (
    KnownInstance,
    NewConflict,
    NewInstance,
    NewPlace,
    NewSeries,
    NewStudy,
    Place,
    StudyKey,
    add_conflicts,
    add_instances,
    add_series,
    add_studies,
    known_instances,
    set_places,
    study_index,
    told_series,
)
from broker.store.writer import Decision, Verb
from broker.workflow.link_objects import Candidates, alarms_of, load_candidates
from broker.workflow.save_orders import save_drafts


class Kept(Enum):
    """What became of an object that was sent."""

    STORED = "stored"
    REPEATED = "repeated"
    CONFLICT = "conflict"


@dataclass(frozen=True, slots=True)
class StoreInstance:
    """An object on disk, and what its header says. Values fit their columns.

    number  of its file: the id of the row to come
    digest  SHA-256 of the dataset as received
    keys    what it says of where it belongs, one for each of its request items; at least one
    peer    calling AE title

    recovered_at  when a file without a row was found; None: the object has just come
    instead_of    place of an equal object whose file is gone or damaged: if its row still names that, it names ours
    """

    number: int
    place: Place
    digest: str
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    study: StudyKey
    series_uid: str
    modality: str
    accession_number: str
    keys: tuple[LinkKeys, ...]
    peer: str
    received_at: datetime
    recovered_at: datetime | None = None
    instead_of: Place | None = None

    @property
    def noted_at(self) -> datetime:
        """The time of what the timeline says of it."""
        return self.recovered_at or self.received_at

    def noted(self, at: datetime) -> StoreInstance:
        """As noted at another time; when a recovered object was received stays as it is."""
        return replace(self, received_at=at) if self.recovered_at is None else replace(self, recovered_at=at)


@dataclass(frozen=True, slots=True)
class StoreAnswer:
    """uses_file: the file has a row now; else nothing refers to it, and `held` says where the same bytes are."""

    kept: Kept
    uses_file: bool
    link: Link | None = None
    held: Place | None = None


class Site(Protocol):
    """What we need of the site profile."""

    @property
    def rules(self) -> Rules: ...
    @property
    def rows(self) -> RowSet: ...


@dataclass(slots=True)
class Index:
    """Instances by SOP Instance UID; studies; series by study id and UID; first images that timelines name already, as
    `told_series` has them."""

    instances: ChainMap[str, KnownInstance]
    studies: ChainMap[StudyKey, int]
    series: ChainMap[tuple[int, str], int]
    told: ChainMap[tuple[int, str, bool], bool]

    def layer(self) -> Index:
        return Index(
            self.instances.new_child(), self.studies.new_child(), self.series.new_child(), self.told.new_child()
        )

    def take(self, other: Index) -> None:
        self.instances.update(other.instances.maps[0])
        self.studies.update(other.studies.maps[0])
        self.series.update(other.series.maps[0])
        self.told.update(other.told.maps[0])


@dataclass(slots=True)
class InstanceDraft:
    """One request's changes over the batch's state."""

    orders: Draft
    candidates: Candidates
    index: Index


@dataclass(slots=True)
class InstancesLoaded:
    """The state of a batch (store/writer.py: State)."""

    candidates: Candidates
    index: Index

    def draft(self) -> InstanceDraft:
        return InstanceDraft(Draft(self.candidates.forest), self.candidates, self.index.layer())

    def fold(self, draft: InstanceDraft) -> None:
        draft.orders.fold()
        self.index.take(draft.index)


@dataclass(slots=True)
class InstanceChanges:
    """What one request writes."""

    draft: Draft
    at: datetime
    studies: list[NewStudy] = field(default_factory=list)
    series: list[NewSeries] = field(default_factory=list)
    instances: list[NewInstance] = field(default_factory=list)
    conflicts: list[NewConflict] = field(default_factory=list)
    places: list[NewPlace] = field(default_factory=list)


def store_instance_verb(site: Site, ids: Ids) -> Verb:
    """The verb for StoreInstance; it answers with a StoreAnswer."""

    def load(tx: Transaction, requests: Sequence[StoreInstance]) -> InstancesLoaded:
        held = known_instances(tx, {one.sop_instance_uid for one in requests}, {one.digest for one in requests})
        fresh = [request for request in requests if request.sop_instance_uid not in held]
        keys = {key for request in fresh for key in request.keys}
        candidates = load_candidates(tx, sorted(keys, key=repr), site.rules.authorities)
        known = study_index(tx, {r.study.study_uid for r in fresh}, {r.series_uid for r in fresh})
        told = told_series(tx, candidates.forest.orders)
        index = Index(
            ChainMap(held), ChainMap(known.studies), ChainMap(known.series), ChainMap(dict.fromkeys(told, True))
        )
        return InstancesLoaded(candidates, index)

    def decide(draft: InstanceDraft, request: StoreInstance) -> Decision:
        held = draft.index.instances.get(request.sop_instance_uid)
        return _new(draft, request, ids) if held is None else _again(draft, request, held)

    def apply(tx: Transaction, decisions: Sequence[Decision]) -> None:
        _apply(tx, [decision.changes for decision in decisions if decision.changes is not None], site.rows, ids)

    return Verb("store_instance", instance_keys, load, decide, apply)


def instance_keys(request: StoreInstance) -> list[str]:
    """What a request touches: the object itself, and the study whose row two objects may both want to make."""
    return [f"instance:{request.sop_instance_uid}", f"study:{request.study.study_uid}"]


def _new(draft: InstanceDraft, request: StoreInstance, ids: Ids) -> Decision:
    candidates, index = draft.candidates, draft.index
    linking = link_any(candidates.names, draft.orders, request.keys, candidates.issuers)
    link = linking.links[0] if linking.links else None
    draft.orders.alarms.extend(alarms_of(linking, request.study.study_uid))
    changes = InstanceChanges(draft.orders, request.noted_at)
    study_id = index.studies.get(request.study)
    if study_id is None:
        study_id = index.studies[request.study] = ids.next("studies")
        changes.studies.append(NewStudy(study_id, request.study, request.accession_number, request.received_at))
    series_id = index.series.get((study_id, request.series_uid))
    if series_id is None:
        series_id = index.series[study_id, request.series_uid] = ids.next("series")
        changes.series.append(NewSeries(series_id, study_id, request.series_uid, request.modality))
    if link is not None:
        request = request.noted(draft.orders.moment(request.noted_at, [link.order_id]))
    changes.instances.append(_row(request, series_id, link))
    index.instances[request.sop_instance_uid] = KnownInstance(
        request.number, request.digest, request.transfer_syntax_uid, link.order_id if link else None, request.place
    )
    if link is not None and not _is_told(index, request, link):
        index.told[link.procedure_id, request.series_uid, request.recovered_at is not None] = True
        draft.orders.events.append(_first_image(request, link))
    return Decision(changes, StoreAnswer(Kept.STORED, True, link))


def _is_told(index: Index, request: StoreInstance, link: Link) -> bool:
    """A recovered image is told although the series is known: the timeline has to say so."""
    procedure_id, series_uid = link.procedure_id, request.series_uid
    recovered = (procedure_id, series_uid, True) in index.told
    return recovered or (request.recovered_at is None and (procedure_id, series_uid, False) in index.told)


def _row(request: StoreInstance, series_id: int, link: Link | None) -> NewInstance:
    return NewInstance(
        id=request.number,
        series_id=series_id,
        sop_instance_uid=request.sop_instance_uid,
        sop_class_uid=request.sop_class_uid,
        transfer_syntax_uid=request.transfer_syntax_uid,
        digest=request.digest,
        place=request.place,
        received_at=request.received_at,
        peer=request.peer,
        link=link,
    )


def _first_image(request: StoreInstance, link: Link) -> Event:
    """The timeline names the first image of each series; the others are counted when it is shown."""
    recovered = {"recovered": f"received {request.received_at:%Y-%m-%d %H:%M} UTC"} if request.recovered_at else {}
    return Event(
        at=request.noted_at,
        order_id=link.order_id,
        kind="image",
        actor=f"dicom:{request.peer}",
        procedure_id=link.procedure_id,
        step_id=link.step_id,
        instance_id=request.number,
        detail={
            "study_uid": request.study.study_uid,
            "series_uid": request.series_uid,
            "modality": request.modality,
            "how": link.how.value,
            "sure": link.sure.value,
            **recovered,
        },
    )


def _again(draft: InstanceDraft, request: StoreInstance, held: KnownInstance) -> Decision:
    """A known SOP Instance UID: the same bytes change nothing, others are kept aside and a person is told."""
    if (held.digest, held.transfer_syntax_uid) == (request.digest, request.transfer_syntax_uid):
        return _equal(draft, request, held, held.place, Kept.REPEATED)
    if request.digest in held.others:
        return _equal(draft, request, held, held.others[request.digest], Kept.CONFLICT)
    draft.index.instances[request.sop_instance_uid] = _aside(held, request)
    draft.orders.alarms.append(
        Alarm("instance-conflict", request.sop_instance_uid, held.order_id, "other bytes under a known UID, kept aside")
    )
    conflict = NewConflict(request.number, held.id, request.digest, request.place, request.received_at, request.peer)
    changes = InstanceChanges(draft.orders, request.noted_at, conflicts=[conflict])
    return Decision(changes, StoreAnswer(Kept.CONFLICT, True))


def _equal(draft: InstanceDraft, request: StoreInstance, held: KnownInstance, place: Place, kept: Kept) -> Decision:
    """The same bytes have a row. Where it names this very file, an earlier commit of the request was taken for lost."""
    if (place.store, place.path) == (request.place.store, request.place.path):
        return Decision(None, StoreAnswer(Kept.STORED if kept is Kept.REPEATED else kept, True))
    if place != request.instead_of:
        return Decision(None, StoreAnswer(kept, False, held=place))
    aside = kept is Kept.CONFLICT
    known = _aside(held, request) if aside else replace(held, place=request.place)
    draft.index.instances[request.sop_instance_uid] = known
    moved = NewPlace(held.id, aside, request.digest, request.place)
    return Decision(InstanceChanges(draft.orders, request.noted_at, places=[moved]), StoreAnswer(kept, True))


def _aside(held: KnownInstance, request: StoreInstance) -> KnownInstance:
    return replace(held, others={**held.others, request.digest: request.place})


def _apply(tx: Transaction, changes: Sequence[InstanceChanges], rows: RowSet, ids: Ids) -> None:
    if not changes:
        return
    add_studies(tx, [new for change in changes for new in change.studies])
    add_series(tx, [new for change in changes for new in change.series])
    add_instances(tx, [new for change in changes for new in change.instances])
    add_conflicts(tx, [new for change in changes for new in change.conflicts])
    set_places(tx, [new for change in changes for new in change.places])
    save_drafts(tx, rows, ids, [change.draft for change in changes], max(change.at for change in changes))
