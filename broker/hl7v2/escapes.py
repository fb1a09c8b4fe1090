"""HL7 escape sequences: out of a value that was already split, and into one that will be sent."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

from broker.hl7v2.growing import GrowingText
from broker.hl7v2.reader import Delimiters

MAX_SPACING = 99
"""Most lines or blanks that one `\\.sp<n>\\` or `\\.sk<n>\\` may ask for."""
MOST_SPACING = 10_000
"""Lines and blanks that all of them in one value may ask for: about as much as the longest text (LT) holds."""

_HEX = re.compile(r"X([0-9A-Fa-f]+)")
_LINE = re.compile(r"\.(?:br|ce|sp\+?(\d{0,4}))")
_SKIP = re.compile(r"\.sk\+?(\d{1,4})")
_NEWLINES = re.compile(r"\r\n|\r|\n")
_NOT_TEXT = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")


def unescape(text: str, delimiters: Delimiters, formatted: bool = False) -> str:
    """Replace the escapes of one value; scanned once from the left, nothing nests.

    text       one value, after all splitting
    formatted  True: an FT value, whose line commands become newlines; False: they become a blank
    returns    the text; unknown escapes are dropped, an escape character that opens none stays
    source     HL7 2.5.1 2.7
    """
    mark = delimiters.escape
    if mark not in text:
        return text
    out = GrowingText()
    spacing, at = MOST_SPACING, 0
    while (opened := text.find(mark, at)) >= 0 and (closed := text.find(mark, opened + 1)) >= 0:
        out.write(text[at:opened])
        body = text[opened + 1 : closed]
        if not _may_be_escape(body):
            out.write(mark + body)
            at = closed
            continue
        meaning = _meaning(body, delimiters)
        if body[0] == ".":
            meaning = meaning[:spacing]
            spacing -= len(meaning)
        out.write(meaning)
        at = closed + 1
    out.write(text[at:])
    joined = out.text()
    return _NEWLINES.sub("\n" if formatted else " ", joined)


def escape(text: str, delimiters: Delimiters) -> str:
    """Make text safe inside a value: delimiters and control characters become escapes."""
    table = {
        delimiters.escape: "E",
        delimiters.field: "F",
        delimiters.component: "S",
        delimiters.subcomponent: "T",
        delimiters.repetition: "R",
    }
    mark = delimiters.escape
    return "".join(
        f"{mark}{table[char]}{mark}" if char in table else f"{mark}X{ord(char):02X}{mark}" if char < " " else char
        for char in text
    )


def _may_be_escape(body: str) -> bool:
    """Text between two stray escape characters has blanks or is long; an escape has none (except hexadecimal data)."""
    return bool(body) and " " not in body and (len(body) <= 16 or body[0] in "XZ")


def _meaning(body: str, delimiters: Delimiters) -> str:
    simple = _simple(delimiters)
    if body in simple:
        return simple[body]
    if (found := _HEX.fullmatch(body)) and len(found[1]) % 2 == 0:
        return _from_hex(found[1])
    if found := _LINE.fullmatch(body):
        return "\n" * min(int(found[1] or 1), MAX_SPACING)
    if found := _SKIP.fullmatch(body):
        return " " * min(int(found[1]), MAX_SPACING)
    return ""


@lru_cache(maxsize=8)
def _simple(delimiters: Delimiters) -> Mapping[str, str]:
    return {
        "F": delimiters.field,
        "S": delimiters.component,
        "T": delimiters.subcomponent,
        "R": delimiters.repetition,
        "E": delimiters.escape,
        "P": "#",
    }


def _from_hex(digits: str) -> str:
    """Bytes above 0x7F are read as UTF-8 when they are, else as Latin-1; control characters are no text."""
    raw = bytes.fromhex(digits)
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        text = raw.decode("latin-1")
    return _NOT_TEXT.sub("", text)
