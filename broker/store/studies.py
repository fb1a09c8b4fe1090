"""Stored objects: studies and series as the objects name them, where each object lies, and what it belongs to."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, bindparam, select, update

from broker.domain.linking import Link
from broker.store.one_of import is_any, many
from broker.store.prepared import add, prepared, write
from broker.store.tables import instance_conflicts, instances, series, step_events, studies


@dataclass(frozen=True, slots=True)
class Place:
    """Where an object lies. offset, length: in bytes."""

    store: str
    path: str
    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class StudyKey:
    """A study as objects name it: a stray image of another patient makes a study of its own."""

    study_uid: str
    patient_number: str
    patient_issuer: str


@dataclass(frozen=True, slots=True)
class KnownInstance:
    """A stored object. others: places of objects that came under its UID with other bytes, by their digests; only
    of bytes that were asked for."""

    id: int
    digest: str
    transfer_syntax_uid: str
    order_id: int | None
    place: Place
    others: Mapping[str, Place] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class NewStudy:
    id: int
    key: StudyKey
    accession_number: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class NewSeries:
    id: int
    study_id: int
    series_uid: str
    modality: str


@dataclass(frozen=True, slots=True)
class NewInstance:
    """peer: calling AE title; digest: SHA-256 of the dataset as received."""

    id: int
    series_id: int
    sop_instance_uid: str
    sop_class_uid: str
    transfer_syntax_uid: str
    digest: str
    place: Place
    received_at: datetime
    peer: str
    link: Link | None


@dataclass(frozen=True, slots=True)
class NewConflict:
    id: int
    instance_id: int
    digest: str
    place: Place
    received_at: datetime
    peer: str


@dataclass(frozen=True, slots=True)
class NewPlace:
    """Another file for a stored object, or for the one that was kept aside under its UID with these other bytes."""

    instance_id: int
    aside: bool
    digest: str
    place: Place


@dataclass(frozen=True, slots=True)
class StudyIndex:
    """Ids of known studies, and of known series by study id and Series Instance UID."""

    studies: dict[StudyKey, int]
    series: dict[tuple[int, str], int]


def known_instances(tx: Connection, uids: Iterable[str], digests: Iterable[str]) -> dict[str, KnownInstance]:
    """The stored objects with these SOP Instance UIDs; one statement.

    digests  of the bytes that have come: of those that came under a UID before, only equal ones are named
    """
    found: dict[str, KnownInstance] = {}
    others: dict[str, dict[str, Place]] = defaultdict(dict)
    for row in _known_instances.rows(tx, {"uids": many(tx, uids), "digests": many(tx, digests)}):
        if row[9]:
            others[row[0]][row[9]] = Place(*row[10:14])
        found[row[0]] = KnownInstance(row[1], row[2], row[3], row[4], Place(*row[5:9]), others[row[0]])
    return found


@prepared
def _known_instances(dialect: str) -> Select[Any]:
    of, aside = instances.c, instance_conflicts.c
    equal = (aside.instance_id == of.id) & is_any(dialect, aside.digest, "digests")
    return (
        select(of.sop_instance_uid, of.id, of.digest, of.transfer_syntax_uid, of.order_id, of.store, of.path,
               of.offset, of.length, aside.digest, aside.store, aside.path, aside.offset, aside.length)
        .select_from(instances.outerjoin(instance_conflicts, equal))
        .where(is_any(dialect, of.sop_instance_uid, "uids"))
    )  # fmt: skip


def study_index(tx: Connection, study_uids: Iterable[str], series_uids: Iterable[str]) -> StudyIndex:
    """Studies with these Study Instance UIDs, and those of their series that have one of these UIDs; one statement."""
    index = StudyIndex({}, {})
    for row in _study_index.rows(tx, {"studies": many(tx, study_uids), "series": many(tx, series_uids)}):
        index.studies[StudyKey(row[1], row[2], row[3])] = row[0]
        if row[4] is not None:
            index.series[row[0], row[5]] = row[4]
    return index


@prepared
def _study_index(dialect: str) -> Select[Any]:
    wanted = (series.c.study_id == studies.c.id) & is_any(dialect, series.c.series_uid, "series")
    return (
        select(studies.c.id, studies.c.study_uid, studies.c.patient_number, studies.c.patient_issuer, series.c.id,
               series.c.series_uid)
        .select_from(studies.outerjoin(series, wanted))
        .where(is_any(dialect, studies.c.study_uid, "studies"))
    )  # fmt: skip


def told_series(tx: Connection, order_ids: Iterable[int]) -> set[tuple[int, str, bool]]:
    """First images that the timelines of these orders name already: procedure id, Series Instance UID, and whether it
    was recovered."""
    wanted = set(order_ids)
    if not wanted:
        return set()
    rows = _told_series.rows(tx, {"ids": many(tx, wanted)})
    return {(row[0], row[1].get("series_uid", ""), "recovered" in row[1]) for row in rows}


@prepared
def _told_series(dialect: str) -> Select[Any]:
    return select(step_events.c.procedure_id, step_events.c.detail).where(
        is_any(dialect, step_events.c.order_id, "ids"), step_events.c.kind == "image"
    )


@dataclass(frozen=True, slots=True)
class KnownObject:
    """Where a stored object is, and its SOP Instance UID."""

    store: str
    path: str
    uid: str


def known_objects(tx: Connection, numbers: Iterable[int]) -> dict[int, KnownObject]:
    """Those of the objects that have a row."""
    of = instances.c
    query = select(of.id, of.store, of.path, of.sop_instance_uid).where(is_any(tx.dialect.name, of.id, "ids"))
    return {row[0]: KnownObject(*row[1:]) for row in tx.execute(query, {"ids": many(tx, numbers)})}


def add_studies(tx: Connection, new: Sequence[NewStudy]) -> None:
    rows = [
        {
            "id": study.id,
            "study_uid": study.key.study_uid,
            "patient_number": study.key.patient_number,
            "patient_issuer": study.key.patient_issuer,
            "accession_number": study.accession_number,
            "created_at": study.created_at,
        }
        for study in new
    ]
    add(tx, studies, rows)


def add_series(tx: Connection, new: Sequence[NewSeries]) -> None:
    rows = [
        {"id": one.id, "study_id": one.study_id, "series_uid": one.series_uid, "modality": one.modality} for one in new
    ]
    add(tx, series, rows)


def add_instances(tx: Connection, new: Sequence[NewInstance]) -> None:
    add(tx, instances, [_instance_row(instance) for instance in new])


def add_conflicts(tx: Connection, new: Sequence[NewConflict]) -> None:
    rows = [
        {
            "id": conflict.id,
            "instance_id": conflict.instance_id,
            "digest": conflict.digest,
            "received_at": conflict.received_at,
            "peer": conflict.peer,
            **_place_row(conflict.place),
        }
        for conflict in new
    ]
    add(tx, instance_conflicts, rows)


def set_places(tx: Connection, new: Sequence[NewPlace]) -> None:
    for aside, statement in ((False, _PLACE), (True, _PLACE_ASIDE)):
        rows = [
            {"of_id": one.instance_id, "of_digest": one.digest, **_place_row(one.place)}
            for one in new
            if one.aside == aside
        ]
        write(tx, statement, rows)


_PLACE = update(instances).where(instances.c.id == bindparam("of_id"), instances.c.digest == bindparam("of_digest"))
_PLACE_ASIDE = update(instance_conflicts).where(
    instance_conflicts.c.instance_id == bindparam("of_id"), instance_conflicts.c.digest == bindparam("of_digest")
)


def _instance_row(new: NewInstance) -> dict[str, object]:
    return {
        "id": new.id,
        "series_id": new.series_id,
        "sop_instance_uid": new.sop_instance_uid,
        "sop_class_uid": new.sop_class_uid,
        "transfer_syntax_uid": new.transfer_syntax_uid,
        "digest": new.digest,
        "received_at": new.received_at,
        "peer": new.peer,
        "order_id": new.link.order_id if new.link else None,
        "procedure_id": new.link.procedure_id if new.link else None,
        "step_id": new.link.step_id if new.link else None,
        "link_how": new.link.how.value if new.link else "",
        "link_sure": new.link.sure.value if new.link else "",
        **_place_row(new.place),
    }


def _place_row(place: Place) -> dict[str, object]:
    return {"store": place.store, "path": place.path, "offset": place.offset, "length": place.length}
