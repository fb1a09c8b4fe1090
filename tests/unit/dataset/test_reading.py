"""Peers' identifiers: whole ones are read, all others refused, and text is decoded by its own character set."""

from __future__ import annotations

import struct
from contextlib import suppress
from io import BytesIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_dataset
from pydicom.tag import BaseTag
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from broker.dataset.reading import MOST_LEVELS, charset_of, read_identifier, text_of
from broker.errors import UnreadableDataset

PATIENT_NAME = 0x00100010
SYNTAXES = [ImplicitVRLittleEndian, ExplicitVRLittleEndian]


def encoded(dataset: Dataset, syntax: str, *, undefined: bool = False) -> bytes:
    for element in dataset:
        if element.VR == "SQ" and undefined:
            element.is_undefined_length = True
            for item in element.value:
                item.is_undefined_length_sequence_item = True
    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, syntax == ImplicitVRLittleEndian
    write_dataset(buffer, dataset)
    return buffer.getvalue()


def query() -> Dataset:
    asked, item, code = Dataset(), Dataset(), Dataset()
    asked.SpecificCharacterSet = "ISO_IR 100"
    asked.PatientName = "Müller*"
    code.CodeValue = "X"
    item.Modality = "CT"
    item.ScheduledProtocolCodeSequence = [code]
    asked.ScheduledProcedureStepSequence = [item]
    return asked


@pytest.mark.parametrize("undefined", [True, False])
@pytest.mark.parametrize("syntax", SYNTAXES)
def test_a_whole_dataset_is_read(syntax, undefined):
    read = read_identifier(encoded(query(), syntax, undefined=undefined), syntax)

    assert text_of(read, PATIENT_NAME, "PN", charset_of(read)) == "Müller*"
    assert read == plain(query(), syntax)


def plain(dataset: Dataset, syntax: str) -> dict[int, object]:
    """What pydicom makes of the bytes: raw values, and items of sequences, by tag."""
    read = read_dataset(BytesIO(encoded(dataset, syntax)), syntax == ImplicitVRLittleEndian, True)
    return {int(tag): raw_value(read, tag) for tag in read.keys()}  # noqa: SIM118


def raw_value(dataset: Dataset, tag: BaseTag) -> object:
    value = dataset.get_item(tag).value
    if dataset[tag].VR != "SQ":
        return value or b""
    return tuple({int(t): raw_value(item, t) for t in item.keys()} for item in dataset[tag].value)  # noqa: SIM118


TEXTS = st.text("ABC xyz*?^019", max_size=9)
LEAVES = ("PatientName", "PatientID", "StudyInstanceUID", "RequestedProcedureComments", "Modality", "TextValue")
SEQUENCES = ("ScheduledProcedureStepSequence", "ScheduledProtocolCodeSequence", "OtherPatientIDsSequence")


def datasets(level: int = 0) -> st.SearchStrategy[Dataset]:
    """Datasets of text and of sequences within sequences."""
    text = st.dictionaries(st.sampled_from(LEAVES), TEXTS, max_size=4)
    numbers = st.dictionaries(st.just("PregnancyStatus"), st.integers(0, 65535))
    inner = st.just({}) if level == 3 else st.dictionaries(
        st.sampled_from(SEQUENCES), st.lists(st.deferred(lambda: datasets(level + 1)), max_size=2), max_size=2
    )  # fmt: skip
    return st.builds(lambda *parts: dataset_of({k: v for part in parts for k, v in part.items()}), text, numbers, inner)


def dataset_of(values: dict[str, object]) -> Dataset:
    dataset = Dataset()
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    return dataset


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("undefined", [True, False])
@pytest.mark.parametrize("syntax", SYNTAXES)
@given(dataset=datasets())
@settings(max_examples=60, deadline=None)
def test_any_dataset_is_read_as_pydicom_reads_it(syntax, undefined, dataset):
    assert read_identifier(encoded(dataset, syntax, undefined=undefined), syntax) == plain(dataset, syntax)


def test_a_sequence_that_a_relay_did_not_know_is_read_all_the_same():
    item = struct.pack("<HHL", 0x0008, 0x0060, 2) + b"CT"
    items = struct.pack("<HHL", 0xFFFE, 0xE000, len(item)) + item
    whole = struct.pack("<HH2sHL", 0x0040, 0x0100, b"UN", 0, len(items)) + items

    assert read_identifier(whole, ExplicitVRLittleEndian) == {0x00400100: ({0x00080060: b"CT"},)}


