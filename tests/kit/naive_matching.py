"""The third matcher: keys as texts and steps as values, compared one by one with nothing of the house's own code."""

from __future__ import annotations

import re
import unicodedata
from datetime import date, datetime, time, timedelta

from tests.kit.steps import STEP, PlannedStep

LISTED = {"SCHEDULED", "ARRIVED", "READY", "STARTED"}
STATION = f"{STEP}.ScheduledStationAETitle"
STATUS = f"{STEP}.ScheduledProcedureStepStatus"
START_DATE = f"{STEP}.ScheduledProcedureStepStartDate"
START_TIME = f"{STEP}.ScheduledProcedureStepStartTime"
NAMES = {"PatientName", f"{STEP}.ScheduledPerformingPhysicianName"}


def answers(step: PlannedStep, keys: dict[str, str], known: dict[str, tuple[str, ...]]) -> bool:
    """True when a step is among the answers. known: modalities of the stations the profile names."""
    if step.held is not None or (not asks(keys.get(STATUS, "")) and step.state not in LISTED):
        return False
    if not start_matches(step.start_at, keys.get(START_DATE, ""), keys.get(START_TIME, "")):
        return False
    return all(
        key_matches(step, key, asked, known) for key, asked in keys.items() if key not in (START_DATE, START_TIME)
    )


def asks(key: str) -> bool:
    return bool(key.strip().replace("*", ""))


def key_matches(step: PlannedStep, key: str, asked: str, known: dict[str, tuple[str, ...]]) -> bool:
    alternatives = [one.strip() for one in asked.split("\\") if one.strip()]
    if not alternatives or not all(asks(one) for one in alternatives):
        return True
    if key == STATION:
        return any(station_matches(step, one, known) for one in alternatives)
    stored = step.all_values().get(key) or []
    values = [stored] if isinstance(stored, str) else stored
    if key in NAMES:
        return any(name_matches(one, value) for one in alternatives for value in values)
    return any(covers(one, value.strip()) for one in alternatives for value in values)


def station_matches(step: PlannedStep, asked: str, known: dict[str, tuple[str, ...]]) -> bool:
    if step.stations:
        return any(covers(asked, title) for title in step.stations)
    return not known.get(asked) or step.modality in known[asked]


def covers(pattern: str, text: str) -> bool:
    """Wild cards by regular expression; an empty text is unknown."""
    parts = [{"*": ".*", "?": "."}.get(char) or re.escape(char) for char in pattern]
    return bool(text) and re.fullmatch("".join(parts), text, re.DOTALL) is not None


def plain(name: str) -> str:
    decomposed = unicodedata.normalize("NFD", name.casefold().replace("ł", "l"))
    return unicodedata.normalize("NFC", "".join(char for char in decomposed if not unicodedata.combining(char)))


def name_matches(asked: str, stored: str) -> bool:
    groups = [group.rstrip("^") for group in plain(stored).split("=")]
    wanted = [group.rstrip("^") for group in plain(asked).split("=")]
    if len(wanted) > 1:
        groups += [""] * 3
        return all(not asks(one) or covers(one, groups[at]) for at, one in enumerate(wanted))
    if wanted[0].isascii():
        return covers(wanted[0], groups[0])
    return any(covers(wanted[0], group) for group in groups)


def start_matches(start: str, date_key: str, time_key: str) -> bool:
    at = datetime.strptime(start, "%Y%m%d%H%M%S")
    if not date_key and not time_key:
        return True
    if not date_key:
        return _between(at.time(), *_times(time_key))
    first, last = _dates(date_key)
    if not time_key:
        return _between(at.date(), first, last)
    earliest, latest = _times(time_key)
    if _form(date_key) == _form(time_key) != "single":
        low = datetime.combine(first, earliest) if first and earliest else None
        high = datetime.combine(last, latest) if last and latest else None
        return _between(at, low, high)
    return _between(at.date(), first, last) and _between(at.time(), earliest, latest)


def _form(key: str) -> str:
    if "-" not in key:
        return "single"
    return "until" if key.startswith("-") else "from" if key.endswith("-") else "range"


def _between(value, low, high) -> bool:
    return (low is None or low <= value) and (high is None or value <= high)


def _dates(key: str) -> tuple[date | None, date | None]:
    low, dash, high = key.partition("-")
    days = [datetime.strptime(one, "%Y%m%d").date() if one else None for one in (low, high)]
    return (days[0], days[1]) if dash else (days[0], days[0])


def _times(key: str) -> tuple[time | None, time | None]:
    low, dash, high = key.partition("-")
    last = high if dash else low
    return (_time(low, False) if low else None), (_time(last, True) if last else None)


def _time(text: str, latest: bool) -> time:
    """The first or last microsecond that a time of any precision may mean."""
    formats = {2: ("%H", timedelta(hours=1)), 4: ("%H%M", timedelta(minutes=1)), 6: ("%H%M%S", timedelta(seconds=1))}
    form, width = formats[len(text)]
    begins = datetime.strptime(text, form)
    return (begins + width - timedelta(microseconds=1)).time() if latest else begins.time()
