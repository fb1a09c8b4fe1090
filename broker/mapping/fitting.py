"""What a row takes of a value that was read: cleaned, checked against its VR, cut, left out, or refused."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from broker.domain.request import Cause, Refusal
from broker.mapping import fit
from broker.mapping.row import MODALITY, Row
from broker.mapping.terms import MODALITIES

MOST_VALUES = 100
"""Values, or items, of one attribute."""
REPLACEMENT = "\ufffd"
"""What stands for bytes that mean nothing in the character set that was declared."""


class Refused(Exception):
    """A value refuses the whole message."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.text)
        self.refusal = refusal


@dataclass(slots=True, kw_only=True)
class Fitter:
    """Fits values to rows; warnings gather here, in words that hold no values."""

    warnings: list[str] = field(default_factory=list)

    def warn(self, row: Row, text: str) -> None:
        warning = f"{row.key}: {text}"
        if warning not in self.warnings:
            self.warnings.append(warning)

    def fitting(self, row: Row, raw: str, group: int) -> str:
        """The text as the VR takes it; "" when it is left out. group: number of the order; raises Refused."""
        if REPLACEMENT in raw:
            self.warn(row, "some characters are not in the declared character set")
        text = fit.clean(row.vr, raw)
        problem = fit.check(row.vr, text) if text else None
        if problem is fit.Problem.UNREADABLE:
            self.warn(row, f"not a value of {row.vr}, left out")
            return ""
        if problem is fit.Problem.TOO_LONG:
            return self._shortened(row, text, group)
        if row.key == MODALITY and text and text not in MODALITIES:
            self.warn(row, "not a modality that the standard knows, kept as sent")
        return text

    def item_fits(self, row: Row, item: dict[str, Any]) -> bool:
        """Every member of an item must fit its VR; an item that lost one would say something else."""
        vrs = {member.keyword: member.vr for member in row.members}
        for keyword, raw in item.items():
            item[keyword] = fit.clean(vrs[keyword], raw)
            if fit.check(vrs[keyword], item[keyword]) or not item[keyword]:
                self.warn(row, f"{keyword} does not fit, item left out")
                return False
        return bool(item)

    def _shortened(self, row: Row, text: str, group: int) -> str:
        if row.too_long == "reject":
            raise Refused(Refusal(Cause.TOO_LONG, row.key, group))
        if row.too_long == "drop":
            self.warn(row, "too long, left out")
            return ""
        self.warn(row, "too long, cut")
        return fit.cut(row.vr, text)
