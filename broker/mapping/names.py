"""HL7 person names (XPN, XCN, CNN) to DICOM person names: prefix and suffix change places, scripts become groups."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from broker.mapping.paths import Piece

_FORBIDDEN = re.compile(r"[\^=\\\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202f\u2060\ufeff]")
_PLAIN = str.maketrans({
    "\u2018": "'", "\u2019": "'", "\u201a": "'", "\u201b": "'", "\u201c": '"', "\u201d": '"', "\u2010": "-",
    "\u2011": "-", "\u2012": "-", "\u2013": "-", "\u2014": "-", "\u2015": "-", "\u00a0": " ",
    **{chr(code): " " for code in range(0x2000, 0x200B)},
})  # fmt: skip
"""Typographic signs that the alphabetic group may not hold, and what people type for them."""
_IDEOGRAPHS_BEGIN = 0x2E80
_ALSO_ALPHABETIC = frozenset({0x3001, 0x3002, 0x300C, 0x300D, *range(0x3099, 0x309D), *range(0x30A0, 0x3100)})
"""What PS3.5 6.2.1.2 allows in the first group beyond U+1FFF."""

TYPE, SCRIPT = 7, 8
"""Components of an XPN: name type code, name representation code."""


def from_xpn(repetitions: Sequence[Piece]) -> str:
    """One person name from the repetitions of an XPN field.

    The legal name (XPN.7 = L) counts, else the first that is no display name. Alphabetic, ideographic (XPN.8 = I) and
    phonetic (P) repetitions become the groups of one value (PS3.5 6.2.1).
    """
    alphabetic = _legal([name for name in repetitions if name.part(SCRIPT).upper() not in ("I", "P")])
    ideographic = _legal([name for name in repetitions if name.part(SCRIPT).upper() == "I"])
    phonetic = _legal([name for name in repetitions if name.part(SCRIPT).upper() == "P"])
    return in_groups(*(_from_parts(name.parts()) if name else "" for name in (alphabetic, ideographic, phonetic)))


def from_xcn(piece: Piece) -> str:
    """The name of an XCN; its first component is an id. An id alone gives no name."""
    return in_groups(_from_parts(piece.parts()[1:]), "", "")


def from_cnn(piece: Piece) -> str:
    """The name of a CNN; as an XCN, but in NDL it comes in subcomponents, which a piece splits at by itself."""
    return from_xcn(piece)


def in_groups(alphabetic: str, ideographic: str, phonetic: str) -> str:
    """Join the groups of a name; ideographs in the first group move to the second (PS3.5 6.2.1.2)."""
    if not alphabetic.isascii() and any(_is_ideograph(char) for char in alphabetic):
        alphabetic, ideographic = "", ideographic or alphabetic
    return f"{alphabetic}={ideographic}={phonetic}".rstrip("=")


def _legal(names: Sequence[Piece]) -> Piece | None:
    for name in names:
        if name.part(TYPE).upper() == "L":
            return name
    return next((name for name in names if name.part(TYPE).upper() != "D"), names[0] if names else None)


def _from_parts(parts: Sequence[str]) -> str:
    """family, given, middle, suffix, prefix, degree -> family^given^middle^prefix^suffix degree."""
    family, given, middle, suffix, prefix, degree = ([*_cleaned(parts), *[""] * 6])[:6]
    ending = f"{suffix} {degree}".strip()
    return "^".join((family, given, middle, prefix, ending)).rstrip("^")


def _cleaned(parts: Iterable[str]) -> list[str]:
    return [" ".join(_FORBIDDEN.sub("", part.translate(_PLAIN)).split()) for part in parts]


def _is_ideograph(char: str) -> bool:
    return ord(char) >= _IDEOGRAPHS_BEGIN and ord(char) not in _ALSO_ALPHABETIC and char != "\ufffd"
