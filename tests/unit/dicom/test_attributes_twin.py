"""Datasets of performed steps: each value is read as pydicom reads it, in every character set, encoding and depth."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from io import BytesIO
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset

from broker.dataset.attributes import Attribute, Attributes, attribute, read_attributes
from broker.dicom import performed_attributes as performed
from broker.errors import UnreadableDataset
from tests.kit import pydicom_values

IMPLICIT, EXPLICIT = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1"
UNDEFINED = 0xFFFFFFFF
LONG = {"SQ", "UC", "UR", "UT"}
FREE = {"LO", "PN", "SH", "UC", "UT"}

SETS: Mapping[tuple[str, ...], Mapping[str, tuple[bytes, str]]] = {
    (): {},
    **{
        (f"ISO_IR {number}",): {letters: (b"", codec)}
        for number, codec, letters in (
            (100, "latin_1", "äÖßéÿ"), (101, "iso8859_2", "łŠžąŐ"), (109, "iso8859_3", "ħŜġ"),
            (110, "iso8859_4", "āķŪ"), (126, "iso8859_7", "ΑβΩ"), (127, "iso8859_6", "ابت"),
            (138, "iso8859_8", "אבג"), (144, "iso8859_5", "ЖдЯ"), (148, "iso8859_9", "Ğış"),
            (166, "iso8859_11", "กขค"), (13, "shift_jis", "ﾔﾏﾀﾞ"), (192, "utf_8", "ü山Жα홍🙂"),
        )
    },
    ("GB18030",): {"王小东ü": (b"", "gb18030")},
    ("GBK",): {"王小东": (b"", "gbk")},
    ("", "ISO 2022 IR 87"): {"山田太郎": (b"\x1b$B", "jis")},
    ("", "ISO 2022 IR 149"): {"홍길동": (b"\x1b$)C", "euc_kr")},
    ("", "ISO 2022 IR 58"): {"王小": (b"\x1b$)A", "gb2312")},
    ("ISO 2022 IR 13", "ISO 2022 IR 87"): {"ﾔﾏﾀ": (b"", "shift_jis"), "山田": (b"\x1b$B", "jis")},
    ("ISO 2022 IR 100", "ISO 2022 IR 144"): {"äöé": (b"", "latin_1"), "ЖдЯ": (b"\x1b-L", "iso8859_5")},
}  # fmt: skip
"""Character sets, the letters of each that are tried, and how those are encoded: escape sequence and codec.

