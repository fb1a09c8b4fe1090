"""Character sets of table 0211."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.hl7v2.charset import CODECS, codec_of, decode, encode

SAMPLES = {
    "ASCII": "Doe",
    "ISO IR6": "Doe",
    "8859/1": "Müller",
    "8859/2": "Łoś",
    "8859/3": "Ġorġ",
    "8859/4": "Žemaitė",
    "8859/5": "Иванов",
    "8859/6": "قباني",
    "8859/7": "Διονυσιος",
    "8859/8": "שרון",
    "8859/9": "Çavuşoğlu",
    "8859/15": "Šimek €",
    "ISO IR14": "ﾔﾏﾀﾞ",
    "ISO IR87": "山田太郎",
    "ISO IR159": "山田 丂",
    "JAS2020": "山田",
    "JIS X 0202": "やまだ",
    "KS X 1001": "김희중",
    "GB 18030-2000": "王小东",
    "BIG-5": "王小東",
    "UNICODE UTF-8": "Müller 山田 €",
    "UNICODE": "Müller",
}


def test_every_set_of_the_table_has_a_sample() -> None:
    assert SAMPLES.keys() == CODECS.keys()


@pytest.mark.parametrize(("name", "text"), SAMPLES.items())
def test_a_text_of_each_set_is_read_back(name: str, text: str) -> None:
    assert decode(encode(text, name), [name]) == (text, True)


@pytest.mark.parametrize(
    ("spelt", "codec"),
    [
        ("ISO-IR 87", "iso2022_jp_ext"),
        ("ISOIR87", "iso2022_jp_ext"),
        ("utf-8", "utf_8"),
        ("UNICODE_UTF8", "utf_8"),
        ("ISO 8859-1", "iso8859_1"),
        ("8859-15", "iso8859_15"),
        ("", "ascii"),
        ("KLINGON", None),
    ],
)
def test_other_spellings_are_understood(spelt: str, codec: str | None) -> None:
    assert codec_of(spelt) == codec


def test_ascii_needs_no_set() -> None:
    assert decode(b"Doe^Jane", []) == ("Doe^Jane", True)
    assert decode(b"Doe^Jane", ["KLINGON"]) == ("Doe^Jane", True)


def test_a_byte_without_meaning_is_replaced_and_told() -> None:
    assert decode(b"M\xfcller", ["UNICODE UTF-8"]) == ("M\ufffdller", False)
    assert decode(b"M\xfcller", []) == ("M\ufffdller", False)
    assert decode(b"\xd2", ["8859/7"]) == ("\ufffd", False)


def test_half_width_kana_and_kanji_stand_in_one_text() -> None:
    raw = b"\xd4\xcf\xc0\xde^" + "山田".encode("iso2022_jp")

    assert decode(raw, ["ISO IR14", "ISO IR87"]) == ("ﾔﾏﾀﾞ^山田", True)


def test_kana_shifted_into_seven_bits_are_read() -> None:
    assert decode(b"\x1b(I\x54\x4f\x1b(B^Taro", ["", "ISO IR87"]) == ("ﾔﾏ^Taro", True)


def test_korean_by_escape_is_read() -> None:
    raw = b"Hong^\x1b$)C" + "김희중".encode("euc_kr")

    assert decode(raw, ["", "KS X 1001"]) == ("Hong^김희중", True)


def test_the_end_of_a_segment_ends_a_shift() -> None:
    raw = b"PID|\x1b$B;3ED\rORC|NW"

    assert decode(raw, ["", "ISO IR87"]) == ("PID|山田\rORC|NW", True)


def test_an_unknown_escape_is_no_text() -> None:
    assert decode(b"a\x1b%b", ["8859/1"]) == ("a\ufffd%b", False)


def test_a_set_that_does_not_hold_the_text_says_so() -> None:
    with pytest.raises(UnicodeEncodeError):
        encode("€", "8859/1")
    with pytest.raises(LookupError):
        encode("a", "KLINGON")


@given(st.binary(max_size=60), st.lists(st.sampled_from([*CODECS, "", "KLINGON"]), max_size=3))
def test_any_bytes_become_a_text_without_nul(raw: bytes, names: list[str]) -> None:
    text, clean = decode(raw, names)

    assert "\x00" not in text
    assert clean or "\ufffd" in text


@given(st.text(st.characters(codec="iso8859_15", blacklist_categories=["Cc"])))
def test_latin_9_round_trips(text: str) -> None:
    assert decode(encode(text, "8859/15"), ["8859/15"]) == (text, True)
