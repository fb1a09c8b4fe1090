"""What an N-CREATE or N-SET says: its attributes as facts, and what is wrong with them (PS3.4 Table F.7.2-1)."""

from __future__ import annotations

import re

from broker.dataset.attributes import Attribute, Attributes, attribute
from broker.domain.linking import LinkKeys
from broker.domain.order import PerformedState
from broker.domain.performed import Faults, PerformedCreate, PerformedMessage, PerformedSet, Progress
from broker.domain.request import Issuer
from broker.mapping.fit import is_date
from broker.workflow.take_instance import is_uid

MOST_ITEMS = 200
"""Scheduled steps that one performed step may fulfil; more are refused."""

SCHEDULED_STEPS = attribute("ScheduledStepAttributesSequence")
STUDY_UID = attribute("StudyInstanceUID")
STEP_ID = attribute("ScheduledProcedureStepID")
REQUESTED_ID = attribute("RequestedProcedureID")
ACCESSION = attribute("AccessionNumber")
PATIENT_NAME = attribute("PatientName")
PATIENT_ID = attribute("PatientID")
PATIENT_ISSUER = attribute("IssuerOfPatientID")
ISSUER_QUALIFIERS = attribute("IssuerOfPatientIDQualifiersSequence")
UNIVERSAL_ID, UNIVERSAL_TYPE = attribute("UniversalEntityID"), attribute("UniversalEntityIDType")
BIRTH_DATE = attribute("PatientBirthDate")
SEX = attribute("PatientSex")
MODALITY = attribute("Modality")
PERFORMED_ID = attribute("PerformedProcedureStepID")
STATION = attribute("PerformedStationAETitle")
START_DATE, START_TIME = attribute("PerformedProcedureStepStartDate"), attribute("PerformedProcedureStepStartTime")
END_DATE, END_TIME = attribute("PerformedProcedureStepEndDate"), attribute("PerformedProcedureStepEndTime")
STATUS = attribute("PerformedProcedureStepStatus")
REASONS = attribute("PerformedProcedureStepDiscontinuationReasonCodeSequence")
CODES = (attribute("CodeValue"), attribute("LongCodeValue"), attribute("URNCodeValue"))
CODE_SCHEME, CODE_MEANING = attribute("CodingSchemeDesignator"), attribute("CodeMeaning")
SERIES = attribute("PerformedSeriesSequence")
OBJECTS = (attribute("ReferencedImageSequence"), attribute("ReferencedNonImageCompositeSOPInstanceSequence"))

REQUIRED = (SCHEDULED_STEPS, PERFORMED_ID, STATION, START_DATE, START_TIME, STATUS, MODALITY)
LONGEST = ((PERFORMED_ID, 16), (STATION, 16), (MODALITY, 16), (PATIENT_ID, 64))
"""Characters that the VR of each allows (PS3.5 6.2)."""

FIXED = (SCHEDULED_STEPS, PATIENT_NAME, PATIENT_ID, BIRTH_DATE, SEX, MODALITY, PERFORMED_ID, STATION, START_DATE,
         START_TIME)  # fmt: skip
"""Attributes that an N-SET may not change: they are kept with the message and change no fact."""

_STATES = {state.value: state for state in PerformedState}
_TIME = re.compile(r"([01]\d|2[0-3])(:?[0-5]\d(:?([0-5]\d|60)(\.\d{1,6})?)?)?", re.ASCII)


def faults_of_create(dataset: Attributes) -> Faults:
    """What PS3.4 Table F.7.2-1 asks of an N-CREATE: type 1 attributes present, valued and sound."""
    if dataset.count(SCHEDULED_STEPS) > MOST_ITEMS:
        return Faults(invalid=_tags([SCHEDULED_STEPS]))
    missing = [wanted for wanted in REQUIRED if wanted not in dataset]
    empty = [wanted for wanted in REQUIRED if wanted in dataset and not dataset.has_value(wanted)]
    scheduled = dataset.items(SCHEDULED_STEPS)
    study_uids = [item.text(STUDY_UID) for item in scheduled]
    if any(STUDY_UID not in item for item in scheduled):
        missing.append(STUDY_UID)
    elif "" in study_uids:
        empty.append(STUDY_UID)
    invalid = [wanted for wanted, most in LONGEST if len(dataset.text(wanted)) > most]
    invalid += [STUDY_UID] if any(uid and not is_uid(uid) for uid in study_uids) else []
    invalid += [] if _state(dataset) is PerformedState.IN_PROGRESS else [STATUS]
    invalid += _wrong_start(dataset)
    return Faults(_tags(missing), _tags(empty), _tags(invalid))


