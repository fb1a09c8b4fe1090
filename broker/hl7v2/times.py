"""HL7 time stamps (TS, DTM) to instants."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo

_STAMP = re.compile(
    r"(\d{4})(?:(\d\d)(?:(\d\d)(?:(\d\d)(?:(\d\d)(?:(\d\d)(?:\.(\d+))?)?)?)?)?)?(?:([+-])(\d\d)(\d\d))?", re.ASCII
)


def read_instant(text: str, zone: tzinfo) -> datetime | None:
    """Read `YYYY[MM[DD[HH[MM[SS[.S..]]]]]][±ZZZZ]`.

    text     the first component of the field
    zone     where the sender's clock hangs when the text has no offset
    returns  the instant, UTC; parts left out are the lowest; None when it cannot be read
    source   HL7 2.5.1 2.A.77 (TS), 2.A.22 (DTM)
    """
    found = _STAMP.fullmatch(text.strip())
    if found is None:
        return None
    year, month, day, hour, minute, second, fraction, sign, off_hours, off_minutes = found.groups()
    try:
        if sign is not None:
            offset = timedelta(hours=int(off_hours), minutes=int(off_minutes))
            zone = timezone(offset if sign == "+" else -offset)
        local = datetime(
            int(year),
            int(month or 1),
            int(day or 1),
            int(hour or 0),
            int(minute or 0),
            int(second or 0),
            int((fraction or "0")[:6].ljust(6, "0")),
            zone,
        )
        return local.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
