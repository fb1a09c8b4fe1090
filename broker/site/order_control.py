"""Section [order_control]: rows of a site's own over the shipped table of what an order control does."""

from __future__ import annotations

import re
from collections.abc import Mapping

from broker.domain.order_control import (
    ACTIONS_BY_CELL,
    CELLS,
    SHIPPED,
    Canceled,
    Finished,
    NotStarted,
    Started,
    Unknown,
)
from broker.errors import SettingsError
from broker.site.section import Section

_CODE = re.compile(r"[A-Z0-9]{1,3}(?:/[A-Z0-9]{1,3})?")


class OrderControlSection(Section):
    """[order_control."ORC-1/ORC-5"]: the action by the state of the step; cells left out keep what is shipped."""

    unknown: Unknown | None = None
    not_started: NotStarted | None = None
    started: Started | None = None
    finished: Finished | None = None
    canceled: Canceled | None = None


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
            if cell not in cells:
                raise SettingsError(
                    "a new order control needs all cells",
                    key=f"order_control.{code}.{cell}",
                    expected=", ".join(ACTIONS_BY_CELL[cell]),
                )
        table[code] = cells
    return table
