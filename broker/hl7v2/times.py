"""HL7 time stamps (TS, DTM) to instants."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo

from broker.hl7v2.escapes import unescape
from broker.hl7v2.reader import Message

_STAMP = re.compile(
    r"(\d{4})(?:(\d\d)(?:(\d\d)(?:(\d\d)(?:(\d\d)(?:(\d\d)(?:\.(\d+))?)?)?)?)?)?(?:([+-])(\d\d)(\d\d))?", re.ASCII
)

MESSAGE_TIME_LENGTH = 40  # characters of MSH-7 that are read; HL7 2.5.1 allows 26


def read_interval(text: str, zone: tzinfo) -> tuple[datetime, datetime] | None:
    """Read `YYYY[MM[DD[HH[MM[SS[.S..]]]]]][±ZZZZ]`.

    text     the first component of the field
    zone     the sender's time zone, for a text without an offset
    returns  the earliest and the latest instant that it may mean, UTC. They differ only in the hour that local clocks
             show twice in autumn; in the hour that they skip in spring the offset before the change counts (PEP 495,
             fold 0). Parts left out are the lowest. None when it cannot be read
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
        first, second_time = local.astimezone(UTC), local.replace(fold=1).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return first, max(first, second_time)


def message_interval(message: Message, zone: tzinfo) -> tuple[datetime, datetime] | None:
    """MSH-7 as `read_interval` reads it."""
    marks = message.delimiters
    text = unescape(message.header.field(7).split(marks.component)[0], marks)
    return read_interval(text.strip()[:MESSAGE_TIME_LENGTH], zone)
