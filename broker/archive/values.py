"""Values read from a dataset that anybody may have made: as plain text, within bounds, never an exception."""

from __future__ import annotations

from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence


def text(dataset: Dataset, keyword: str) -> str:
    """A value as text, several joined by backslash; "" when absent, empty or unreadable. No control characters."""
    try:
        value = dataset.get(keyword)
    except Exception:  # a value that does not fit its VR may raise anything, and is no value
        return ""
    if value is None or isinstance(value, Sequence | bytes):
        return ""
    return plain("\\".join(str(part) for part in value) if isinstance(value, MultiValue | list) else str(value))


def plain(value: str) -> str:
    """Text without control characters and without blanks around it; what no encoding holds becomes `?`."""
    if not value.isprintable():
        whole = value.encode("utf-8", "replace").decode("utf-8")
        value = "".join(char for char in whole if char.isprintable())
    return value.strip()


def items(dataset: Dataset, keyword: str) -> list[Dataset]:
    """The items of a sequence; none when it is absent, empty or no sequence."""
    try:
        value = dataset.get(keyword)
    except Exception:  # a sequence that cannot be read has no items
        return []
    return list(value) if isinstance(value, Sequence) else []


def moment(dataset: Dataset, date_keyword: str, time_keyword: str) -> str:
    """Date and time of a dataset, as `moment_of` has them."""
    return moment_of(text(dataset, date_keyword), text(dataset, time_keyword))


def moment_of(date: str, time: str) -> str:
    """Date and time as YYYYMMDDHHMMSS; "" when the date is unknown or unreadable. A missing time is midnight."""
    day = date.replace(".", "")
    time = time.split(".")[0].replace(":", "")
    if len(day) != 8 or not _digits(day):
        return ""
    return day + (time if _digits(time) else "").ljust(6, "0")[:6]


def instant(value: str) -> str:
    """A DT value as YYYYMMDDHHMMSS; "" when it names no day."""
    day_and_time = value.split(".")[0].split("+")[0].split("-")[0][:14]
    return day_and_time.ljust(14, "0") if len(day_and_time) >= 8 and _digits(day_and_time) else ""


def _digits(value: str) -> bool:
    return value.isascii() and value.isdecimal()
