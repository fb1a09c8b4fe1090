"""What an N-CREATE or N-SET says: its attributes as facts, and what is wrong with them (PS3.4 Table F.7.2-1)."""

from __future__ import annotations

import re
from datetime import datetime
from io import BytesIO

from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset
from pydicom.uid import UID

from broker.archive.values import items, moment, text
from broker.domain.linking import LinkKeys
from broker.domain.performed import Faults, PerformedCreate, PerformedMessage, PerformedSet, PerformedState, Progress
from broker.domain.request import Issuer
from broker.errors import UnreadableDataset
from broker.workflow.take_instance import is_uid

MOST_ITEMS = 200
"""Scheduled steps that one performed step may fulfil; more are refused."""

SCHEDULED_STEPS = "ScheduledStepAttributesSequence"
STATUS = "PerformedProcedureStepStatus"
REQUIRED = (
    SCHEDULED_STEPS,
    "PerformedProcedureStepID",
    "PerformedStationAETitle",
    "PerformedProcedureStepStartDate",
    "PerformedProcedureStepStartTime",
    STATUS,
    "Modality",
)
LONGEST = {"PerformedProcedureStepID": 16, "PerformedStationAETitle": 16, "Modality": 16, "PatientID": 64}
"""Characters that the VR of each allows (PS3.5 6.2)."""

FIXED = (SCHEDULED_STEPS, "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "Modality",
         "PerformedProcedureStepID", "PerformedStationAETitle", "PerformedProcedureStepStartDate",
         "PerformedProcedureStepStartTime")  # fmt: skip
"""Attributes that an N-SET may not change: they are kept with the message and change no fact."""

_TIME = re.compile(r"([01]\d|2[0-3])(:?[0-5]\d(:?([0-5]\d|60)(\.\d{1,6})?)?)?", re.ASCII)


def parse(dataset: bytes, transfer_syntax_uid: str) -> Dataset:
    """raises  UnreadableDataset"""
    syntax = UID(transfer_syntax_uid)
    try:
        read = read_dataset(BytesIO(dataset), syntax.is_implicit_VR, syntax.is_little_endian)
        read.decode()
    except Exception as error:  # a parser that is fed with anything may raise anything
        raise UnreadableDataset("the dataset cannot be read", fault=type(error).__name__) from error
    return read


def faults_of_create(dataset: Dataset) -> Faults:
    """What PS3.4 Table F.7.2-1 asks of an N-CREATE: type 1 attributes present, valued and sound."""
    missing = [keyword for keyword in REQUIRED if keyword not in dataset]
    empty = [keyword for keyword in REQUIRED if keyword in dataset and not _has_value(dataset, keyword)]
    scheduled = items(dataset, SCHEDULED_STEPS)
    study_uids = [text(item, "StudyInstanceUID") for item in scheduled]
    if any("StudyInstanceUID" not in item for item in scheduled):
        missing.append("StudyInstanceUID")
    elif "" in study_uids:
        empty.append("StudyInstanceUID")
    invalid = [keyword for keyword, most in LONGEST.items() if len(text(dataset, keyword)) > most]
    invalid += [keyword for keyword in ("StudyInstanceUID",) if any(uid and not is_uid(uid) for uid in study_uids)]
    invalid += [] if len(scheduled) <= MOST_ITEMS else [SCHEDULED_STEPS]
    invalid += [] if _state(dataset) is PerformedState.IN_PROGRESS else [STATUS]
    invalid += _wrong_start(dataset)
    return Faults(_tags(missing), _tags(empty), _tags(invalid))


def faults_of_set(dataset: Dataset) -> Faults:
    """A status that is present has to be one of the three."""
    if STATUS not in dataset:
        return Faults()
    if not _has_value(dataset, STATUS):
        return Faults(empty=_tags([STATUS]))
    return Faults(invalid=() if _state(dataset) else _tags([STATUS]))


def left_out(dataset: Dataset) -> list[str]:
    """What a final N-SET should say and does not (PS3.4 F.7.2.2.2); taken all the same."""
    if _state(dataset) in (None, PerformedState.IN_PROGRESS):
        return []
    wanted = ("PerformedProcedureStepEndDate", "PerformedProcedureStepEndTime", "PerformedSeriesSequence")
    return [keyword for keyword in wanted if not _has_value(dataset, keyword)]


