"""What acts on a terminal, reorders text or breaks a line is shown as an escape; all else stays as it is."""

from __future__ import annotations

import unicodedata

import pytest

from broker.visible import distinct, visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2J", r"\x1b[2J"), ("\a", r"\x07"), ("\x9b31m", r"\x9b31m"), ("\x7f", r"\x7f"), ("a\r\nb", r"a\r\nb"),
        ("\u202eabc", r"\u202eabc"), ("\u2066\u2069", r"\u2066\u2069"), ("\u200e\u200f", r"\u200e\u200f"),
        ("\u2028\u2029", r"\u2028\u2029"), ("\ufeff", r"\ufeff"), ("\U000e0041", r"\U000e0041"), ("\udc9b", r"\udc9b"),
    ],
)  # fmt: skip
def test_what_acts_is_escaped(text: str, shown: str) -> None:
    assert visible(text) == shown


@pytest.mark.parametrize("text", ["", "MÜLLER^ÄNNE", "山田\u3000太郎", "a\u00a0b", r"\x1b", "שלום", "e\u0301", "😀"])
def test_what_is_only_drawn_stays(text: str) -> None:
    assert visible(text) == text


def test_no_control_or_format_character_of_unicode_comes_through() -> None:
    shown = visible("".join(map(chr, range(0x110000))))

    assert {unicodedata.category(letter) for letter in shown} & {"Cc", "Cf", "Cs", "Zl", "Zp"} == set()


def test_two_texts_never_look_the_same_as_labels() -> None:
    assert distinct("\x1b") != distinct(r"\x1b")
