"""Escape sequences, both ways."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.hl7v2.escapes import escape, unescape
from broker.hl7v2.reader import Delimiters

USUAL = Delimiters()
ODD = Delimiters("!", "$", "%", "*", "#")


@pytest.mark.parametrize(
    ("sent", "meant"),
    [
        (r"a\T\b\F\c", "a&b|c"),
        (r"\S\\R\\E\\P\ ".strip(), "^~\\#"),
        (r"\X41\\X42\ ".strip(), "AB"),
        (r"caf\XC3A9\ ".strip(), "café"),
        (r"caf\XE9\ ".strip(), "café"),
        (r"\H\bold\N\ ".strip(), "bold"),
        (r"\Z41\gone", "gone"),
        (r"\.in+4\a\.ti-2\b\.fi\c", "abc"),
        (r"\unknown\kept", "kept"),
        (r"C:\temp", r"C:\temp"),
        (r"one \ two \ three", r"one \ two \ three"),
        (r"stray\ and \T\ ".strip(), r"stray\ and &"),
        ("\\", "\\"),
        ("\\\\", "\\\\"),
        (r"\X4\odd", "odd"),
        (r"\X00\nul", "nul"),
        ("", ""),
    ],
)
def test_an_escape_is_replaced_by_what_it_means(sent: str, meant: str) -> None:
    assert unescape(sent, USUAL) == meant


def test_escapes_do_not_nest() -> None:
    assert unescape(r"\E\T\E\ ".strip(), USUAL) == "\\T\\"


def test_line_commands_are_newlines_in_formatted_text_and_blanks_elsewhere() -> None:
    sent = r"one\.br\two\X0D0A\three\.sp2\four"

    assert unescape(sent, USUAL, formatted=True) == "one\ntwo\nthree\n\nfour"
    assert unescape(sent, USUAL) == "one two three  four"


def test_spacing_is_bounded() -> None:
    assert len(unescape(r"\.sp9999\ ".strip(), USUAL, formatted=True)) == 99
    assert len(unescape(r"\.sk9999\ ".strip(), USUAL)) == 99


def test_the_messages_own_escape_character_rules() -> None:
    assert unescape(r"a*T*b\T\c", ODD) == r"a#b\T\c"


@given(st.text(st.characters(blacklist_categories=["Cc", "Cs"])), st.sampled_from([USUAL, ODD]))
def test_what_was_escaped_is_read_back(text: str, delimiters: Delimiters) -> None:
    sent = escape(text, delimiters)

    assert unescape(sent, delimiters) == text
    assert not set(sent) & {delimiters.field, delimiters.component, delimiters.repetition, delimiters.subcomponent}


@given(st.text())
def test_no_escaped_text_holds_a_control_character(text: str) -> None:
    assert not any(char < " " for char in escape(text, USUAL))


@given(st.text(alphabet="\\.XZCMHTFbr0123 abc\n"), st.booleans())
def test_any_text_can_be_unescaped(text: str, formatted: bool) -> None:
    assert isinstance(unescape(text, USUAL, formatted), str)
