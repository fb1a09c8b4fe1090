"""This hospital's rules as values; `broker/site` builds them from the site profile, the pure rules read them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from zoneinfo import ZoneInfo

from broker.domain.request import NO_ISSUER, Issuer


class Policy(Enum):
    """What to do about a value that an order leaves out."""

    GENERATE = "generate"
    NOW = "now"
    OPEN = "open"
    HOLD = "hold"
    REJECT = "reject"


@dataclass(frozen=True, slots=True)
class MissingPolicies:
    """By value; which policies each one allows is checked where the profile is read."""

    study_uid: Policy = Policy.GENERATE
    accession: Policy = Policy.GENERATE
    requested_procedure_id: Policy = Policy.GENERATE
    step_id: Policy = Policy.GENERATE
    start: Policy = Policy.NOW
    station: Policy = Policy.OPEN
    modality: Policy = Policy.HOLD


@dataclass(frozen=True, slots=True)
class NumberFormats:
    """How generated values look. prefix + number, zero-filled to width; at most 16 characters (SH).

    uid_root  empty: 2.25 and a random UUID (PS3.5 B.2); else root + "." + number, at most 64 characters
    """

    accession_prefix: str = "B"
    accession_width: int = 8
    procedure_prefix: str = "RP"
    step_prefix: str = "SPS"
    id_width: int = 8
    uid_root: str = ""


@dataclass(frozen=True, slots=True)
class Authority:
    """One assigning authority of the profile. rank: 1 is highest, None is unranked; also: names of the same issuer."""

    issuer: Issuer
    rank: int | None = None
    also: tuple[Issuer, ...] = ()


@dataclass(frozen=True, slots=True)
class Station:
    """A station the profile names. modalities empty: unknown, excludes nothing."""

    ae_title: str
    modalities: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StationRule:
    """First rule whose conditions all hold gives the stations. when: row key (or "sender") -> pattern with * and ?."""

    when: Mapping[str, str]
    stations: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ModalityRule:
    """First rule whose conditions all hold gives the modality. when: row key (or "sender") -> pattern with * and ?."""

    when: Mapping[str, str]
    modality: str


@dataclass(frozen=True, slots=True)
class RowFacts:
    """What the rules need to know of the profile's rows.

    descriptive  keys that may change on a started or finished step (names, codes, comments, physicians, accession)
    type_1       keys that DELETE never empties
    held_without type 1 keys of the step that only its sender can fill and that have no default: without it is held
    """

    descriptive: frozenset[str] = frozenset()
    type_1: frozenset[str] = frozenset()
    held_without: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Rules:
    zone: ZoneInfo
    missing: MissingPolicies = MissingPolicies()
    numbers: NumberFormats = NumberFormats()
    default_issuer: Issuer = NO_ISSUER
    authorities: tuple[Authority, ...] = ()
    stations: Mapping[str, Station] = field(default_factory=dict)
    station_rules: tuple[StationRule, ...] = ()
    modality_rules: tuple[ModalityRule, ...] = ()
    order_control: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    rows: RowFacts = RowFacts()
