"""Units of measure that a quantity may come in, and what one of them is in the unit of its kind."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

UNITS: Mapping[str, tuple[str, Decimal]] = {
    "kg": ("mass", Decimal(1)),
    "g": ("mass", Decimal("0.001")),
    "lb": ("mass", Decimal("0.45359237")),
    "oz": ("mass", Decimal("0.028349523125")),
    "m": ("length", Decimal(1)),
    "cm": ("length", Decimal("0.01")),
    "mm": ("length", Decimal("0.001")),
    "in": ("length", Decimal("0.0254")),
    "ft": ("length", Decimal("0.3048")),
}
"""Unit -> what it measures, and its size in kg or m."""

_ALSO = {
    "kilogram": "kg", "kilograms": "kg", "kgs": "kg", "gram": "g", "grams": "g", "gm": "g", "lbs": "lb", "pound": "lb",
    "pounds": "lb", "[lb_av]": "lb", "[lb]": "lb", "[oz_av]": "oz", "meter": "m", "metre": "m", "meters": "m",
    "centimeter": "cm", "centimetre": "cm", "inch": "in", "inches": "in", "[in_i]": "in", "[in_us]": "in",
    "[ft_i]": "ft", "feet": "ft", "foot": "ft",
}  # fmt: skip
"""Other spellings, UCUM's among them."""


def factor(unit: str, wanted: str) -> Decimal | None:
    """What one `unit` is in `wanted`; None when it is unknown or measures something else."""
    name = unit.strip().lower()
    found = UNITS.get(_ALSO.get(name, name))
    target = UNITS[wanted]
    return found[1] / target[1] if found is not None and found[0] == target[0] else None
