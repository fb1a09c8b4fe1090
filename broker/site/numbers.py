"""Section [numbers]: how the values look that we make because nobody sent them."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from broker.domain.rules import NumberFormats
from broker.mapping import fit
from broker.site.section import Section, checked

UID_ROOT_LENGTH = 44
"""Longest root that leaves room for a dot and any number of ours in 64 characters."""

Prefix = Annotated[
    str,
    checked(lambda text: all(char.isascii() and (char.isalnum() or char in "-_.") for char in text),
            "letters, digits, point, minus and _"),
]  # fmt: skip
Root = Annotated[
    str,
    checked(lambda text: text == "" or (fit.is_uid(text) and len(text) <= UID_ROOT_LENGTH),
            f"a UID of at most {UID_ROOT_LENGTH} characters, or empty for 2.25 and a random number"),
]  # fmt: skip


class NumbersSection(Section):
    """[numbers]: prefix and number, filled with zeros to its width; at most 16 characters together."""

    accession_prefix: Prefix = "B"
    accession_width: int = Field(default=8, ge=4, le=16)
    procedure_prefix: Prefix = "RP"
    step_prefix: Prefix = "SPS"
    id_width: int = Field(default=8, ge=4, le=16, description="of requested procedure ids and step ids")
    uid_root: Root = ""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        longest = fit.LENGTHS["SH"]
        for prefix, width in (
            (self.accession_prefix, self.accession_width),
            (self.procedure_prefix, self.id_width),
            (self.step_prefix, self.id_width),
        ):
            if len(prefix) + width > longest:
                raise ValueError(f"prefix and width together have at most {longest} characters")
        return self

    def formats(self) -> NumberFormats:
        """The rules' value."""
        return NumberFormats(**dict(self))
