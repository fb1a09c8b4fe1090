"""Headers read forward say what pydicom says: of pydicom's own files, of DCMTK's examples, of made datasets."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict
from io import BytesIO
from pathlib import Path
from typing import Any

import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.filebase import DicomIO
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_dataset
from pydicom.sequence import Sequence

from broker.archive.header import LAST_TAG, MOST_REQUESTS, ObjectHeader, RequestItem, read_header
from broker.dataset.values import instant, moment_of
from broker.errors import UnreadableDataset
from tests.kit.pydicom_values import items, text

IMPLICIT, EXPLICIT, BIG = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"
FOLDERS = [Path(pydicom.__path__[0], "data", name) for name in ("test_files", "charset_files")]
FILES = sorted(path for folder in FOLDERS for path in folder.rglob("*") if path.suffix in (".dcm", ".BIN", ""))
LEAST_FILES = 100
MOMENTS = ("Acquisition", "Content", "Series", "Study")

pytestmark = pytest.mark.filterwarnings("ignore")


def as_pydicom_reads(stream: BytesIO, syntax: str) -> ObjectHeader:
    dataset = read_dataset(stream, syntax == IMPLICIT, syntax != BIG, stop_when=lambda tag, vr, length: tag > LAST_TAG)
    dataset.decode()
    qualifiers = next(iter(items(dataset, "IssuerOfPatientIDQualifiersSequence")), Dataset())
    moments = (moment_of(text(dataset, f"{kind}Date"), text(dataset, f"{kind}Time")) for kind in MOMENTS)
    return ObjectHeader(
        *(text(dataset, keyword) for keyword in ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID",
                                                 "SeriesInstanceUID", "Modality", "AccessionNumber", "PatientID",
                                                 "IssuerOfPatientID")),
        *(text(qualifiers, keyword) for keyword in ("UniversalEntityID", "UniversalEntityIDType")),
        *(text(dataset, keyword) for keyword in ("PatientName", "PatientBirthDate", "PerformedStationAETitle")),
        instant(text(dataset, "AcquisitionDateTime")) or next((found for found in moments if found), ""),
        tuple(
            RequestItem(*(text(item, k) for k in ("ScheduledProcedureStepID", "RequestedProcedureID",
                                                  "AccessionNumber")))
            for item in items(dataset, "RequestAttributesSequence")[:MOST_REQUESTS]
        ),
    )  # fmt: skip


def of_a_file(path: Path) -> tuple[int, str] | None:
    """Where the dataset of a Part 10 file begins, and its transfer syntax; None when it is none, or deflated."""
    try:
        with path.open("rb") as stream:
            pydicom.filereader.read_preamble(stream, False)
            meta = pydicom.filereader._read_file_meta_info(stream)
            syntax = str(meta.get("TransferSyntaxUID", ""))
            return None if syntax in ("", "1.2.840.10008.1.2.1.99") else (stream.tell(), syntax)
    except Exception:
        return None


def test_the_files_of_pydicom_have_the_headers_that_pydicom_reads() -> None:
    compared = 0
    for path in FILES:
        if (found := of_a_file(path)) is None:
            continue
        offset, syntax = found
        expected = as_pydicom_reads(BytesIO(path.read_bytes()[offset:]), syntax)

        assert asdict(read_header(path, offset, syntax)) == asdict(expected), path.name

        compared += 1
    assert compared >= LEAST_FILES


def encoded(dataset: Dataset, syntax: str) -> bytes:
    out = DicomIO(BytesIO())
    out.is_little_endian, out.is_implicit_VR = syntax != BIG, syntax == IMPLICIT
    write_dataset(out, dataset)
    return bytes(out.parent.getvalue())


WORDS = st.text("AZ az09.^=\\", max_size=20)
KEYWORDS = ("Modality", "AccessionNumber", "PatientName", "PatientID", "IssuerOfPatientID", "StudyDate", "StudyTime",
            "StudyInstanceUID", "PerformedStationAETitle")  # fmt: skip


def datasets(levels: int) -> st.SearchStrategy[Dataset]:
    inner = st.lists(datasets(levels - 1), max_size=2) if levels else st.just([])
    return st.builds(
        made,
        st.dictionaries(st.sampled_from(KEYWORDS), WORDS, max_size=4),
        st.dictionaries(
            st.sampled_from((0x00081140, 0x00091002, 0x00100024, 0x00291002, 0x00400275)), inner, max_size=3
        ),
        st.booleans(),
        st.sampled_from(["", "ISO_IR 100", "ISO_IR 192"]),
    )


def made(words: dict[str, str], sequences: dict[int, list[Dataset]], undefined: bool, charset: str) -> Dataset:
    dataset = Dataset()
    if charset:
        dataset.SpecificCharacterSet = charset
    for keyword, value in words.items():
        setattr(dataset, keyword, value)
    for tag, content in sequences.items():
        for item in content:
            item.is_undefined_length_sequence_item = undefined
        dataset.add_new(tag, "SQ", Sequence(content))
        dataset[tag].is_undefined_length = undefined
    dataset.add_new(0x00091001, "OB", b"\0" * 40)
    return dataset


@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT, BIG])
@settings(deadline=None, max_examples=30)
@given(dataset=datasets(3))
def test_a_made_dataset_has_the_header_that_pydicom_reads(
    tmp_path_factory: pytest.TempPathFactory, syntax: str, dataset: Dataset
) -> None:
    content = encoded(dataset, syntax)
    file = tmp_path_factory.getbasetemp() / f"twin-{syntax}.dcm"
    file.write_bytes(content)

    assert read_header(file, 0, syntax) == as_pydicom_reads(BytesIO(content), syntax)


@given(cut=st.integers(0, 400), flips=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=3))
def test_a_broken_header_is_read_or_refused_and_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, cut: int, flips: list[tuple[int, int]]
) -> None:
    words: dict[str, str] = dict.fromkeys(KEYWORDS, "1.2")
    inner: Any = made({"Modality": "CT"}, {}, True, "")
    content = bytearray(encoded(made(words, {0x00400275: [inner], 0x00091002: [inner]}, True, ""), EXPLICIT))
    for at, value in flips:
        content[at % len(content)] = value
    file = tmp_path_factory.getbasetemp() / "broken.dcm"
    file.write_bytes(bytes(content[: len(content) - cut % len(content)]))

    with suppress(UnreadableDataset):
        read_header(file, 0, EXPLICIT)