def faults_of_set(dataset: Attributes) -> Faults:
    """A status that is present has to be one of the three."""
    if STATUS not in dataset:
        return Faults()
    if not dataset.has_value(STATUS):
        return Faults(empty=_tags([STATUS]))
    return Faults(invalid=() if _state(dataset) else _tags([STATUS]))


def left_out(dataset: Attributes) -> list[str]:
    """What a final N-SET should say and does not (PS3.4 F.7.2.2.2); taken all the same."""
    if _state(dataset) in (None, PerformedState.IN_PROGRESS):
        return []
    return [wanted.keyword for wanted in (END_DATE, END_TIME, SERIES) if not dataset.has_value(wanted)]


def not_settable(dataset: Attributes) -> list[str]:
    """What an N-SET says and may not change; taken all the same, and without effect."""
    return [wanted.keyword for wanted in FIXED if wanted in dataset]


def read_create(dataset: Attributes, message: PerformedMessage) -> PerformedCreate:
    """An N-CREATE without faults."""
    state = _state(dataset)
    assert state is not None
    text = dataset.text
    started_at = dataset.moment(START_DATE, START_TIME)
    issuer = _issuer(dataset)
    items = tuple(
        LinkKeys(
            patient_id=text(PATIENT_ID),
            patient_issuer=issuer,
            step_id=item.text(STEP_ID),
            requested_procedure_id=item.text(REQUESTED_ID),
            accession=item.text(ACCESSION),
            study_uid=item.text(STUDY_UID),
            modality=text(MODALITY),
            station=text(STATION),
            when=started_at,
            patient_name=text(PATIENT_NAME),
            birth_date=text(BIRTH_DATE),
        )
        for item in dataset.items(SCHEDULED_STEPS)
    )
    return PerformedCreate(
        message=message,
        state=state,
        performed_id=text(PERFORMED_ID),
        patient_number=text(PATIENT_ID),
        patient_issuer=text(PATIENT_ISSUER)[:64],
        modality=text(MODALITY),
        station_ae_title=text(STATION),
        started_at=started_at,
        progress=read_progress(dataset),
        items=items,
    )


def read_set(dataset: Attributes, message: PerformedMessage) -> PerformedSet:
    """An N-SET without faults."""
    return PerformedSet(message, _state(dataset), read_progress(dataset))


def read_progress(dataset: Attributes) -> Progress:
    """Sequences are replaced as a whole, so that the series of the last message that has them are all series."""
    series = dataset.items(SERIES)
    has_series = SERIES in dataset
    return Progress(
        ended_at=dataset.moment(END_DATE, END_TIME) or None,
        reason=_reason(dataset),
        series_count=len(series) if has_series else None,
        image_count=sum(one.count(objects) for one in series for objects in OBJECTS) if has_series else None,
    )


def _reason(dataset: Attributes) -> str | None:
    """Code, scheme and meaning of the first discontinuation reason."""
    for item in dataset.items(REASONS):
        code = next((code for wanted in CODES if (code := item.text(wanted))), "")
        parts = (code, item.text(CODE_SCHEME), item.text(CODE_MEANING))
        return " ".join(part for part in parts if part)[:1024]
    return None


def _issuer(dataset: Attributes) -> Issuer:
    namespace = dataset.text(PATIENT_ISSUER) or None
    for item in dataset.items(ISSUER_QUALIFIERS):
        return Issuer(namespace, item.text(UNIVERSAL_ID) or None, item.text(UNIVERSAL_TYPE) or None)
    return Issuer(namespace)


def _wrong_start(dataset: Attributes) -> list[Attribute]:
    date, time = dataset.text(START_DATE).replace(".", ""), dataset.text(START_TIME)
    wrong = [] if not time or _TIME.fullmatch(time) else [START_TIME]
    return wrong if not date or is_date(date) else [*wrong, START_DATE]


def _state(dataset: Attributes) -> PerformedState | None:
    return _STATES.get(dataset.text(STATUS))


def _tags(attributes: list[Attribute]) -> tuple[int, ...]:
    return tuple(one.tag for one in attributes)
