"""Section [hl7]: which messages the HL7 door takes."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from broker.site.section import Section


class Hl7Section(Section):
    """[hl7]: others are answered AR 203 and AR 202."""

    versions: list[str] = Field(default=["2.3", "2.3.1", "2.4", "2.5", "2.5.1"], min_length=1, description="MSH-12.1")
    processing_ids: list[Literal["P", "T", "D"]] = Field(default=["P"], min_length=1, description="MSH-11.1")
