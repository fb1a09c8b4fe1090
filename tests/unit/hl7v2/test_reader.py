"""The reader: delimiters, ends of segments, fields, character sets, and what is no message."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.errors import UnreadableMessage
from broker.hl7v2.reader import read

HEADER = rb"MSH|^~\&|RIS|HOSP|MWL|RAD|20250301090000||ORM^O01|C1|P|2.3.1"
WORDS = st.text(st.characters(blacklist_categories=["Cc", "Cs"], blacklist_characters="|^~\\&"), max_size=20)


def with_charset(name: str) -> bytes:
    return HEADER + b"||||||" + name.encode()


def test_fields_are_numbered_as_the_standard_numbers_them() -> None:
    message = read(HEADER + b"\rPID|1||P1^^^HOSP~P2||Doe^Jane\r")

    assert message.header.field(1) == "|"
    assert message.header.field(2) == r"^~\&"
    assert message.header.field(9) == "ORM^O01"
    assert message.segments[1].field(3) == "P1^^^HOSP~P2"


def test_a_field_beyond_the_end_is_empty() -> None:
    message = read(HEADER + b"\rPID|1")

    assert message.segments[1].field(40) == ""
    assert message.header.field(21) == ""


def test_segments_know_their_place_and_their_number() -> None:
    message = read(HEADER + b"\rORC|NW\rOBR|1\rORC|CA\rOBR|2\r")

    assert [(s.name, s.position, s.ordinal) for s in message.segments] == [
        ("MSH", 0, 1),
        ("ORC", 1, 1),
        ("OBR", 2, 1),
        ("ORC", 3, 2),
        ("OBR", 4, 2),
    ]


def test_the_first_segment_of_a_name_is_found_and_a_missing_one_is_none() -> None:
    message = read(HEADER + b"\rORC|NW\rORC|CA")

    assert message.first("ORC") is message.segments[1]
    assert message.first("OBR") is None


@pytest.mark.parametrize("end", [b"\r", b"\n", b"\r\n"])
def test_each_end_of_segment_is_taken(end: bytes) -> None:
    message = read(end.join([HEADER, b"PID|1", b"ORC|NW", b"OBR|1"]) + end)

    assert [segment.name for segment in message.segments] == ["MSH", "PID", "ORC", "OBR"]
    assert message.segments[1].field(1) == "1"


def test_a_line_feed_inside_a_text_does_not_end_the_segment() -> None:
    message = read(HEADER + b"\rNTE|1||first line\nsecond | line\rORC|NW")

    assert [segment.name for segment in message.segments] == ["MSH", "NTE", "ORC"]
    assert message.segments[1].field(3) == "first line\nsecond "


def test_delimiters_come_from_the_header() -> None:
    message = read(b"MSH!$%*#!RIS!HOSP!!!!!ORM$O01!C1!P!2.3.1\rPID!!!P1$$$HOSP!!Doe$Jane")

    assert message.delimiters.field == "!"
    assert message.delimiters.component == "$"
    assert message.delimiters.repetition == "%"
    assert message.delimiters.escape == "*"
    assert message.delimiters.subcomponent == "#"
    assert message.first("PID").field(5) == "Doe$Jane"


def test_a_fifth_encoding_character_is_accepted() -> None:
    message = read(rb"MSH|^~\&#|RIS|HOSP" + b"\rPID|1")

    assert message.header.field(3) == "RIS"


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"   \r\n",
        b"PID|1",
        b"MSH",
        b"MSH|",
        b"MSH|^~",
        b"MSH||||||",
        b"MSH|^^^^|RIS",
        b"MSHA^~\\&AB",
        b"MSH|^~\\\r&|RIS",
        b"MSH|^~\\&#!|RIS",
        b"MSH\xff^~\\&\xff",
        b"FHS|^~\\&|batch\rMSH|^~\\&|RIS",
        b"M\x00S\x00H\x00|\x00",
    ],
)
def test_what_has_no_usable_header_is_no_message(raw: bytes) -> None:
    with pytest.raises(UnreadableMessage):
        read(raw)


def test_a_byte_order_mark_is_skipped_and_says_utf_8() -> None:
    message = read(b"\xef\xbb\xbf" + HEADER + "\rPID|||||Müller".encode())

    assert message.first("PID").field(5) == "Müller"
    assert not message.undecodable
    assert message.raw.startswith(b"\xef\xbb\xbf")


def test_blanks_ends_of_lines_and_frame_bytes_around_a_message_are_skipped() -> None:
    message = read(b"\x0b\r\n " + HEADER + b"\rPID|1\r\n\x00\x1c\r")

    assert [segment.name for segment in message.segments] == ["MSH", "PID"]


def test_the_declared_character_set_decodes_the_whole_message() -> None:
    message = read(with_charset("8859/15") + "\rPID|||||Šimek^€".encode("iso8859_15"))

    assert message.charset == "8859/15"
    assert message.first("PID").field(5) == "Šimek^€"
    assert not message.undecodable


def test_the_default_set_holds_only_where_none_is_declared() -> None:
    latin = "\rPID|||||Müller".encode("latin-1")

    assumed = read(HEADER + latin, default_charset="8859/1")
    declared = read(with_charset("8859/2") + "\rPID|||||Łoś".encode("iso8859_2"), default_charset="8859/1")

    assert assumed.first("PID").field(5) == "Müller"
    assert assumed.charset == ""
    assert declared.first("PID").field(5) == "Łoś"


def test_bytes_without_meaning_become_replacement_characters() -> None:
    message = read(HEADER + "\rPID|||||Müller".encode("latin-1"))

    assert message.undecodable
    assert message.first("PID").field(5) == "M\ufffdller"


def test_an_unknown_set_harms_no_ascii_message() -> None:
    message = read(with_charset("KLINGON") + b"\rPID|||||Doe")

    assert message.charset == "KLINGON"
    assert not message.undecodable


def test_kanji_bytes_that_look_like_delimiters_are_no_delimiters() -> None:
    name = "万五^京子"
    assert b"K|" in name.encode("iso2022_jp")

    message = read(with_charset("~ISO IR87") + b"\rPID|||||" + name.encode("iso2022_jp") + b"||19800102")

    assert message.charset == ""
    assert message.first("PID").field(5) == name
    assert message.first("PID").field(7) == "19800102"


def test_spelt_out_shifts_of_character_set_are_followed() -> None:
    kanji = "山田".encode("iso2022_jp").removeprefix(b"\x1b$B").removesuffix(b"\x1b(B")

    message = read(with_charset("~ISO IR87") + b"\rPID|||||\\M2442\\" + kanji + b"\\C2842\\^Taro")

    assert message.first("PID").field(5) == "山田^Taro"


def test_a_nul_never_reaches_a_text() -> None:
    message = read(HEADER + b"\rPID|||P\x001")

    assert message.first("PID").field(3) == "P\ufffd1"
    assert message.undecodable


def test_a_line_that_is_no_segment_has_no_name() -> None:
    message = read(HEADER + b"\rjust some text\rPID|1")

    assert [segment.name for segment in message.segments] == ["MSH", "", "PID"]


@given(st.lists(st.lists(WORDS, max_size=6), max_size=5), st.sampled_from(["\r", "\r\n"]))
def test_fields_that_were_joined_are_read_back(rows: list[list[str]], end: str) -> None:
    lines = [HEADER.decode() + "||||||UNICODE UTF-8", *["|".join(["ZZZ", *row]) for row in rows]]

    message = read(end.join(lines).encode())

    assert [
        [s.field(n + 1) for n in range(len(row))] for s, row in zip(message.segments[1:], rows, strict=True)
    ] == rows


@given(st.binary(max_size=300))
def test_any_bytes_are_either_read_or_refused(noise: bytes) -> None:
    for raw in (noise, HEADER + noise, HEADER + b"\r" + noise):
        try:
            message = read(raw)
        except UnreadableMessage:
            continue
        assert message.header.name == "MSH"
        assert all(message.header.field(number).count("\x00") == 0 for number in range(25))
