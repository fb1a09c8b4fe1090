"""The plain way to a step's stored form, slot by slot and byte by byte; shares no code with encode and layout."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from struct import pack
from typing import Any

from broker.domain.order import Facts
from broker.mapping.facts import fact_value
from broker.mapping.row import Row
from broker.mapping.rows import RowSet

TEXTS = ("LO", "LT", "PN", "SH", "ST", "UC", "UT")
NUMBERS = {"US": "<H", "SS": "<h", "UL": "<I", "SL": "<i", "FL": "<f", "FD": "<d"}


class PlainEncoder:
    """One step."""

    def __init__(self, rows: RowSet, values: Mapping[str, Any], facts: Facts) -> None:
        self._rows = rows
        self._values = values
        self._facts = facts

    def stored_form(self) -> bytes:
        slots = list(self._slots(()))
        marks = [number for number, (_, beyond_ascii) in enumerate(slots) if beyond_ascii]
        offset = 16 + 4 * (len(slots) + 1) + 2 * len(marks)
        table = [offset + sum(len(piece) for piece, _ in slots[:number]) for number in range(len(slots) + 1)]
        head = b"MWL\x01" + self._rows.layout.digest + pack("<HH", len(slots), len(marks))
        numbers = pack(f"<{len(table)}I{len(marks)}H", *table, *marks)
        return head + numbers + b"".join(piece for piece, _ in slots)

    def _slots(self, above: tuple[int, ...]) -> Iterator[tuple[bytes, bool]]:
        """The bytes of each slot below a place, and whether its text is other than ASCII."""
        here = [row for levels, row in self._rows.by_levels.items() if levels[:-1] == above]
        for row in sorted(here, key=lambda row: row.levels):
            unknown = b"" if row.returns in ("1", "1C") else element(row, b"")
            inside = [] if row.members else list(self._slots(row.levels))
            if not inside:
                value = self._value(row)
                encoded = value_bytes(row, value) if value else b""
                yield (element(row, encoded), beyond_ascii(row, value)) if encoded else (unknown, False)
            elif any(len(piece) > 8 for piece, _ in inside):
                length = sum(len(piece) for piece, _ in inside)
                yield tag(row) + pack("<I", length + 8) + b"\xfe\xff\x00\xe0" + pack("<I", length), False
                yield from inside
            else:
                yield unknown, False
                yield from [(b"", False)] * len(inside)

    def _value(self, row: Row) -> Any:
        found = self._values.get(row.key) or fact_value(row, self._facts)
        if found or not row.default:
            return found
        followed = not row.follows or self._value(self._rows.by_key[row.follows])
        return ([row.default] if row.multi else row.default) if followed else None


def value_bytes(row: Row, value: Any) -> bytes:
    if row.vr == "SQ":
        items = (b"".join(element(m, value_bytes(m, item[m.keyword])) for m in known(row, item)) for item in value)
        return b"".join(b"\xfe\xff\x00\xe0" + pack("<I", len(item)) + item for item in items if item)
    texts = [value] if isinstance(value, str) else value
    if row.vr in NUMBERS:
        return b"".join(pack(NUMBERS[row.vr], float(t) if row.vr in ("FL", "FD") else int(t)) for t in texts)
    joined = ("" if row.vr in ("LT", "ST", "UT") else "\\").join(texts)
    encoded = joined.encode() if row.vr in TEXTS else joined.encode("ascii", "replace")
    return encoded + (b"\0" if row.vr == "UI" else b" ") * (len(encoded) % 2)


def beyond_ascii(row: Row, value: Any) -> bool:
    if row.vr == "SQ":
        return any(beyond_ascii(member, item[member.keyword]) for item in value for member in known(row, item))
    return row.vr in TEXTS and not all(text.isascii() for text in ([value] if isinstance(value, str) else value))


def known(row: Row, item: Mapping[str, Any]) -> list[Row]:
    return sorted((m for m in row.members if item.get(m.keyword)), key=lambda member: member.levels)


def element(row: Row, value: bytes) -> bytes:
    return tag(row) + pack("<I", len(value)) + value


def tag(row: Row) -> bytes:
    return pack("<HH", row.levels[-1] >> 16, row.levels[-1] & 0xFFFF)
