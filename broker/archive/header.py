"""What an object says of itself: the few attributes that index and link it, read without its pixels, within a bound."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian

from broker.archive.values import instant, items, moment, text
from broker.errors import UnreadableDataset

MOST_HEADER_BYTES = 32 * 1024 * 1024
"""Bytes read before a header is given up; attributes that are not asked for are skipped and do not count."""

MOST_REQUESTS = 100
"""Items of Request Attributes Sequence that are looked at."""

LAST_TAG = 0x00400275
TAGS = (
    0x00080005, 0x00080016, 0x00080018, 0x00080020, 0x00080021, 0x00080022, 0x00080023, 0x0008002A, 0x00080030,
    0x00080031, 0x00080032, 0x00080033, 0x00080050, 0x00080060, 0x00100010, 0x00100020, 0x00100021, 0x00100024,
    0x00100030, 0x0020000D, 0x0020000E, 0x00400241, 0x00400275,
)  # fmt: skip


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

    raises  UnreadableDataset when the bytes are no dataset in that transfer syntax, or its header has no end
    """
    with file.open("rb") as stream:
        stream.seek(offset)
        return _header(parse(stream, transfer_syntax_uid, MOST_HEADER_BYTES))


def parse(stream: BinaryIO, transfer_syntax_uid: str, limit_bytes: int) -> Dataset:
    """The attributes of TAGS, from a stream at the start of a dataset.

    raises  UnreadableDataset
    """
    syntax = UID(transfer_syntax_uid)
    try:
        if syntax == DeflatedExplicitVRLittleEndian:
            stream = BytesIO(zlib.decompressobj(-zlib.MAX_WBITS).decompress(stream.read(limit_bytes), limit_bytes))
        bounded = _Bounded(stream, limit_bytes)
        dataset = read_dataset(
            bounded,  # type: ignore[arg-type]
            syntax.is_implicit_VR,
            syntax.is_little_endian,
            stop_when=lambda tag, vr, length: tag > LAST_TAG,
            specific_tags=list(TAGS),
        )
        dataset.decode()
    except Exception as error:  # a parser that is fed with anything may raise anything
        raise UnreadableDataset("the dataset cannot be read", fault=type(error).__name__) from error
    return dataset


class _Bounded:
    """A stream that ends with an error after `left` bytes."""

    def __init__(self, stream: BinaryIO, left: int) -> None:
        self._stream = stream
        self._left = left
        self.seek = stream.seek
        self.tell = stream.tell

    def read(self, size: int = -1) -> bytes:
        if size < 0 or size > self._left:
            raise UnreadableDataset("the header is too long")
        self._left -= size
        return self._stream.read(size)


def _header(dataset: Dataset) -> ObjectHeader:
    qualifiers = next(iter(items(dataset, "IssuerOfPatientIDQualifiersSequence")), Dataset())
    return ObjectHeader(
        sop_class_uid=text(dataset, "SOPClassUID"),
        sop_instance_uid=text(dataset, "SOPInstanceUID"),
        study_uid=text(dataset, "StudyInstanceUID"),
        series_uid=text(dataset, "SeriesInstanceUID"),
        modality=text(dataset, "Modality"),
        accession=text(dataset, "AccessionNumber"),
        patient_id=text(dataset, "PatientID"),
        patient_issuer=text(dataset, "IssuerOfPatientID"),
        patient_issuer_uid=text(qualifiers, "UniversalEntityID"),
        patient_issuer_type=text(qualifiers, "UniversalEntityIDType"),
        patient_name=text(dataset, "PatientName"),
        birth_date=text(dataset, "PatientBirthDate"),
        station_ae_title=text(dataset, "PerformedStationAETitle"),
        when=_when(dataset),
        requests=tuple(
            RequestItem(text(item, "ScheduledProcedureStepID"), text(item, "RequestedProcedureID"),
                        text(item, "AccessionNumber"))
            for item in items(dataset, "RequestAttributesSequence")[:MOST_REQUESTS]
        ),
    )  # fmt: skip


def _when(dataset: Dataset) -> str:
    acquired = instant(text(dataset, "AcquisitionDateTime"))
    moments = (moment(dataset, f"{kind}Date", f"{kind}Time") for kind in ("Acquisition", "Content", "Series", "Study"))
    return acquired or next((found for found in moments if found), "")
