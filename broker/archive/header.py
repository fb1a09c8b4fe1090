"""What an object says of itself: the few attributes that index and link it, read without its pixels, within a bound."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from pydicom.uid import ExplicitVRBigEndian, ImplicitVRLittleEndian

from broker.archive.part10 import DEFLATED, open_object
from broker.dataset.attributes import MOST_VALUE_BYTES, Attribute, Attributes, attribute
from broker.dataset.forward import Bounds, DeflatedSource, ForwardReader, PlainSource, Source, Wanted
from broker.dataset.reading import SPECIFIC_CHARACTER_SET
from broker.dataset.values import instant

MOST_HEADER_BYTES = 32 * 1024 * 1024
"""Bytes read, or unfolded, before a header is given up; attributes that are not asked for are skipped, not read."""

MOST_REQUESTS = 100
"""Items of Request Attributes Sequence that are looked at."""

SOP_CLASS, SOP_INSTANCE = attribute("SOPClassUID"), attribute("SOPInstanceUID")
STUDY_UID, SERIES_UID = attribute("StudyInstanceUID"), attribute("SeriesInstanceUID")
MODALITY = attribute("Modality")
ACCESSION = attribute("AccessionNumber")
PATIENT_NAME, PATIENT_ID = attribute("PatientName"), attribute("PatientID")
PATIENT_ISSUER = attribute("IssuerOfPatientID")
ISSUER_QUALIFIERS = attribute("IssuerOfPatientIDQualifiersSequence")
UNIVERSAL_ID, UNIVERSAL_TYPE = attribute("UniversalEntityID"), attribute("UniversalEntityIDType")
BIRTH_DATE = attribute("PatientBirthDate")
STATION = attribute("PerformedStationAETitle")
REQUESTS = attribute("RequestAttributesSequence")
STEP_ID, PROCEDURE_ID = attribute("ScheduledProcedureStepID"), attribute("RequestedProcedureID")
ACQUIRED_AT = attribute("AcquisitionDateTime")
MOMENTS = tuple(
    (attribute(f"{kind}Date"), attribute(f"{kind}Time")) for kind in ("Acquisition", "Content", "Series", "Study")
)
"""What tells when an object was made, best first."""


def _tags(*attributes: Attribute) -> dict[int, Wanted | None]:
    return {SPECIFIC_CHARACTER_SET: None, **{one.tag: None for one in attributes}}


WANTED: Wanted = {
    **_tags(SOP_CLASS, SOP_INSTANCE, STUDY_UID, SERIES_UID, MODALITY, ACCESSION, PATIENT_NAME, PATIENT_ID,
            PATIENT_ISSUER, BIRTH_DATE, STATION, ACQUIRED_AT, *(one for pair in MOMENTS for one in pair)),
    ISSUER_QUALIFIERS.tag: _tags(UNIVERSAL_ID, UNIVERSAL_TYPE),
    REQUESTS.tag: _tags(STEP_ID, PROCEDURE_ID, ACCESSION),
}  # fmt: skip
LAST_TAG = max(WANTED)


@dataclass(frozen=True, slots=True)
class RequestItem:
    """One item of Request Attributes Sequence (0040,0275); "" where it is silent."""

    step_id: str
    requested_procedure_id: str
    accession: str


@dataclass(frozen=True, slots=True)
class ObjectHeader:
    """Values as sent, trimmed; "" where the object is silent.

    patient_issuer, patient_issuer_uid, patient_issuer_type  (0010,0021) and its qualifiers (0010,0024)
    when                                                     YYYYMMDDHHMMSS of acquisition, content, series or study
    """

    sop_class_uid: str
    sop_instance_uid: str
    study_uid: str
    series_uid: str
    modality: str
    accession: str
    patient_id: str
    patient_issuer: str
    patient_issuer_uid: str
    patient_issuer_type: str
    patient_name: str
    birth_date: str
    station_ae_title: str
    when: str
    requests: tuple[RequestItem, ...]


def read_header(file: Path, offset: int, transfer_syntax_uid: str) -> ObjectHeader:
    """Read the header of the dataset that begins at `offset` of a file.

    raises  UnreadableDataset when the bytes are no dataset in that transfer syntax, or its header has no end; OSError
    """
    # Unbuffered: the reader has a window of its own.
    with open_object(file) as stream:
        stream.seek(offset)
        return _header(parse(stream, transfer_syntax_uid, MOST_HEADER_BYTES))


def parse(stream: BinaryIO, transfer_syntax_uid: str, limit_bytes: int) -> Attributes:
    """The attributes of WANTED, from a stream at the start of a dataset.

    raises  UnreadableDataset
    """
    deflated = transfer_syntax_uid in DEFLATED
    source: Source = DeflatedSource(stream, limit_bytes) if deflated else PlainSource(stream)
    reader = ForwardReader(
        source,
        explicit=transfer_syntax_uid != ImplicitVRLittleEndian,
        little_endian=transfer_syntax_uid != ExplicitVRBigEndian,
        bounds=Bounds(limit_bytes, items=MOST_REQUESTS, value_bytes=MOST_VALUE_BYTES),
    )
    return Attributes(reader.read(WANTED, LAST_TAG))


def _header(said: Attributes) -> ObjectHeader:
    qualifiers = next(iter(said.items(ISSUER_QUALIFIERS)), Attributes({}))
    return ObjectHeader(
        sop_class_uid=said.text(SOP_CLASS),
        sop_instance_uid=said.text(SOP_INSTANCE),
        study_uid=said.text(STUDY_UID),
        series_uid=said.text(SERIES_UID),
        modality=said.text(MODALITY),
        accession=said.text(ACCESSION),
        patient_id=said.text(PATIENT_ID),
        patient_issuer=said.text(PATIENT_ISSUER),
        patient_issuer_uid=qualifiers.text(UNIVERSAL_ID),
        patient_issuer_type=qualifiers.text(UNIVERSAL_TYPE),
        patient_name=said.text(PATIENT_NAME),
        birth_date=said.text(BIRTH_DATE),
        station_ae_title=said.text(STATION),
        when=_when(said),
        requests=tuple(
            RequestItem(item.text(STEP_ID), item.text(PROCEDURE_ID), item.text(ACCESSION))
            for item in said.items(REQUESTS)
        ),
    )


def _when(said: Attributes) -> str:
    acquired = instant(said.text(ACQUIRED_AT))
    return acquired or next((moment for date, time in MOMENTS if (moment := said.moment(date, time))), "")
