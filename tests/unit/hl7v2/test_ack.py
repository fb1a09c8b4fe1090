"""Answers, read back by a parser that is not ours."""

from __future__ import annotations

from datetime import UTC, datetime

import hl7
import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.hl7v2.ack import ERROR_TEXTS, AckError, AckHeader, acknowledge, header_of
from broker.hl7v2.reader import read

AT = datetime(2025, 3, 1, 9, 0, 1, tzinfo=UTC)
MISSING = AckError(101, "PID^1^3^1^1", "required value is missing: a|b")


def header(version: str, facility: str = "HOSP", charset: str = "", codec: str = "ascii") -> AckHeader:
    text = rf"MSH|^~\&|RIS|{facility}|MWL|RAD|20250301||ORM^O01^ORM_O01|C\T\1|P|{version}||||||{charset}"
    return header_of(read(text.encode(codec)))


def answer(version: str, code: str = "AA", error: AckError | None = None) -> hl7.Message:
    raw = acknowledge(header(version), code, error.text if error else "", error, control_id="MWL7", at=AT)
    return hl7.parse(raw.decode())


@pytest.mark.parametrize(
    ("version", "message_type"),
    [("2.3", "ACK^O01"), ("2.3.1", "ACK^O01"), ("2.4", "ACK^O01"), ("2.5", "ACK^O01^ACK"), ("2.5.1", "ACK^O01^ACK")],
)
def test_the_answer_turns_the_header_around_in_the_messages_version(version: str, message_type: str) -> None:
    msh = answer(version).segment("MSH")

    assert [str(msh[n]) for n in (3, 4, 5, 6)] == ["MWL", "RAD", "RIS", "HOSP"]
    assert str(msh[7]) == "20250301090001+0000"
    assert str(msh[9]) == message_type
    assert [str(msh[n]) for n in (10, 11, 12)] == ["MWL7", "P", version]


def test_an_accepted_message_is_answered_without_an_error_segment() -> None:
    message = answer("2.5.1")

    assert [str(segment[0]) for segment in message] == ["MSH", "MSA"]
    assert str(message.segment("MSA")[1]) == "AA"


def test_the_control_id_comes_back_as_it_was_sent() -> None:
    assert str(answer("2.3.1").segment("MSA")[2]) == r"C\T\1"


@pytest.mark.parametrize("version", ["2.3", "2.3.1", "2.4"])
def test_an_older_error_is_one_field_of_place_and_code(version: str) -> None:
    message = answer(version, "AE", MISSING)

    assert str(message.segment("ERR")[1]) == "PID^1^3^101&Required field missing&HL70357"
    assert str(message.segment("MSA")[3]) == r"required value is missing: a\F\b"


@pytest.mark.parametrize("version", ["2.5", "2.5.1"])
def test_a_newer_error_has_fields_for_place_code_severity_and_text(version: str) -> None:
    error = answer(version, "AE", MISSING).segment("ERR")

    assert [str(error[n]) for n in (2, 3, 4)] == ["PID^1^3^1^1", "101^Required field missing^HL70357", "E"]
    assert str(error[8]) == r"required value is missing: a\F\b"


def test_an_error_without_a_place_still_has_its_code() -> None:
    old = answer("2.3.1", "AR", AckError(207, "", "x")).segment("ERR")
    new = answer("2.5.1", "AR", AckError(207, "", "x")).segment("ERR")

    assert str(old[1]) == "^^^207&Application internal error&HL70357"
    assert str(new[2]) == ""
    assert str(new[3]).startswith("207^")


def test_a_version_that_is_not_spoken_is_answered_in_the_newest() -> None:
    assert str(answer("2.9", "AR", AckError(203, "MSH^1^12", "x")).segment("MSH")[12]) == "2.5.1"


def test_the_answer_is_written_in_the_senders_character_set() -> None:
    raw = acknowledge(header("2.3.1", "HÖSP", "8859/1", "latin-1"), "AA", control_id="MWL1", at=AT)

    message = read(raw)
    assert message.charset == "8859/1"
    assert message.header.field(6) == "HÖSP"


def test_an_answer_of_plain_ascii_names_no_character_set() -> None:
    raw = acknowledge(header("2.3.1", charset="8859/1"), "AA", control_id="MWL1", at=AT)

    assert read(raw).charset == ""


def test_an_answer_that_the_senders_set_does_not_hold_is_utf_8() -> None:
    raw = acknowledge(AckHeader(sending_facility="H\ufffdSP", charset="8859/1"), "AA", control_id="M1", at=AT)

    message = read(raw)
    assert message.charset == "UNICODE UTF-8"
    assert message.header.field(6) == "H\ufffdSP"


def test_the_senders_delimiters_are_used() -> None:
    odd = header_of(read(b"MSH!$%*#!RIS!HOSP!!!!!ORM$O01!C1!P!2.3.1"))

    raw = acknowledge(odd, "AE", "a!b", AckError(101, "PID^1^3", "a!b"), control_id="M1", at=AT)

    message = read(raw)
    assert message.header.field(9) == "ACK$O01"
    assert message.first("ERR").field(1) == "PID$1$3$101#Required field missing#HL70357"
    assert message.first("MSA").field(3) == "a*F*b"


def test_bytes_that_are_no_message_are_answered_too() -> None:
    raw = acknowledge(AckHeader(), "AR", "no", AckError(100, "", "no"), control_id="M1", at=AT)

    message = hl7.parse(raw.decode())
    assert str(message.segment("MSA")[1]) == "AR"
    assert str(message.segment("MSA")[2]) == ""


def test_long_texts_are_cut_to_what_the_standard_allows() -> None:
    error = AckError(102, "", "x" * 1000)

    old = acknowledge(header("2.3"), "AE", error.text, error, control_id="M1", at=AT)
    new = acknowledge(header("2.5"), "AE", error.text, error, control_id="M1", at=AT)

    assert len(read(old).first("MSA").field(3)) == 80
    assert len(read(new).first("ERR").field(8)) == 250


@given(
    st.lists(st.text(), min_size=9, max_size=9),
    st.sampled_from(["", "8859/1", "ISO IR87", "KS X 1001", "KLINGON"]),
    st.sampled_from(sorted(ERROR_TEXTS)),
)
def test_no_header_breaks_the_answer_or_its_frame(texts: list[str], charset: str, code: int) -> None:
    spoilt = AckHeader(*([AckHeader().delimiters, *texts[:8]]), charset=charset)

    raw = acknowledge(spoilt, "AE", texts[8], AckError(code, texts[8], texts[8]), control_id="M1", at=AT)

    assert b"\x0b" not in raw
    assert b"\x1c" not in raw
    assert raw.startswith(b"MSH|")
