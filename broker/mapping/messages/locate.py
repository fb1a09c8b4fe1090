"""Where in a message a refusal points: from the key of a row to the segment, field and component of the ERR segment."""

from __future__ import annotations

import re

from broker.domain.request import Refusal
from broker.errors import SettingsError
from broker.hl7v2.reader import Message
from broker.mapping.groups import Group, split
from broker.mapping.paths import Path, Place, find, parse_path
from broker.mapping.rows import RowSet

_SEGMENT = re.compile(r"[A-Z][A-Z0-9]{2}")


def locate(message: Message, refusal: Refusal, rows: RowSet) -> str:
    """The place as `segment^sequence^field[^repetition^component[^subcomponent]]`; "" when the message has none.

    refusal.subject  a row's key: its source that has a value, else its first for this kind of message; or a path like
                     "MSH-7", or the name of a segment
    source           HL7 2.5.1 2.A.28 (ERL)
    """
    head, groups = split(message)
    group = groups[refusal.group - 1] if 0 < refusal.group <= len(groups) else head
    if _SEGMENT.fullmatch(refusal.subject):
        return f"{refusal.subject}^{_ordinal(refusal.subject, group)}"
    path = _path(refusal.subject, group, rows)
    if path is None:
        return ""
    found = find(path, group)
    ordinal = found[0].segment.ordinal if found else _ordinal(path.segment, group, path.owner)
    return f"{path.segment}^{ordinal}^{_within(path.places[0])}"


def _path(subject: str, group: Group, rows: RowSet) -> Path | None:
    row = rows.by_key.get(subject)
    if row is None:
        try:
            return parse_path(subject)
        except SettingsError:
            return None
    fitting = [path for path in row.paths if path.family in ("", group.family)]
    valued = (path for path in fitting if find(path, group))
    present = (path for path in fitting if group.segments(path.segment, path.owner))
    return next(valued, None) or next(present, None) or (fitting[0] if fitting else None)


def _ordinal(name: str, group: Group, owner: str = "") -> int:
    """Number of the segment that the order sees under this name; 1 when it sees none."""
    found = group.segments(name, owner) or group.segments(name)
    return found[0].ordinal if found else 1


def _within(place: Place) -> str:
    """Field, and what is inside it only where it says more than the field does."""
    if place.component <= 1 and place.subcomponent <= 1 and place.repetition <= 1:
        return str(place.field)
    within = f"{place.field}^{place.repetition or 1}"
    if place.component:
        within += f"^{place.component}"
    return f"{within}^{place.subcomponent}" if place.subcomponent else within
