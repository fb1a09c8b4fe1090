"""Reads the site profile over the shipped one into what the rest of the broker asks of a site."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from pydantic import ValidationError

from broker.domain.request import Sender
from broker.domain.rules import Rules
from broker.errors import SettingsError
from broker.mapping.rows import RowSet
from broker.site.issuers import read_issuer
from broker.site.model import Profile
from broker.site.order_control import merged_table
from broker.site.peers import Peers
from broker.site.problems import explained, pointed
from broker.site.rows import build_rows, sender_rows
from broker.site.senders import Senders
from broker.site.stations import check_known, check_rules
from broker.site.toml import merge, parse_toml, read_toml
from broker.site.zones import machine_zone, zone_named

SHIPPED = "default.toml"


@dataclass(frozen=True, slots=True)
class Site:
    """This hospital, read from its profile; nothing in it changes.

    rows            attribute rows: what is stored, matched and returned
    versions        MSH-12.1 that are taken
    processing_ids  MSH-11.1 that are taken
    charset         table 0211 name for messages that declare none
    text            of the profile's file; "" when there is none
    path            of the profile's file; None: the shipped profile alone
    """

    rules: Rules
    rows: RowSet
    zone: ZoneInfo
    versions: frozenset[str]
    processing_ids: frozenset[str]
    charset: str
    peers: Peers
    senders: Senders
    sender_rows: Mapping[str, RowSet]
    text: str = ""
    path: Path | None = None

    def sender(self, application: str, facility: str) -> Sender:
        """Who sent a message, with its number space and default issuer."""
        return self.senders.sender(application, facility)

    def charset_for(self, sender: Sender) -> str:
        """What the bytes of a sender's messages mean when MSH-18 is empty and they are no UTF-8."""
        table = self.senders.tables.get(self.senders.name_of(sender.application, sender.facility))
        return (table.charset if table else None) or self.charset

    def rows_for(self, sender: Sender) -> RowSet:
        """The rows as this sender's messages are read; stored elements are always made by `rows`."""
        return self.sender_rows.get(self.senders.name_of(sender.application, sender.facility), self.rows)


def load(path: Path | None) -> Site:
    """Read a profile; None is the shipped one.

    raises  SettingsError naming file, line (where the file has one for it), key, and what would be right
    """
    text, own = read_toml(path) if path is not None else ("", {})
    return read(text, own, path)


def read(text: str, own: Mapping[str, Any], path: Path | None) -> Site:
    """Read a profile's tables, laid over the shipped ones; raises SettingsError as `load` does."""
    shipped = files("broker.site").joinpath(SHIPPED).read_text(encoding="utf-8")
    merged = merge(parse_toml(shipped, SHIPPED), own)
    name = str(path) if path is not None else SHIPPED
    try:
        profile = Profile.model_validate(merged)
        return _site(profile, text, path)
    except ValidationError as error:
        raise explained(error, Profile, name, text) from None
    except SettingsError as error:
        raise pointed(error, name, text) from None


SETTLING = {"missing", "stations", "station_rules", "modality_rules"}
"""Sections that settle a schedule: when they change, open steps are settled and encoded anew at the next start."""


def _site(profile: Profile, text: str, path: Path | None) -> Site:
    zone = (zone_named(profile.time_zone) if profile.time_zone else None) or machine_zone()
    changed = {name: sender.rows for name, sender in profile.senders.items() if sender.rows}
    stated = {name: {key: row.stated() for key, row in rows.items()} for name, rows in changed.items()}
    settling = profile.model_dump(mode="json", include=SETTLING)
    charsets = [profile.hl7.charset, {name: sender.charset for name, sender in profile.senders.items()}]
    rows = build_rows(profile.rows, [stated, zone.key, settling, charsets])
    return Site(
        rules=_rules(profile, rows, zone),
        rows=rows,
        zone=zone,
        versions=frozenset(profile.hl7.versions),
        processing_ids=frozenset(profile.hl7.processing_ids),
        charset=profile.hl7.charset,
        peers=Peers(profile.worklist, dict(profile.peers)),
        senders=Senders(dict(profile.senders)),
        sender_rows={name: sender_rows(name, profile.rows, change) for name, change in changed.items()},
        text=text,
        path=path,
    )


def _rules(profile: Profile, rows: RowSet, zone: ZoneInfo) -> Rules:
    stations = {title: section.station(title) for title, section in profile.stations.items()}
    station_rules = tuple(section.rule() for section in profile.station_rules)
    modality_rules = tuple(section.rule() for section in profile.modality_rules)
    check_rules("station_rules", [rule.when for rule in station_rules], rows)
    check_rules("modality_rules", [rule.when for rule in modality_rules], rows)
    check_known(station_rules, stations)
    return Rules(
        zone=zone,
        missing=profile.missing.policies(),
        numbers=profile.numbers.formats(),
        default_issuer=read_issuer(profile.default_issuer),
        authorities=tuple(section.authority(name) for name, section in profile.authorities.items()),
        stations=stations,
        station_rules=station_rules,
        modality_rules=modality_rules,
        order_control=merged_table(profile.order_control),
        rows=rows.facts(),
    )