No byte of a two-byte letter is a delimiter: there pydicom takes some names apart.
"""

TEXTS = {
    "": ["PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientSex", "Modality",
         "PerformedProcedureStepID", "PerformedStationAETitle", "PerformedProcedureStepStartDate",
         "PerformedProcedureStepStartTime", "PerformedProcedureStepEndDate", "PerformedProcedureStepEndTime",
         "PerformedProcedureStepStatus"],
    "ScheduledStepAttributesSequence": ["StudyInstanceUID", "ScheduledProcedureStepID", "RequestedProcedureID",
                                        "AccessionNumber"],
    "IssuerOfPatientIDQualifiersSequence": ["UniversalEntityID", "UniversalEntityIDType"],
    "PerformedProcedureStepDiscontinuationReasonCodeSequence": ["CodeValue", "LongCodeValue", "URNCodeValue",
                                                               "CodingSchemeDesignator", "CodeMeaning"],
    "PerformedSeriesSequence": ["SeriesInstanceUID", "ProtocolName"],
    "ReferencedImageSequence": ["ReferencedSOPInstanceUID"],
    "ReferencedNonImageCompositeSOPInstanceSequence": ["ReferencedSOPInstanceUID"],
}  # fmt: skip
"""Attributes with text, by the sequence whose items hold them."""
SEQUENCES = {
    "": [keyword for keyword in TEXTS if keyword and not keyword.startswith("Referenced")],
    "PerformedSeriesSequence": [keyword for keyword in TEXTS if keyword.startswith("Referenced")],
}

pytestmark = pytest.mark.filterwarnings("ignore")
plain_texts = st.text(" ABCxyz019.:-\x01\t\\", max_size=12).map(str.encode) | st.sampled_from(
    [b"20260302", b"091500.25", b"IN PROGRESS", b"1.2.840.1\x00", b"CT ", b"\xc4\xfc", b"A \\ B\x00"]
)


def encoded(text: str, letters: Mapping[str, tuple[bytes, str]], of_name: bool) -> bytes:
    """Each letter by its set; the first set, which needs no escape sequence, holds again after it."""
    out, within = b"", b""
    roman = b"\x1b(J" if any(codec == "shift_jis" for _, codec in letters.values()) else b"\x1b(B"
    for char in text:
        escape, codec = next((how for some, how in letters.items() if char in some), (b"", "latin_1"))
        if codec == "jis":
            out += escape + char.encode("iso2022_jp")[3:-3] + roman
            continue
        if char in ("\\^=" if of_name else "\\"):
            within = b""
        if escape and within != escape:
            out, within = out + escape, escape
        elif not escape and within and not char.isascii():
            out, within = out + b"\x1b-A", b""
        out += char.encode(codec)
    return out


@st.composite
def datasets(draw: st.DrawFn, level: str = "", charset: tuple[str, ...] = ()) -> tuple[Any, ...]:
    """Elements as (keyword, value): bytes, or items."""
    own = draw(st.none() | st.sampled_from(list(SETS)))
    charset = charset if own is None else own
    found: list[tuple[str, Any]] = []
    if own is not None:
        found.append(("SpecificCharacterSet", "\\".join(own).encode()))
    for keyword in draw(st.lists(st.sampled_from(TEXTS[level]), unique=True)):
        found.append((keyword, draw(free_texts(charset, dictionary_VR(keyword)))))
    if level in SEQUENCES:
        for keyword in draw(st.lists(st.sampled_from(SEQUENCES[level]), max_size=3, unique=True)):
            found.append((keyword, draw(st.lists(datasets(keyword, charset), max_size=3))))
    return tuple(sorted(found, key=lambda one: tag_for_keyword(one[0]) or 0))


def free_texts(charset: tuple[str, ...], vr: str) -> st.SearchStrategy[bytes]:
    """Values of one VR; undeclared letters too, which pydicom reads as Latin-1."""
    if vr not in FREE:
        return plain_texts
    # Where an escape sequence rules on after it, pydicom knows no delimiter but those of lines.
    marks = "" if any(how[0].startswith(b"\x1b-") for how in SETS[charset].values()) else "\\="
    letters = "".join(SETS[charset]) or "äÖ\x80"
    # Of a name with Japanese and Latin letters between two delimiters it loses some.
    latin = "" if vr == "PN" and charset and charset[0].endswith("IR 13") else "AB ."
    text = st.text("^" + latin + marks + letters, max_size=12)
    padding = st.sampled_from([b"", b" ", b"\x00"])
    return st.builds(lambda said, pad: encoded(said, SETS[charset], vr == "PN") + pad, text, padding)


def written(dataset: tuple[Any, ...], explicit: bool, undefined: Callable[[], bool]) -> bytes:
    """The dataset's bytes; undefined says of each sequence and item whether its length is."""
    out = b""
    for keyword, value in dataset:
        tag, vr = tag_for_keyword(keyword) or 0, dictionary_VR(keyword)
        if vr == "SQ":
            body = b"".join(of_length(0xFFFEE000, 0xFFFEE00D, written(one, explicit, undefined), undefined())
                            for one in value)  # fmt: skip
        else:
            body = value + b" " * (len(value) % 2)
        endless = vr == "SQ" and undefined()
        out += struct.pack("<HH", tag >> 16, tag & 0xFFFF)
        length = UNDEFINED if endless else len(body)
        if explicit and vr not in LONG:
            out += vr.encode() + struct.pack("<H", length)
        else:
            out += (vr.encode() + b"\0\0" if explicit else b"") + struct.pack("<L", length)
        out += body + (struct.pack("<HHL", 0xFFFE, 0xE0DD, 0) if endless else b"")
    return out


def of_length(head: int, tail: int, body: bytes, undefined: bool) -> bytes:
    first = struct.pack("<HHL", head >> 16, head & 0xFFFF, UNDEFINED if undefined else len(body))
    return first + body + (struct.pack("<HHL", tail >> 16, tail & 0xFFFF, 0) if undefined else b"")


def as_pydicom_reads(content: bytes, syntax: str) -> Dataset:
    read = read_dataset(BytesIO(content), syntax == IMPLICIT, True)
    read.decode()
    return read


def said(dataset: Dataset | Attributes, level: str = "") -> dict[str, Any]:
    """Every value that a fact may be made of, and what is there at all."""
    found: dict[str, Any] = {}
    for keyword in TEXTS[level] + SEQUENCES.get(level, []):
        wanted = attribute(keyword)
        if isinstance(dataset, Dataset):
            there, text = keyword in dataset, pydicom_values.text(dataset, keyword)
            items: Any = pydicom_values.items(dataset, keyword)
        else:
            there, text, items = wanted in dataset, dataset.text(wanted), dataset.items(wanted)
            assert dataset.count(wanted) == len(items)
            assert dataset.has_value(wanted) == bool(text or items)
        inside = [said(item, keyword) for item in items] if keyword in TEXTS else None
        found[keyword] = (there, text, inside)
    return found


