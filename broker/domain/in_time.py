"""Orders in time: a message that is strictly older than what we know changes nothing.

Stamps are compared only within one sending application and one field: ORC-9 with ORC-9, else MSH-7 with MSH-7 (for
patients EVN-2, else MSH-7). Missing, equal, unreadable or incomparable stamps follow arrival.

Why intervals. A sender stamps its messages by its own wall clock, mostly without an offset from UTC. In the night when
summer time ends, that clock shows one hour twice: 02:10 comes twenty minutes *after* 02:50 if the clock went back in
between, and forty minutes *before* it if not. The text alone does not say which. So a stamp is not one instant but the
earliest and the latest that it may mean; for every other hour, and for every stamp with an offset, both are the same.

What is known of a record is the latest thing said of it, again as an interval: the highest of the earliest ends and the
highest of the latest ends, because that is all one can say of the latest of several uncertain times. From this follows
what the rest relies on:
- older (superseded) only when even its latest end comes before the known earliest end: then it *is* older, so nothing
  that was sent later than all we know, and arrives later, is ever superseded;
- newer (which brings a cancelled step back) only when even its earliest end comes after the known latest end: then it
  *is* newer than all we know;
- in all other cases nobody can tell, and the order of arrival counts.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from enum import Enum

from broker.domain.order import Stamps
from broker.domain.request import OrderRequest, ReceivedMessage

CANCEL_REMEMBERED = timedelta(hours=24)
"""How long a cancel that came before its order stops that order."""


FUTURE = timedelta(hours=26)
"""How far a sender's clock may be ahead of ours by its zone alone."""


class Age(Enum):
    """A message's age against what is known."""

    OLDER = "older"
    NEWER = "newer"
    UNKNOWN = "unknown"


def stamps_of(message: ReceivedMessage, order: OrderRequest | None = None) -> dict[str, str]:
    """The stamps a message carries, by "application/field": of one of its orders, or of the message alone.

    returns  ISO text in UTC, which sorts as time does; "earliest/latest" (ISO 8601 4.4) where these differ. A stamp
             later than any zone explains is a wrong clock and counts as unreadable: it would supersede all that follows
    """
    fields = [("MSH-7", message.message_time, message.message_time_latest)]
    if order is not None:
        fields.insert(0, ("ORC-9", order.order_time, order.order_time_latest))
    application, latest_possible = message.sender.application, message.received_at + FUTURE
    return {
        f"{application}/{field}": _text(at) if latest in (None, at) else f"{_text(at)}/{_text(latest)}"
        for field, at, latest in fields
        if at and at <= latest_possible
    }


def age(sent: Stamps, known: Stamps) -> Age:
    """Compare a message's stamps with the known ones: by the first field that both have."""
    for name in sent:
        if name in known:
            begin, end = _ends(sent[name])
            known_begin, known_end = _ends(known[name])
            if end < known_begin:
                return Age.OLDER
            return Age.NEWER if begin > known_end else Age.UNKNOWN
    return Age.UNKNOWN


def latest(known: Stamps, sent: Stamps) -> Stamps:
    """The later of both, field by field: the interval that the latest of all messages so far must lie in."""
    return {name: _later(known.get(name, ""), sent.get(name, "")) for name in {*known, *sent}}


def _later(one: str, other: str) -> str:
    (begin, end), (other_begin, other_end) = _ends(one), _ends(other)
    ends = max(begin, other_begin), max(end, other_end)
    return ends[0] if ends[0] == ends[1] else "/".join(ends)


def _ends(stamp: str) -> tuple[str, str]:
    begin, _, end = stamp.partition("/")
    return begin, end or begin


def _text(at: datetime) -> str:
    return at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"
