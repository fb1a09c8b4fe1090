"""Sections [worklist] and [peers]: which DICOM peers are served, and what single ones see."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from broker.site.section import Section

SyntaxUid = Annotated[str, Field(pattern=r"^1\.2\.840\.10008\.1\.2(\.[0-9]+)*$")]
"""UID of a DICOM transfer syntax (PS3.6 A)."""


class WorklistSection(Section):
    """[worklist]: what holds for every peer that has no table of its own."""

    hide_started: bool = Field(default=False, description="steps that have begun are not listed")
    absent_type_3: bool = Field(default=False, description="type 3 attributes without a value are left out, not empty")
    closed: bool = Field(default=False, description="only calling AE titles with a [peers.TITLE] table are served")
    called_titles: list[str] = Field(default=[], description="AE titles that we answer to; none: whatever is called")
    preferred_syntaxes: list[SyntaxUid] = Field(
        default=[], description="transfer syntaxes by UID that are chosen first where a peer offers several"
    )


class PeerSection(Section):
    """[peers.AE_TITLE]: what this peer sees otherwise."""

    hide_started: bool | None = None
    absent_type_3: bool | None = None


@dataclass(frozen=True, slots=True)
class Peers:
    """Answers what the doors ask about a peer, by its calling AE title."""

    worklist: WorklistSection
    tables: Mapping[str, PeerSection]

    def allows(self, calling: str, called: str) -> bool:
        """Whether a calling AE title is served."""
        return not self.worklist.closed or calling in self.tables

    def answers_to(self, called: str) -> bool:
        """Whether we are the AE title that is called."""
        return not self.worklist.called_titles or called in self.worklist.called_titles

    def hides_started(self, calling: str) -> bool:
        """Whether steps that have begun are left out."""
        own = self.tables.get(calling, PeerSection()).hide_started
        return self.worklist.hide_started if own is None else own

    def absent_type_3(self, calling: str) -> bool:
        """Whether type 3 attributes without a value are left out instead of returned empty."""
        own = self.tables.get(calling, PeerSection()).absent_type_3
        return self.worklist.absent_type_3 if own is None else own