@pytest.mark.parametrize("undefined", [True, False])
@pytest.mark.parametrize("syntax", SYNTAXES)
def test_a_dataset_that_ends_too_early_is_refused(syntax, undefined):
    whole = encoded(query(), syntax, undefined=undefined)
    ends = {0}
    while max(ends) < len(whole):
        at = max(ends)
        length = struct.unpack_from("<L", whole, at + 4)[0] if syntax == ImplicitVRLittleEndian else None
        ends.add(at + 8 + length if length is not None and length < 2**31 else len(whole))

    for cut in range(1, len(whole)):
        if cut in ends or (syntax == ExplicitVRLittleEndian and cut in explicit_ends(whole)):
            continue
        with pytest.raises(UnreadableDataset):
            read_identifier(whole[:cut], syntax)


def explicit_ends(whole: bytes) -> set[int]:
    """Where the first two elements end: character set and name."""
    first = 8 + struct.unpack_from("<H", whole, 6)[0]
    return {first, first + 8 + struct.unpack_from("<H", whole, first + 6)[0]}


def test_a_dataset_in_the_wrong_syntax_is_refused():
    with pytest.raises(UnreadableDataset):
        read_identifier(encoded(query(), ImplicitVRLittleEndian), ExplicitVRLittleEndian)
    with pytest.raises(UnreadableDataset):
        read_identifier(encoded(query(), ExplicitVRLittleEndian), ImplicitVRLittleEndian)


@pytest.mark.parametrize("syntax", SYNTAXES)
@given(noise=st.binary(max_size=200))
def test_noise_is_refused_or_read_but_never_anything_else(syntax, noise):
    with suppress(UnreadableDataset):
        read_identifier(noise, syntax)


@given(place=st.integers(0, 200), value=st.integers(0, 255))
def test_a_broken_byte_never_fails_otherwise(place, value):
    whole = bytearray(encoded(query(), ExplicitVRLittleEndian))
    whole[place % len(whole)] = value

    with suppress(UnreadableDataset):
        read = read_identifier(bytes(whole), ExplicitVRLittleEndian)
        text_of(read, PATIENT_NAME, "PN", charset_of(read))


def test_sequences_that_never_end_are_refused():
    nested = struct.pack("<HHL", 0x0040, 0x0100, 0xFFFFFFFF) + struct.pack("<HHL", 0xFFFE, 0xE000, 0xFFFFFFFF)

    with pytest.raises(UnreadableDataset) as refused:
        read_identifier(nested * (MOST_LEVELS + 2), ImplicitVRLittleEndian)

    assert refused.value.text == "sequences are nested too deep"


@pytest.mark.parametrize("tag", [(0x0000, 0x0002), (0x0002, 0x0010), (0xFFFE, 0xE000)])
def test_elements_of_other_places_are_refused(tag):
    with pytest.raises(UnreadableDataset):
        read_identifier(struct.pack("<HHL", *tag, 0), ImplicitVRLittleEndian)


@pytest.mark.parametrize(
    ("charset", "raw", "text"),
    [
        ("", b"DOE^ANN ", "DOE^ANN"),
        ("ISO_IR 100", "Müller".encode("latin-1"), "Müller"),
        ("ISO_IR 192", "Müller=山田".encode(), "Müller=山田"),
        ("ISO_IR 203", "Š".encode("iso8859_15"), "Š"),
        ("\\ISO 2022 IR 87", b"Yamada=\x1b$B;3ED\x1b(B", "Yamada=山田"),
        ("", "Müller".encode(), "Müller"),
        ("", "Müller".encode("latin-1"), "M?ller"),
        ("ISO_IR 999", "Müller".encode("latin-1"), "M?ller"),
    ],
)
def test_text_is_decoded_by_its_character_set_and_guessed_without(charset, raw, text):
    charset_bytes = charset.encode() + b" " * (len(charset) % 2)
    raw += b" " * (len(raw) % 2)
    whole = struct.pack("<HHL", 0x0008, 0x0005, len(charset_bytes)) + charset_bytes
    whole += struct.pack("<HHL", 0x0010, 0x0010, len(raw)) + raw
    read = read_identifier(whole, ImplicitVRLittleEndian)

    assert text_of(read, PATIENT_NAME, "PN", charset_of(read)) == text
