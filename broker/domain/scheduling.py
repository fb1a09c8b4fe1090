"""From what a sender said to what the list shows: modality, stations, start, hold, and the numbers nobody gave."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any

from broker.domain.request import DELETE, Cause, Changes, Refusal, Values
from broker.domain.rules import Policy, Rules

STEP = "ScheduledProcedureStepSequence."
STATION = STEP + "ScheduledStationAETitle"
START_DATE = STEP + "ScheduledProcedureStepStartDate"
START_TIME = STEP + "ScheduledProcedureStepStartTime"
MODALITY = STEP + "Modality"
STATUS = STEP + "ScheduledProcedureStepStatus"
PROTOCOL_CODES = STEP + "ScheduledProtocolCodeSequence"
DESCRIPTION = STEP + "ScheduledProcedureStepDescription"
STEP_ID = STEP + "ScheduledProcedureStepID"

SETTLED = frozenset({STATION, START_DATE, START_TIME, MODALITY, STATUS, STEP_ID})
"""Keys whose value in a step is settled by rules; what the sender said of them is only a proposal."""

SH_LENGTH = 16
UID_LENGTH = 64
FORBIDDEN = frozenset("\\*?")


def merge(known: Values, changes: Changes, *, type_1: frozenset[str], only: frozenset[str] | None = None) -> Values:
    """Known values with a request's changes: a value replaces, DELETE removes (never a type 1 value), the rest stays.

    only  keys that may change; None: all
    """
    merged = dict(known)
    for key, value in changes.items():
        if only is not None and key not in only:
            continue
        if value is DELETE:
            if key not in type_1:
                merged.pop(key, None)
        else:
            merged[key] = value
    return merged


def continued(known: Values, changes: Changes) -> Changes:
    """The changes of a further group that names the same step: one more protocol code (as RAD-4 senders do).

    A step with several protocol codes comes as one OBR for each; its other values stand in each of them alike.
    """
    codes, more = known.get(PROTOCOL_CODES), changes.get(PROTOCOL_CODES)
    if not isinstance(codes, list) or not isinstance(more, list):
        return changes
    rest = {key: value for key, value in changes.items() if key != DESCRIPTION}
    return {**rest, PROTOCOL_CODES: codes + [code for code in more if code not in codes]}


@dataclass(frozen=True, slots=True)
class Schedule:
    """What the rules settled for a step; generated names what the sender did not say."""

    modality: str | None
    stations: tuple[str, ...]
    start_at: str | None
    held: str | None
    generated: frozenset[str]


def settle(values: Values, patient: Values, sender: str, rules: Rules, received_at: datetime) -> Schedule | Refusal:
    """Settle a step's schedule from its values; the same values, rules and time of receipt give the same schedule.

    patient      the patient's values, for rules that look at them
    received_at  first receipt, UTC: the start of a step that names none
    """
    seen = {**patient, **values}
    modality, by_rule = _modality(seen, sender, rules)
    stations, from_rules = _stations(seen, modality, sender, rules)
    start_at, now = _start(values, rules, received_at)
    missing = {"modality": modality, "start": start_at, "station": stations}
    reasons = []
    for name, key in (("modality", MODALITY), ("start", START_DATE), ("station", STATION)):
        policy: Policy = getattr(rules.missing, name)
        if missing[name]:
            continue
        if policy is Policy.REJECT:
            return Refusal(Cause.MISSING, key, detail=f"no {name}")
        if policy is Policy.HOLD:
            reasons.append(f"no {name}")
    reasons += [
        f"no value for {key}" for key in sorted(rules.rows.type_1 - seen.keys()) if key in rules.rows.held_without
    ]
    generated = {"modality": by_rule, "stations": from_rules, "start_at": now}
    return Schedule(modality, stations, start_at, "; ".join(reasons) or None,
                    frozenset(name for name, made in generated.items() if made))  # fmt: skip


def _modality(seen: Values, sender: str, rules: Rules) -> tuple[str | None, bool]:
    sent = seen.get(MODALITY)
    if isinstance(sent, str) and sent:
        return sent, False
    for rule in rules.modality_rules:
        if _holds(rule.when, seen, sender):
            return rule.modality, True
    return None, False


def _stations(seen: Values, modality: str | None, sender: str, rules: Rules) -> tuple[tuple[str, ...], bool]:
    """What the sender named (where the profile names stations: of those), else the station rules, else open."""
    sent = seen.get(STATION, [])
    named = [sent] if isinstance(sent, str) else sent
    chosen = tuple(title for title in named if not rules.stations or title in rules.stations)
    if chosen:
        return chosen, False
    known = {**seen, MODALITY: modality} if modality else seen
    for rule in rules.station_rules:
        if _holds(rule.when, known, sender):
            return rule.stations, True
    return (), False


def _start(values: Values, rules: Rules, received_at: datetime) -> tuple[str | None, bool]:
    """Department wall-clock, YYYYMMDDHHMMSS; a date without time starts at 000000."""
    date, time = values.get(START_DATE), values.get(START_TIME)
    if isinstance(date, str) and date:
        return date + (time if isinstance(time, str) else "")[:6].ljust(6, "0"), False
    if rules.missing.start is Policy.NOW:
        return received_at.astimezone(rules.zone).strftime("%Y%m%d%H%M%S"), True
    return None, False


def _holds(when: Mapping[str, str], seen: Values, sender: str) -> bool:
    """True when every condition has a value that fits its pattern."""
    for key, pattern in when.items():
        texts = [sender] if key == "sender" else list(texts_at(seen, key))
        if not any(fnmatchcase(text, pattern.replace("[", "[[]")) for text in texts):
            return False
    return True


def texts_at(values: Values, key: str) -> Iterator[str]:
    """All texts under a key; a key may go on into a sequence ("RequestedProcedureCodeSequence.CodeValue")."""
    if key in values:
        yield from _texts(values[key])
        return
    path = key.split(".")
    for cut in range(len(path) - 1, 0, -1):
        items = values.get(".".join(path[:cut]))
        if isinstance(items, list):
            for item in items:
                if isinstance(item, dict):
                    yield from texts_at(item, ".".join(path[cut:]))
            return


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        yield from (text for text in value if isinstance(text, str))


def fits_short_string(value: str) -> bool:
    """May the text stand in an SH element as it is (PS3.5 6.2), and be asked for without wild card."""
    return 0 < len(value) <= SH_LENGTH and value.isprintable() and not FORBIDDEN & set(value) and value == value.strip()


def proposed_accession(filler: str | None, placer: str | None, taken: Callable[[str], bool]) -> str | None:
    """The filler's, else the placer's number, when it fits and no other order has it."""
    for number in (filler, placer):
        if number is not None and fits_short_string(number) and not taken(number):
            return number
    return None


def derived_procedure_id(filler: str | None, placer: str | None, accession: str, ordinal: int) -> str | None:
    """An id that the same message gives again: the order's number, numbered from the second procedure on."""
    for number in (filler, placer, accession):
        if number is not None and fits_short_string(derived := numbered(number, ordinal)):
            return derived
    return None


def numbered(text: str, ordinal: int) -> str:
    return text if ordinal == 1 else f"{text}-{ordinal}"
