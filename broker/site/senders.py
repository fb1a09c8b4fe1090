"""Section [senders]: what holds for single sending systems: their number space, their issuer, their own row sources."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import Field

from broker.domain.request import Sender
from broker.site.hl7 import CharsetName
from broker.site.issuers import IssuerText, read_issuer
from broker.site.rows import SenderRowSection
from broker.site.section import Section

ANY = "*"
"""Stands for any application or facility in the name of a sender's table."""


class SenderSection(Section):
    """[senders."APPLICATION|FACILITY"], as MSH-3.1 and MSH-4.1 say it; either may be `*`."""

    group: str = Field(default="", description="senders with the same group share one space of order numbers")
    default_issuer: IssuerText = Field(default="", description="who gave patient ids that name nobody")
    charset: CharsetName | None = Field(default=None, description="of its messages without MSH-18; else that of [hl7]")
    rows: dict[str, SenderRowSection] = Field(default_factory=dict, description="rows that this sender reads otherwise")


@dataclass(frozen=True, slots=True)
class Senders:
    """Finds what the profile says of a sender."""

    tables: Mapping[str, SenderSection]

    def name_of(self, application: str, facility: str) -> str:
        """Name of the table that holds for a sender, the closest one; "" when none does."""
        wanted = (f"{application}|{facility}", f"{application}|{ANY}", f"{ANY}|{facility}")
        return next((name for name in wanted if name in self.tables), "")

    def sender(self, application: str, facility: str) -> Sender:
        """A sender with its group and default issuer."""
        table = self.tables.get(self.name_of(application, facility), SenderSection())
        group = table.group or f"{application}|{facility}"
        return Sender(application, facility, group, read_issuer(table.default_issuer))
