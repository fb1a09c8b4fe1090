"""Headers: what links and indexes an object is read from any transfer syntax, within bounds, whatever the bytes are."""

from __future__ import annotations

import contextlib
import struct
import zlib
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.filebase import DicomIO
from pydicom.filewriter import write_dataset

from broker.archive import header as module
from broker.archive.header import RequestItem, read_header
from broker.errors import UnreadableDataset

IMPLICIT, EXPLICIT, BIG = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"
DEFLATED = "1.2.840.10008.1.2.1.99"

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")


def image(**more):
    dataset = Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 100"
    dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
    dataset.SOPInstanceUID = "1.2.3.4"
    dataset.StudyDate, dataset.StudyTime = "20260302", "080000"
    dataset.AccessionNumber = "A1 "
    dataset.Modality = "CT"
    dataset.PatientName = "MÜLLER^JÖRG"
    dataset.PatientID = " P1 "
    dataset.IssuerOfPatientID = "HOSP"
    dataset.PatientBirthDate = "19800101"
    dataset.StudyInstanceUID = "1.2.3"
    dataset.SeriesInstanceUID = "1.2.3.1"
    qualifier = Dataset()
    qualifier.UniversalEntityID, qualifier.UniversalEntityIDType = "1.9", "ISO"
    dataset.IssuerOfPatientIDQualifiersSequence = [qualifier]
    item = Dataset()
    item.ScheduledProcedureStepID, item.RequestedProcedureID = "S1", "R1"
    dataset.RequestAttributesSequence = [item]
    dataset.PixelData = b"\0" * 64
    dataset["PixelData"].VR = "OW"
    dataset.update(more)
    return dataset


def encoded(dataset, syntax):
    out = DicomIO(BytesIO())
    out.is_little_endian, out.is_implicit_VR = syntax != BIG, syntax == IMPLICIT
    write_dataset(out, dataset)
    content = out.parent.getvalue()
    if syntax == DEFLATED:
        deflate = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        content = deflate.compress(content) + deflate.flush()
    return content


def header_of(tmp_path, content, syntax, offset=0):
    file = tmp_path / "object.dcm"
    file.write_bytes(b"\0" * offset + content)
    return read_header(file, offset, syntax)


@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT, BIG, DEFLATED])
def test_a_header_is_read_in_every_encoding(tmp_path, syntax):
    header = header_of(tmp_path, encoded(image(), syntax), syntax, offset=300)

    assert (header.sop_class_uid, header.sop_instance_uid) == ("1.2.840.10008.5.1.4.1.1.2", "1.2.3.4")
    assert (header.study_uid, header.series_uid) == ("1.2.3", "1.2.3.1")
    assert (header.patient_id, header.patient_name, header.birth_date) == ("P1", "MÜLLER^JÖRG", "19800101")
    assert (header.patient_issuer, header.patient_issuer_uid, header.patient_issuer_type) == ("HOSP", "1.9", "ISO")
    assert (header.accession, header.modality, header.when) == ("A1", "CT", "20260302080000")
    assert header.requests == (RequestItem("S1", "R1", ""),)


def test_an_object_that_says_nothing_has_empty_values(tmp_path):
    header = header_of(tmp_path, encoded(Dataset(), EXPLICIT), EXPLICIT)

    assert (header.patient_id, header.study_uid, header.when, header.requests) == ("", "", "", ())


WHEN = {
    "acquisition date and time in one": ({"AcquisitionDateTime": "20260302091500.5+0100"}, "20260302091500"),
    "acquisition date and time": ({"AcquisitionDate": "20260302", "AcquisitionTime": "0915"}, "20260302091500"),
    "content": ({"ContentDate": "20260303", "ContentTime": "101112.345"}, "20260303101112"),
    "study, last": ({}, "20260302080000"),
    "an unreadable day": ({"AcquisitionDate": "2. März"}, "20260302080000"),
}


@pytest.mark.parametrize(("says", "expected"), WHEN.values(), ids=WHEN)
def test_the_time_is_that_of_the_acquisition_where_it_is_known(tmp_path, says, expected):
    dataset = image()
    for keyword, value in says.items():
        setattr(dataset, keyword, value)

    assert header_of(tmp_path, encoded(dataset, EXPLICIT), EXPLICIT).when == expected


def test_pixels_are_not_read(tmp_path):
    file = tmp_path / "large.dcm"
    file.write_bytes(encoded(image(), EXPLICIT))
    with file.open("r+b") as stream:
        stream.truncate(file.stat().st_size + 4 * module.MOST_HEADER_BYTES)

    assert read_header(file, 0, EXPLICIT).patient_id == "P1"


def test_a_large_private_element_before_the_patient_is_skipped(tmp_path):
    large = struct.pack("<HH2sHI", 0x0009, 0x1001, b"OB", 0, 2 * module.MOST_HEADER_BYTES)
    content = encoded(image(), EXPLICIT)
    at = content.index(struct.pack("<HH", 0x0010, 0x0010))
    file = tmp_path / "object.dcm"
    with file.open("wb") as out:
        out.write(content[:at] + large)
        out.seek(2 * module.MOST_HEADER_BYTES, 1)
        out.write(content[at:])

    assert read_header(file, 0, EXPLICIT).patient_id == "P1"


def test_a_value_without_end_is_refused(tmp_path):
    content = struct.pack("<HHI", 0x0010, 0x0020, 0x7FFFFFFF) + b"P1"

    with pytest.raises(UnreadableDataset):
        header_of(tmp_path, content, IMPLICIT)


def test_a_deflated_bomb_is_not_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MOST_HEADER_BYTES", 1 << 16)
    bomb = encoded(image(), EXPLICIT) + b"\0" * (64 << 20)
    deflate = zlib.compressobj(wbits=-zlib.MAX_WBITS)

    header = header_of(tmp_path, deflate.compress(bomb) + deflate.flush(), DEFLATED)

    assert header.patient_id == "P1"


def test_deeply_nested_sequences_are_refused(tmp_path):
    nested = struct.pack("<HHI", 0x0008, 0x1110, 0xFFFFFFFF) + struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)

    with pytest.raises(UnreadableDataset):
        header_of(tmp_path, nested * 5_000, IMPLICIT)


def test_no_control_characters_come_out(tmp_path):
    dataset = image()
    dataset.PatientID = "P\x001\r\n"

    assert header_of(tmp_path, encoded(dataset, EXPLICIT), EXPLICIT).patient_id == "P1"


@given(st.binary(max_size=400), st.sampled_from([IMPLICIT, EXPLICIT, BIG, DEFLATED]), st.integers(0, 600))
def test_any_bytes_are_a_header_or_refused(tmp_path_factory, noise, syntax, cut):
    folder = tmp_path_factory.getbasetemp()
    for content in (noise, encoded(image(), syntax)[:cut] + noise):
        with contextlib.suppress(UnreadableDataset):
            header_of(folder, content, syntax)
