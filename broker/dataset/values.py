"""Values of a dataset from any sender, as plain text and as date and time; never raises."""

from __future__ import annotations


def plain(value: str) -> str:
    """Text without control characters, stripped; what cannot be encoded becomes `?`."""
    if not value.isprintable():
        whole = value.encode("utf-8", "replace").decode("utf-8")
        value = "".join(char for char in whole if char.isprintable())
    return value.strip()


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
