"""What a value representation holds: lengths, characters and forms (PS3.5 6.2), and where too long text is cut."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date
from enum import Enum

from broker.dataset.charsets import LONG_TEXT, TEXT

LENGTHS = {
    "AE": 16, "AS": 4, "CS": 16, "DA": 8, "DS": 16, "DT": 26, "IS": 12, "LO": 64, "LT": 10240, "PN": 64, "SH": 16,
    "ST": 1024, "TM": 14, "UI": 64,
}  # fmt: skip
"""Characters of one value; of PN: of one component group. UC, UR and UT have no limit of their own."""

NUMBERS = {"US": (0, 0xFFFF), "SS": (-0x8000, 0x7FFF), "UL": (0, 0xFFFFFFFF), "SL": (-0x80000000, 0x7FFFFFFF)}
"""Binary whole numbers, with their range."""
SUPPORTED = frozenset({*LENGTHS, *NUMBERS, "FD", "FL", "SQ", "UC", "UR", "UT"})

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_CONTROL_BUT_LINES = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f-\x9f]")
_UID = re.compile(r"(?:0|[1-9]\d*)(?:\.(?:0|[1-9]\d*))*", re.ASCII)
_TIME = re.compile(r"([01]\d|2[0-3])(?:([0-5]\d)(?:([0-5]\d|60)(?:\.\d{1,6})?)?)?", re.ASCII)
_DATETIME = re.compile(r"\d{4}(?:\d\d){0,5}(?:\.\d{1,6})?(?:[+-]\d{4})?", re.ASCII)
_DECIMAL = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_WHOLE = re.compile(r"[+-]?\d+", re.ASCII)
_CODE_STRING = re.compile(r"[A-Z0-9 _]+", re.ASCII)
_AGE = re.compile(r"\d{3}[DWMY]", re.ASCII)
_APPLICATION = re.compile(r"[ -\[\]-~]+", re.ASCII)


class Problem(Enum):
    """Why a value does not fit."""

    TOO_LONG = "too long"
    UNREADABLE = "cannot be read"


def clean(vr: str, text: str) -> str:
    """Text without what its VR forbids: control characters go, a backslash becomes `/`, blanks at the ends go."""
    if vr in LONG_TEXT:
        return _CONTROL_BUT_LINES.sub("", text).rstrip()
    text = _CONTROL.sub("", text)
    if vr in TEXT:
        text = text.replace("\\", "/")
    return text.strip()


def check(vr: str, text: str) -> Problem | None:
    """Say what keeps one cleaned value from standing in an element of this VR; None when it fits."""
    form = _FORMS.get(vr)
    if form is not None and not form(text):
        return Problem.UNREADABLE
    if vr == "PN":
        return Problem.TOO_LONG if any(len(group) > LENGTHS["PN"] for group in text.split("=")) else None
    return Problem.TOO_LONG if len(text) > LENGTHS.get(vr, len(text)) else None


def cut(vr: str, text: str) -> str:
    """The longest beginning that fits; a name is cut group by group."""
    if vr == "PN":
        return "=".join(group[: LENGTHS["PN"]].rstrip(" ^") for group in text.split("="))
    return text[: LENGTHS.get(vr, len(text))].rstrip()


def is_uid(text: str) -> bool:
    """Digits and dots, no component with a leading zero, at most 64 characters (PS3.5 9.1)."""
    return len(text) <= LENGTHS["UI"] and _UID.fullmatch(text) is not None


def is_ae_title(text: str) -> bool:
    """1 to 16 characters of ASCII, no backslash, no control character, not only blanks (PS3.5 6.2)."""
    return 0 < len(text) <= LENGTHS["AE"] and _APPLICATION.fullmatch(text) is not None and text.strip() != ""


def is_date(text: str) -> bool:
    """A day of the calendar as YYYYMMDD."""
    if len(text) != 8 or not (text.isascii() and text.isdigit()):
        return False
    try:
        date(int(text[:4]), int(text[4:6]), int(text[6:]))
    except ValueError:
        return False
    return True


def _is_float(text: str) -> bool:
    return _DECIMAL.fullmatch(text) is not None and abs(float(text)) < 3.4e38


def _whole_between(low: int, high: int) -> Callable[[str], bool]:
    return lambda text: len(text) <= 12 and _WHOLE.fullmatch(text) is not None and low <= int(text) <= high


_FORMS: dict[str, Callable[[str], bool]] = {
    # No length in these: a value that is only too long is to be called too long.
    "AE": lambda text: _APPLICATION.fullmatch(text) is not None,
    "AS": lambda text: _AGE.fullmatch(text) is not None,
    "CS": lambda text: _CODE_STRING.fullmatch(text) is not None,
    "DA": is_date,
    "DS": lambda text: _DECIMAL.fullmatch(text) is not None,
    "DT": lambda text: _DATETIME.fullmatch(text) is not None,
    "FD": _is_float,
    "FL": _is_float,
    "IS": _whole_between(-(2**31), 2**31 - 1),
    "TM": lambda text: _TIME.fullmatch(text) is not None,
    "UI": lambda text: _UID.fullmatch(text) is not None,
    "UR": lambda text: text.isascii() and " " not in text,
    **{vr: _whole_between(low, high) for vr, (low, high) in NUMBERS.items()},
}