def read_create(dataset: Dataset, message: PerformedMessage) -> PerformedCreate:
    """An N-CREATE without faults."""
    state = _state(dataset)
    assert state is not None
    return PerformedCreate(
        message=message,
        state=state,
        performed_id=text(dataset, "PerformedProcedureStepID"),
        patient_number=text(dataset, "PatientID"),
        patient_issuer=text(dataset, "IssuerOfPatientID")[:64],
        modality=text(dataset, "Modality"),
        station_ae_title=text(dataset, "PerformedStationAETitle"),
        started_at=_started(dataset),
        progress=read_progress(dataset),
        items=tuple(_link_keys(dataset, item) for item in items(dataset, SCHEDULED_STEPS)),
    )


def read_set(dataset: Dataset, message: PerformedMessage) -> PerformedSet:
    """An N-SET without faults."""
    return PerformedSet(message, _state(dataset), read_progress(dataset))


def read_progress(dataset: Dataset) -> Progress:
    """Sequences are replaced as a whole, so that the series of the last message that has them are all series."""
    series = items(dataset, "PerformedSeriesSequence")
    has_series = "PerformedSeriesSequence" in dataset
    lists = ("ReferencedImageSequence", "ReferencedNonImageCompositeSOPInstanceSequence")
    return Progress(
        ended_at=moment(dataset, "PerformedProcedureStepEndDate", "PerformedProcedureStepEndTime") or None,
        reason=_reason(dataset),
        series_count=len(series) if has_series else None,
        image_count=sum(len(items(one, keyword)) for one in series for keyword in lists) if has_series else None,
    )


def _reason(dataset: Dataset) -> str | None:
    """Code, scheme and meaning of the first discontinuation reason."""
    for item in items(dataset, "PerformedProcedureStepDiscontinuationReasonCodeSequence"):
        code = text(item, "CodeValue") or text(item, "LongCodeValue") or text(item, "URNCodeValue")
        parts = (code, text(item, "CodingSchemeDesignator"), text(item, "CodeMeaning"))
        return " ".join(part for part in parts if part)[:1024]
    return None


def _link_keys(dataset: Dataset, item: Dataset) -> LinkKeys:
    qualifiers = next(iter(items(dataset, "IssuerOfPatientIDQualifiersSequence")), Dataset())
    return LinkKeys(
        patient_id=text(dataset, "PatientID"),
        patient_issuer=Issuer(
            text(dataset, "IssuerOfPatientID") or None,
            text(qualifiers, "UniversalEntityID") or None,
            text(qualifiers, "UniversalEntityIDType") or None,
        ),
        step_id=text(item, "ScheduledProcedureStepID"),
        requested_procedure_id=text(item, "RequestedProcedureID"),
        accession=text(item, "AccessionNumber"),
        study_uid=text(item, "StudyInstanceUID"),
        modality=text(dataset, "Modality"),
        station=text(dataset, "PerformedStationAETitle"),
        when=_started(dataset),
        patient_name=text(dataset, "PatientName"),
        birth_date=text(dataset, "PatientBirthDate"),
    )


def _started(dataset: Dataset) -> str:
    return moment(dataset, "PerformedProcedureStepStartDate", "PerformedProcedureStepStartTime")


def _wrong_start(dataset: Dataset) -> list[str]:
    date, time = "PerformedProcedureStepStartDate", "PerformedProcedureStepStartTime"
    wrong = [] if _TIME.fullmatch(text(dataset, time) or "00") else [time]
    try:
        datetime.strptime(text(dataset, date).replace(".", "") or "20000101", "%Y%m%d")
    except ValueError:
        wrong.append(date)
    return wrong


def _has_value(dataset: Dataset, keyword: str) -> bool:
    return bool(text(dataset, keyword) or items(dataset, keyword))


def _state(dataset: Dataset) -> PerformedState | None:
    try:
        return PerformedState(text(dataset, STATUS))
    except ValueError:
        return None


def _tags(keywords: list[str]) -> tuple[int, ...]:
    return tuple(tag for keyword in keywords if (tag := tag_for_keyword(keyword)) is not None)
