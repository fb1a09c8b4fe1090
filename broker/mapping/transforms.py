"""The fourteen transforms of attribute rows, pure functions: pieces of a message to texts or items of a sequence."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any
from zoneinfo import ZoneInfo

from broker.dataset.charsets import LONG_TEXT
from broker.domain.request import Issuer
from broker.hl7v2.segments import MOST_CHARACTERS
from broker.mapping import fit, names, units
from broker.mapping.facts import issuer_item
from broker.mapping.paths import Piece
from broker.mapping.row import Row
from broker.mapping.stamps import read_stamp

LOCAL_SCHEME = "L"
"""Coding scheme of a code that names none: private or local (PS3.3 8.2)."""

Made = str | dict[str, Any]
"""A text, or an item: keyword -> text."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What a transform may depend on besides the pieces. zone: None where the stamp is not to be converted."""

    row: Row
    zone: ZoneInfo | None = None
    version: str = ""


class NoValue(Exception):
    """The pieces mean nothing to the transform. reason: constant text, for a warning."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


Transform = Callable[[Sequence[Piece], Setting], list[Made]]


def text(pieces: Sequence[Piece], setting: Setting) -> list[Made]:
    """The value as it is."""
    formatted = setting.row.vr in LONG_TEXT
    return [piece.text(formatted) for piece in pieces]


def lines(pieces: Sequence[Piece], setting: Setting) -> list[Made]:
    """All values in one text, a line each."""
    formatted = setting.row.vr in LONG_TEXT
    found, room = [], MOST_CHARACTERS
    for piece in pieces:
        found.append(piece.text(formatted)[:room])
        room -= len(found[-1]) + 1
        if room <= 0:
            break
    return [("\n" if formatted else " ").join(found).strip()]


def upper(pieces: Sequence[Piece], setting: Setting) -> list[Made]:
    """The value in capitals."""
    return [piece.text().strip().upper() for piece in pieces]


def number(pieces: Sequence[Piece], setting: Setting) -> list[Made]:
    """A number, with a point for its fraction."""
    return [_plain(_decimal(piece.text())) for piece in pieces]


def quantity(pieces: Sequence[Piece], setting: Setting) -> list[Made]:
    """A number in the row's unit; the unit it comes in stands in OBX-6 beside it, or behind it."""
    return [_plain(_measured(piece, setting.row.unit)) for piece in pieces]


def date(pieces: Sequence[Piece], setting: Setting) -> list[Made]:
    """The day of a time stamp; a stamp without day gives none."""
    return [stamp.date for piece in pieces if (stamp := _stamp(piece, setting)).date]


def time(pieces: Sequence[Piece], setting: Setting) -> list[Made]:
    """The time of day of a time stamp; a stamp without one gives none."""
    return [stamp.time for piece in pieces if (stamp := _stamp(piece, setting)).time]


def xpn(pieces: Sequence[Piece], setting: Setting) -> list[Made]:
    """A person name; with take = all every repetition is a name of its own, else they are the scripts of one name."""
    if setting.row.take == "first":
        return [names.from_xpn(pieces)]
    return [names.from_xpn([piece]) for piece in pieces]


def xcn(pieces: Sequence[Piece], setting: Setting) -> list[Made]:
    """The name of a person with id."""
    return [names.from_xcn(piece) for piece in pieces]


def cnn(pieces: Sequence[Piece], setting: Setting) -> list[Made]:
    """The name of a person with id, in one component."""
    return [names.from_cnn(piece) for piece in pieces]


def code(pieces: Sequence[Piece], setting: Setting) -> list[Made]:
    """Code items from CE and CWE: code, meaning, scheme (PS3.3 8.8). No code, no item. `values` maps the scheme."""
    return [item for piece in pieces if (item := _code_item(piece, setting.row.values))]


