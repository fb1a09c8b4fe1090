"""Orders in time: a message that is strictly older than what we know changes nothing.

Stamps are compared only within one sending application and one field: ORC-9 with ORC-9, else MSH-7 with MSH-7 (for
patients EVN-2, else MSH-7). Missing, equal, unreadable or incomparable stamps follow arrival.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from enum import Enum

from broker.domain.order import Stamps

CANCEL_REMEMBERED = timedelta(hours=24)
"""How long a cancel that came before its order stops that order."""


FUTURE = timedelta(hours=26)
"""How far a sender's clock may be ahead of ours by its zone alone."""


class Age(Enum):
    """A message's age against what is known."""

    OLDER = "older"
    NEWER = "newer"
    UNKNOWN = "unknown"


def stamps_of(
    application: str, order_time: datetime | None, message_time: datetime | None, received_at: datetime
) -> dict[str, str]:
    """The stamps a message carries, by "application/field"; ISO text in UTC, which sorts as time does.

    A stamp later than any zone explains is a wrong clock and counts as unreadable: it would supersede all that follows.
    """
    fields = {"ORC-9": order_time, "MSH-7": message_time}
    latest_possible = received_at + FUTURE
    return {f"{application}/{field}": _text(at) for field, at in fields.items() if at and at <= latest_possible}


def age(sent: Stamps, known: Stamps) -> Age:
    """Compare a message's stamps with the known ones: by the first field that both have."""
    for name in sent:
        if name in known:
            if sent[name] < known[name]:
                return Age.OLDER
            return Age.NEWER if sent[name] > known[name] else Age.UNKNOWN
    return Age.UNKNOWN


def latest(known: Stamps, sent: Stamps) -> Stamps:
    """The later of both, field by field."""
    return {name: max(known.get(name, ""), sent.get(name, "")) for name in {*known, *sent}}


def _text(at: datetime) -> str:
    return at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"
