"""Section [hl7]: which messages the HL7 door takes."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from broker.hl7v2.charset import codec_of
from broker.site.section import Section


def _known(name: str) -> str:
    if codec_of(name) is None:
        raise ValueError('a character set of HL7 table 0211, like "8859/1" or "UNICODE UTF-8"')
    return name


CharsetName = Annotated[str, AfterValidator(_known)]
"""A character set by its HL7 name."""


class Hl7Section(Section):
    """[hl7]: others are answered AR 203 and AR 202."""

    versions: list[str] = Field(default=["2.3", "2.3.1", "2.4", "2.5", "2.5.1"], min_length=1, description="MSH-12.1")
    charset: CharsetName = Field(
        default="8859/1", description="table 0211, for messages without MSH-18 whose bytes are no UTF-8"
    )
    processing_ids: list[Literal["P", "T", "D"]] = Field(default=["P"], min_length=1, description="MSH-11.1")