@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT])
@given(dataset=datasets(), choices=st.randoms(use_true_random=False))
def test_any_performed_step_is_read_as_pydicom_reads_it(syntax, dataset, choices):
    content = written(dataset, syntax == EXPLICIT, lambda: choices.random() < 0.5)

    assert said(read_attributes(content, syntax)) == said(as_pydicom_reads(content, syntax))


def test_every_attribute_that_makes_a_fact_is_compared():
    used = [value for value in vars(performed).values() if isinstance(value, Attribute)]
    keywords = {one.keyword for one in (*used, *performed.CODES, *performed.OBJECTS)}

    assert keywords <= {*TEXTS, *(keyword for some in TEXTS.values() for keyword in some)}




@pytest.mark.parametrize(("charset", "raw", "name"), [
    ("ISO_IR 203", "Šœ€".encode("iso8859_15"), "Šœ€"),
    ("ISO_IR 13", b"A\xc0", "Aﾀ"),
    ("\\ISO 2022 IR 87", b"HARU=\x1b$B=U\x1b(B", "HARU=春"),
    ("\\ISO 2022 IR 87", b"\x1b$B=U\x1b(B^\x1b$B2F\x1b(B==", "春^夏"),
    ("\\ISO 2022 IR 159", b"\x1b$(D0!0\"\x1b(B", "丂丄"),
    ("ISO 2022 IR 100\\ISO 2022 IR 144", b"\x1b-L\xb6^\xe4=\x1b-L\xb6", "Ж^ä=Ж"),
    ("ISO_IR 192", "Mü".encode()[:-1] + b"^A", "M\N{REPLACEMENT CHARACTER}^A"),
    ("", b"M\xfcller", "Müller"),
    ("ISO_IR 999", b"M\xfcller", "Müller"),
    ("PUNYCODE", b"M\xfcller", "Müller"),
    ("A\0B", b"M\xfcller", "Müller"),
    ("UTF-8", "Müller".encode(), "Müller"),
])  # fmt: skip
def test_a_name_is_read_by_its_character_set_and_as_latin_1_without(charset, raw, name):
    content = written((("SpecificCharacterSet", charset.encode()), ("PatientName", raw)), False, lambda: False)

    assert read_attributes(content, IMPLICIT).text(performed.PATIENT_NAME) == name


@pytest.mark.parametrize(("own", "meaning"), [(None, "ä"), (b"", "Ã¤"), (b"ISO_IR 144", "УЄ")])
def test_an_item_has_the_character_set_of_its_dataset_unless_it_says_one(own, meaning):
    item = (("CodeMeaning", "ä".encode()),) if own is None else (
        ("SpecificCharacterSet", own), ("CodeMeaning", b"\xc3\xa4"))  # fmt: skip
    whole = (("SpecificCharacterSet", b"ISO_IR 192"), (performed.REASONS.keyword, [item]))

    [read] = read_attributes(written(whole, False, lambda: True), IMPLICIT).items(performed.REASONS)

    assert read.text(performed.CODE_MEANING) == meaning


@given(charset=st.binary(max_size=40) | st.sampled_from(["\\".join(names).encode() for names in SETS]),
       value=st.binary(max_size=40), vr_of=st.sampled_from(TEXTS[""]))  # fmt: skip
@example(b"HEX", b"\x1b$B\x80", "PatientName")
@example(b"\\ISO 2022 IR 87", b"\x1b$B\x80\x1b$B!", "PatientID")
def test_any_value_in_any_character_set_is_text_without_control_characters(charset, value, vr_of):
    content = written((("SpecificCharacterSet", charset), (vr_of, value)), True, lambda: False)

    text = read_attributes(content, EXPLICIT).text(attribute(vr_of))

    assert text.isprintable()
    assert text == text.strip()


@given(st.sampled_from([IMPLICIT, EXPLICIT]), datasets(), st.randoms(use_true_random=False))
def test_a_dataset_with_broken_bytes_is_refused_or_read_but_nothing_else(syntax, dataset, choices):
    content = bytearray(written(dataset, syntax == EXPLICIT, lambda: choices.random() < 0.5))
    for _ in range(3 if content else 0):
        content[choices.randrange(len(content))] = choices.randrange(256)

    try:
        read = read_attributes(bytes(content), syntax)
    except UnreadableDataset:
        return

    said(read)
    performed.faults_of_create(read)
    performed.read_progress(read)
