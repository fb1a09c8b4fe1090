"""HL7 time stamps as scheduled times are kept: a day and a time of the department's clock, without offset."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

_STAMP = re.compile(
    r"(\d{4})(?:(\d\d)(?:(\d\d)(?:([01]\d|2[0-3])(?:([0-5]\d)(?:([0-5]\d)(?:\.\d*)?)?)?)?)?)?(?:([+-])(\d\d)([0-5]\d))?",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class Stamp:
    """A time stamp. date: YYYYMMDD, "" when the day is not said; time: HHMMSS, "" when it is not said."""

    date: str
    time: str


def read_stamp(text: str, zone: ZoneInfo | None) -> Stamp | None:
    """Read `YYYY[MM[DD[HH[MM[SS[.S..]]]]]][±ZZZZ]`.

    zone     the department's: a stamp with offset and time of day is told by its clock; None: the stamp as sent
    returns  None when it cannot be read, or names no day of the calendar
    source   HL7 2.5.1 2.A.77 (TS); PS3.4 C.2.2.2.5.2: a DICOM time has no offset
    """
    found = _STAMP.fullmatch(text.strip())
    if found is None:
        return None
    year, month, day, hour, minute, second, sign, hours, minutes = found.groups()
    try:
        moment = datetime(int(year), int(month or 1), int(day or 1), int(hour or 0), int(minute or 0), int(second or 0))
        if sign and hour and zone is not None:
            offset = timedelta(hours=int(hours), minutes=int(minutes))
            moment = moment.replace(tzinfo=timezone(offset if sign == "+" else -offset)).astimezone(zone)
    except (ValueError, OverflowError):
        return None
    date = f"{moment.year:04}{moment.month:02}{moment.day:02}" if day else ""
    return Stamp(date, f"{moment.hour:02}{moment.minute:02}{moment.second:02}" if hour else "")