def issuer(pieces: Sequence[Piece], setting: Setting) -> list[Made]:
    """Items of a hierarchic designator: namespace, universal id, its type."""
    found: list[Made] = []
    for piece in pieces:
        parts = [*piece.parts(), "", "", ""]
        if item := issuer_item(Issuer(parts[0] or None, parts[1] or None, parts[2] or None)):
            found.append({**item})
    return found


def address(pieces: Sequence[Piece], setting: Setting) -> list[Made]:
    """Street to country, joined by commas; what does not fit is left out from its end, whole parts at a time."""
    longest = fit.LENGTHS.get(setting.row.vr, 10240)
    return [_address([part for part in piece.parts()[:6] if part], longest) for piece in pieces]


def phone(pieces: Sequence[Piece], setting: Setting) -> list[Made]:
    """One number of an XTN. From HL7 2.5 on: unformatted, else its parts, else free text; before: free text first."""
    return [_phone([*piece.parts(), *[""] * 12], setting.version) for piece in pieces]


TRANSFORMS: Mapping[str, Transform] = {
    made.__name__: made
    for made in (text, lines, upper, number, quantity, date, time, xpn, xcn, cnn, code, issuer, address, phone)
}
"""By the name a row uses."""

MOST_DIGITS = 40
"""Longest text that is tried as a number."""
_MEASURE = re.compile(r"\s*([+-]?[\d.,]+)\s*([^\d\s]*)\s*")


def _decimal(raw: str) -> Decimal:
    if len(raw) > MOST_DIGITS:
        raise NoValue("not a number")
    try:
        found = Decimal(raw.strip().replace(",", "."))
    except InvalidOperation:
        raise NoValue("not a number") from None
    if not found.is_finite() or abs(found) >= Decimal(10) ** 12:
        raise NoValue("not a number")
    return found


def _plain(value: Decimal) -> str:
    """At most 16 characters, no exponent, no zeros at the end (DS)."""
    shown = format(round(value, 6), "f")
    return shown.rstrip("0").rstrip(".") if "." in shown else shown


def _measured(piece: Piece, unit: str) -> Decimal:
    found = _MEASURE.fullmatch(piece.text()[:100])
    if found is None:
        raise NoValue("not a number with a unit")
    beside = ""
    if piece.segment.name == "OBX":
        beside = Piece(piece.segment.field(6), piece.delimiters.component, piece.delimiters, piece.segment).part(1)
    factor = units.factor(found[2] or beside, unit)
    if factor is None:
        raise NoValue("not in a unit that can be converted")
    return _decimal(found[1]) * factor


def _stamp(piece: Piece, setting: Setting) -> Any:
    found = read_stamp(piece.part(1), setting.zone)
    if found is None:
        raise NoValue("not a time stamp")
    return found


def _code_item(piece: Piece, schemes: Mapping[str, str]) -> dict[str, Any]:
    value, meaning, scheme, _, _, _, version, *_ = [*piece.parts(), *[""] * 7]
    if not value:
        return {}
    scheme = scheme or LOCAL_SCHEME
    item = {
        "CodeValue" if len(value) <= fit.LENGTHS["SH"] else "LongCodeValue": value,
        "CodingSchemeDesignator": schemes.get(scheme, schemes.get("*", scheme)),
        "CodingSchemeVersion": version if len(version) <= fit.LENGTHS["SH"] else "",
        "CodeMeaning": fit.cut("LO", meaning or value),
    }
    return {keyword: text for keyword, text in item.items() if text}


def _address(parts: list[str], longest: int) -> str:
    while len(parts) > 1 and len(", ".join(parts)) > longest:
        parts.pop()
    return ", ".join(parts)


def _phone(parts: list[str], version: str) -> str:
    country, area, local, extension = parts[4:8]
    whole = " ".join(part for part in (f"+{country.lstrip('+')}" if country else "", area, local) if part)
    structured = f"{whole} x{extension}" if local and extension else whole if local else ""
    is_new = _version(version) >= (2, 5)
    return (parts[11] or structured or parts[0]) if is_new else (parts[0] or structured)


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".") if part.isascii() and part.isdigit())
