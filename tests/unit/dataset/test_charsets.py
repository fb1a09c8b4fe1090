"""Character sets of answers: what holds a text, and what does not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.dataset.charsets import decode, encoder_of, names_of


@pytest.mark.parametrize(
    ("names", "text", "raw"),
    [
        (["ISO_IR 100"], "Müller", "Müller".encode("latin_1")),
        (["ISO_IR 203"], "Š€", b"\xa6\xa4"),
        (["ISO_IR 144"], "Иван", "Иван".encode("iso8859_5")),
        (["ISO_IR 166"], "ก", "ก".encode("iso8859_11")),
        (["ISO_IR 13"], "ﾔﾏﾀﾞ", "ﾔﾏﾀﾞ".encode("shift_jis")),
        (["GB18030"], "王^小东", "王^小东".encode("gb18030")),
        (["ISO 2022 IR 100"], "Müller", "Müller".encode("latin_1")),
        (["", "ISO 2022 IR 87"], "山田", b"\x1b$B;3ED\x1b(B"),
        (["", "ISO 2022 IR 149"], "김", b"\x1b$)C\xb1\xe8"),
    ],
)
def test_a_set_holds_a_text(names: list[str], text: str, raw: bytes) -> None:
    encode = encoder_of(names)

    assert encode is not None
    assert encode("LO", text) == raw
    assert decode("LO", raw, names) == text


@pytest.mark.parametrize(
    ("names", "text"),
    [
        (["ISO_IR 100"], "Š"),
        (["ISO_IR 6"], "é"),
        (["ISO_IR 13"], "山"),
        (["ISO_IR 13"], "a~ﾔ"),
        (["", "ISO 2022 IR 87"], "é"),
        (["ISO 2022 IR 100", "ISO 2022 IR 144"], "山"),
    ],
)
def test_a_set_does_not_hold_a_text(names: list[str], text: str) -> None:
    encode = encoder_of(names)

    assert encode is not None
    with pytest.raises(UnicodeError):
        encode("LO", text)


@pytest.mark.parametrize("names", [[], ["ISO_IR 999"], ["", "nonsense"], ["ISO_IR 192", "ISO 2022 IR 87"]])
def test_a_set_that_nobody_knows_has_no_encoder(names: list[str]) -> None:
    assert encoder_of(names) is None


def test_names_are_read_as_pydicom_gives_them() -> None:
    assert names_of(None) == names_of("") == names_of(["", ""]) == ()
    assert names_of("ISO_IR 100 ") == ("ISO_IR 100",)
    assert names_of(["", "ISO 2022 IR 87"]) == ("", "ISO 2022 IR 87")


JAPANESE = ["", "ISO 2022 IR 87"]


@given(st.lists(st.text(st.sampled_from("山田太郎やまだabc "), min_size=1, max_size=6), min_size=1, max_size=3))
def test_what_is_encoded_with_escapes_reads_back(parts: list[str]) -> None:
    encode = encoder_of(JAPANESE)
    assert encode is not None
    text = "^".join(parts)

    try:
        raw = encode("PN", text)
    except UnicodeError:
        return

    assert decode("PN", raw, JAPANESE) == text


@pytest.mark.parametrize("names", [(), ("ISO_IR 6",), ("ISO_IR 999",), ("", "nonsense"), ("ISO_IR 192",)])
def test_bytes_that_mean_nothing_in_a_set_are_not_decoded(names: tuple[str, ...]) -> None:
    with pytest.raises(UnicodeError):
        decode("LO", b"M\xfcller", names)
