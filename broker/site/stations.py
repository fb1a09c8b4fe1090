"""Sections [stations], [[station_rules]] and [[modality_rules]]: where steps go, and what they are done on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pydantic import Field

from broker.domain.rules import ModalityRule, Station, StationRule
from broker.errors import SettingsError
from broker.mapping.rows import RowSet
from broker.site.section import AeTitle, ModalityWord, Section

SENDER = "sender"
"""Condition on who sent the order, as application|facility."""


class StationSection(Section):
    """[stations.AE_TITLE]: once any station is named, an order may name only these."""

    modalities: list[ModalityWord] = Field(default_factory=list, description="empty: unknown, excludes nothing")

    def station(self, ae_title: str) -> Station:
        """The rules' value; `ae_title` is the table's name."""
        return Station(ae_title, tuple(self.modalities))


class StationRuleSection(Section):
    """[[station_rules]]: the first whose conditions all hold gives the stations."""

    when: dict[str, str] = Field(default_factory=dict, description="row key, or sender = pattern with * and ?")
    stations: list[AeTitle] = Field(min_length=1)

    def rule(self) -> StationRule:
        """The rules' value."""
        return StationRule(dict(self.when), tuple(self.stations))


class ModalityRuleSection(Section):
    """[[modality_rules]]: the first whose conditions all hold gives the modality of an order that names none."""

    when: dict[str, str] = Field(default_factory=dict, description="row key, or sender = pattern with * and ?")
    modality: ModalityWord

    def rule(self) -> ModalityRule:
        """The rules' value."""
        return ModalityRule(dict(self.when), self.modality)


def check_rules(name: str, rules: Iterable[Mapping[str, str]], rows: RowSet) -> None:
    """Conditions may ask for rows and members of their items; raises SettingsError."""
    known = {row.key for row in rows.by_levels.values()} | {SENDER}
    for index, when in enumerate(rules):
        for key in when:
            if key not in known:
                raise SettingsError(
                    "a condition names no row", key=f"{name}.{index}.when.{key}", expected="sender, or the key of a row"
                )


def check_known(rules: Iterable[StationRule], stations: Mapping[str, Station]) -> None:
    """Where the profile names stations, its rules use no others; raises SettingsError."""
    for index, rule in enumerate(rules):
        unknown = [title for title in rule.stations if stations and title not in stations]
        if unknown:
            raise SettingsError(
                "a rule names a station that has no table",
                key=f"station_rules.{index}.stations",
                value=unknown[0],
                expected=", ".join(sorted(stations)),
            )
