"""Writes HL7 v2 segments: values are escaped, empty fields at the end are left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from broker.hl7v2.escapes import escape
from broker.hl7v2.reader import Delimiters


def field(parts: Sequence[str], delimiters: Delimiters) -> str:
    """One field of plain components; empty ones at the end are left out."""
    return _joined([escape(part, delimiters) for part in parts], delimiters.component)


def component(parts: Sequence[str], delimiters: Delimiters) -> str:
    """One component of plain subcomponents."""
    return _joined([escape(part, delimiters) for part in parts], delimiters.subcomponent)


def segment(name: str, fields: Mapping[int, str], delimiters: Delimiters) -> str:
    """One segment without its end.

    fields  HL7 number -> text that is already escaped and joined; MSH-1 and MSH-2 are filled in
    """
    if name == "MSH":
        last = max(fields, default=2)
        rest = [fields.get(number, "") for number in range(3, last + 1)]
        return delimiters.field.join([name, delimiters.encoding_characters, *rest]).rstrip(delimiters.field)
    values = [fields.get(number, "") for number in range(1, max(fields, default=0) + 1)]
    return _joined([name, *values], delimiters.field)


def message(segments: Sequence[str]) -> str:
    """Segments, each ended by CR (HL7 2.5.1 2.5.4)."""
    return "".join(f"{one}\r" for one in segments)


def _joined(parts: list[str], separator: str) -> str:
    while parts and not parts[-1]:
        parts.pop()
    return separator.join(parts)
