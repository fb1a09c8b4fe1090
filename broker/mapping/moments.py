"""Date and time keys of a query, read by meaning (PS3.4 C.2.2.2.1, C.2.2.2.5): the earliest and latest they stand for.

A value of lower precision stands for every moment it may mean: 1015 is 10:15:00 up to 10:15:59.999999, as a single
value and as the end of a range alike. Old forms with points (DA) and colons (TM) are read too.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from broker.domain.matching import START, Between, Meaning, Predicate
from broker.errors import UnreadableDataset

DAY_BEGINS, DAY_ENDS = "000000", "999999"
"""Ends of a day as text beside times: no clock shows more."""

_DATE = re.compile(r"(\d{4})\.?(0[1-9]|1[0-2])\.?(0[1-9]|[12]\d|3[01])", re.ASCII)
_TIME = re.compile(r"([01]\d|2[0-3])(?::?([0-5]\d)(?::?([0-5]\d|60)(?:\.(\d{1,6}))?)?)?", re.ASCII)


_Reader = Callable[[str, int], tuple[str, str]]
"""One date or time and its tag -> earliest and latest moment it stands for."""


@dataclass(frozen=True, slots=True)
class Span:
    """What a key asks for: both ends included, None is an open end.

    single  True when the key is one value and no range
    """

    low: str | None
    high: str | None
    single: bool


def date_span(text: str, tag: int) -> Span:
    """A DA key. Ends are YYYYMMDD; raises UnreadableDataset."""
    return _span(text, tag, _date)


def time_span(text: str, tag: int) -> Span:
    """A TM key. Ends are HHMMSS.FFFFFF; raises UnreadableDataset."""
    return _span(text, tag, _time)


def between(key: str, span: Span, meaning: Meaning) -> Predicate:
    return Between(key, span.low, span.high, meaning)


def start_predicates(date: Span | None, time: Span | None, time_key: str) -> list[Predicate]:
    """Scheduled start date and time together (PS3.4 Table K.6-1).

    Two ranges of the same form are one interval: 5-7 July with 10:00-18:00 is 5 July 10:00 up to 7 July 18:00. A single
    date makes the time a window of that day. All else is asked for separately: a range of dates with a single time, or
    with a range that is open at another end.
    """
    if date is None:
        return [] if time is None else [between(time_key, time, Meaning.TIME)]
    whole_days = Between(START, _start(date.low, DAY_BEGINS), _start(date.high, DAY_ENDS))
    if time is None:
        return [whole_days]
    if date.single:
        return [Between(START, _start(date.low, time.low or DAY_BEGINS), _start(date.high, time.high or DAY_ENDS))]
    same_form = not time.single and _open_ends(date) == _open_ends(time)
    if same_form:
        return [Between(START, _start(date.low, time.low), _start(date.high, time.high))]
    return [whole_days, between(time_key, time, Meaning.TIME)]


def _open_ends(span: Span) -> tuple[bool, bool]:
    return span.low is None, span.high is None


def _start(date: str | None, time: str | None) -> str | None:
    """A moment as the virtual key START compares it; stored starts have whole seconds."""
    return None if date is None or time is None else (date + time).removesuffix(".000000")


def _span(text: str, tag: int, read: _Reader) -> Span:
    low, dash, high = (part.strip() for part in text.partition("-"))
    if not dash:
        earliest, latest = read(low, tag)
        return Span(earliest, latest, single=True)
    if not low and not high:
        raise UnreadableDataset("a range has no end", tags=(tag,))
    return Span(read(low, tag)[0] if low else None, read(high, tag)[1] if high else None, single=False)


def _date(text: str, tag: int) -> tuple[str, str]:
    found = _DATE.fullmatch(text)
    if found is None:
        raise UnreadableDataset("a key is no date", tags=(tag,))
    date = "".join(found.groups())
    return date, date


def _time(text: str, tag: int) -> tuple[str, str]:
    found = _TIME.fullmatch(text)
    if found is None:
        raise UnreadableDataset("a key is no time", tags=(tag,))
    hour, minute, second, fraction = found.groups()
    earliest = f"{hour}{minute or '00'}{second or '00'}.{fraction or '':0<6}"
    latest = f"{hour}{minute or '59'}{second or '59'}.{fraction or '':9<6}"
    return earliest, latest
