"""What reading costs: in proportion to the bytes, whatever they are, and bounded in number before anything is kept."""

from __future__ import annotations

from contextlib import suppress

import pytest

from broker.errors import TooMany
from broker.hl7v2.escapes import MOST_SPACING, unescape
from broker.hl7v2.reader import Delimiters, read
from broker.hl7v2.segments import MOST_CHARACTERS, MOST_NAMES, MOST_SEGMENTS
from tests.kit.doubling import check_linear
from tests.kit.worst_hl7 import CHARSETS, HEADER, LINES, Maker, message

WORST = {**LINES, **CHARSETS}


def split(raw: bytes) -> None:
    with suppress(TooMany):
        read(raw)


@pytest.mark.parametrize("make", WORST.values(), ids=WORST)
def test_a_message_is_split_in_proportion_to_its_bytes(make: Maker) -> None:
    check_linear(make, split, 3_000)


@pytest.mark.parametrize("text", [r"\F" + "\\", r"\X41" + "\\", r"\.sp99" + "\\", "\\", r"\XQ" + "\\ "])
def test_escapes_are_read_in_proportion_to_the_text(text: str) -> None:
    check_linear(lambda size: text * (size // len(text)), lambda given: unescape(given, Delimiters(), True), 3_000)


def test_all_spacing_of_a_value_together_is_bounded() -> None:
    assert len(unescape(r"\.sp99" + "\\" + "a" + r"\.sk99" + "\\" * 2 + "a", Delimiters(), True)) < 210
    assert len(unescape((r"\.sp99" + "\\") * 1_000, Delimiters(), True)) == MOST_SPACING


def test_a_message_of_more_segments_than_are_taken_says_where_it_passes_the_bound() -> None:
    read(HEADER + b"\rOBX" * (MOST_SEGMENTS - 1))

    with pytest.raises(TooMany) as refused:
        read(HEADER + b"\rPID" + b"\rOBX" * (MOST_SEGMENTS - 1))

    assert refused.value.text == "more than 200000 segments"
    assert refused.value.facts["place"] == f"OBX^{MOST_SEGMENTS - 1}"


def test_a_message_of_more_names_of_segments_than_are_taken_is_refused() -> None:
    names = [f"Z{first}{second}".encode() for first in "ABCDEFGHIJKLMNOP" for second in "ABCDEFGHIJKLMNOP"]

    assert len(read(b"\r".join([HEADER, *names[: MOST_NAMES - 2]])).segments) == MOST_NAMES - 1
    with pytest.raises(TooMany):
        read(b"\r".join([HEADER, *names]))


def test_empty_lines_are_no_segments() -> None:
    assert len(read(HEADER + b"\r" * MOST_SEGMENTS * 2 + b"PID|1").segments) == 2


def test_a_long_text_with_more_lines_than_there_may_be_segments_is_one_segment() -> None:
    text = b"line\n" * MOST_SEGMENTS * 2

    assert len(read(message(b"\rNTE|1||" + text)).segments) == 5


def test_of_a_long_field_the_beginning_is_looked_at_and_the_fields_around_it_are_whole() -> None:
    found = read(HEADER + b"\rOBX|1|ED|PDF||" + b"QUJD" * MOST_CHARACTERS + b"|kg|" + b"x" * 300).first("OBX")

    assert found is not None
    assert found.field(5) == "QUJD" * (MOST_CHARACTERS // 4)
    assert [found.field(number) for number in (0, 1, 2, 3, 4, 6, 7, 8, 9)] == [
        "OBX", "1", "ED", "PDF", "", "kg", "x" * 300, "", ""
    ]  # fmt: skip


def test_fields_of_a_long_header_have_their_numbers() -> None:
    header = read(rb"MSH|^~\&|RIS|" + b"x" * MOST_CHARACTERS * 2 + b"|MWL").header

    assert [header.field(number) for number in (1, 2, 3, 5)] == ["|", r"^~\&", "RIS", "MWL"]


def test_segments_of_a_message_of_many_know_their_place_and_their_number() -> None:
    segments = read(HEADER + b"\rOBX|1\rNTE|1" * 1_000).segments

    assert [(s.name, s.position, s.ordinal) for s in segments[1998:]] == [
        ("NTE", 1998, 999), ("OBX", 1999, 1000), ("NTE", 2000, 1000)
    ]  # fmt: skip
    assert segments[1999].field(1) == "1"


@pytest.mark.parametrize("codec", ["utf_8", "gb18030", "shift_jis"])
def test_a_text_that_is_decoded_in_pieces_is_the_same_text(codec: str) -> None:
    name = {"utf_8": "UNICODE UTF-8", "gb18030": "GB 18030-2000", "shift_jis": "ISO IR14"}[codec]
    text = "a山田" * 30_000

    found = read(message(b"\rNTE|1||" + text.encode(codec), charset=name.encode()))

    assert not found.undecodable
    assert found.segments[4].field(3) == text[:MOST_CHARACTERS]
