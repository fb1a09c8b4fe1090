"""Section [order_control]: rows of a site's own over the shipped table of what an order control does."""

from __future__ import annotations

import re
from collections.abc import Mapping

from broker.domain.order_control import ACTIONS_BY_CELL, CELLS, SHIPPED
from broker.errors import SettingsError
from broker.site.section import Section

_CODE = re.compile(r"[A-Z0-9]{1,3}(?:/[A-Z0-9]{1,3})?")


class OrderControlSection(Section):
    """[order_control."ORC-1/ORC-5"]: the action by the state of the step; cells left out keep what is shipped."""

    unknown: str | None = None
    not_started: str | None = None
    started: str | None = None
    finished: str | None = None
    canceled: str | None = None


def merged_table(sections: Mapping[str, OrderControlSection]) -> Mapping[str, Mapping[str, str]]:
    """The shipped table with the site's rows laid over it; raises SettingsError."""
    table = dict(SHIPPED)
    for code, section in sections.items():
        if _CODE.fullmatch(code) is None:
            raise SettingsError(
                "not an order control", key=f"order_control.{code}", expected='ORC-1 or ORC-1/ORC-5, like "SC/IP"'
            )
        cells = {**table.get(code, {}), **section.model_dump(exclude_none=True)}
        for cell in CELLS:
            allowed = sorted(ACTIONS_BY_CELL[cell])
            if cells.get(cell) not in allowed:
                raise SettingsError(
                    "no such action in this cell" if cell in cells else "a new order control needs all cells",
                    key=f"order_control.{code}.{cell}",
                    value=cells.get(cell, ""),
                    expected=", ".join(allowed),
                )
        table[code] = cells
    return table
