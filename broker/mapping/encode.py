"""Values of a step to its stored form: each element encoded once, so that answers are only cut out and joined."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from struct import pack
from typing import Any

from broker.domain.order import Facts
from broker.domain.request import Value, Values
from broker.mapping.facts import fact_value
from broker.mapping.fit import LONG_TEXT, TEXT
from broker.mapping.layout import BINARY, ELEMENT, ITEM, Slot, assemble, element, tag_bytes, unknown
from broker.mapping.row import STATION, Row
from broker.mapping.rows import RowSet, is_type_1


def encode(rows: RowSet, values: Values, facts: Facts) -> bytes:
    """Encode a step's elements into their stored form (`layout`).

    values   by row key: what the sender said, overlaid with what the rules settled
    facts    what rows name as @facts; a value wins over a fact, a fact over a row's default
    returns  the stored form, which `splice` cuts answers from
    """
    layout = rows.layout
    pieces: list[bytes] = []
    marks: list[int] = []
    for slot in layout.roots:
        _encode_slot(slot, _Known(rows, values, facts), pieces, marks)
    return assemble(layout, pieces, marks)


def missing_type_1(rows: RowSet, values: Values, facts: Facts) -> tuple[str, ...]:
    """Keys of type 1 attributes without a value; a step without a station is open, not incomplete."""
    known = _Known(rows, values, facts)
    return tuple(row.key for row in rows.rows if is_type_1(row) and row.key != STATION and not known.value(row))


class _Known:
    """What is known of a step, by row."""

    def __init__(self, rows: RowSet, values: Values, facts: Facts) -> None:
        self._rows = rows
        self._values = values
        self._facts = facts

    def value(self, row: Row) -> Value | None:
        found = self._values.get(row.key)
        if found:
            return found
        found = fact_value(row, self._facts) if row.sources else None
        if found is None and row.default and self._default_holds(row):
            return [row.default] if row.multi else row.default
        return found

    def _default_holds(self, row: Row) -> bool:
        return not row.follows or bool(self.value(self._rows.by_key[row.follows]))


def _encode_slot(slot: Slot, known: _Known, pieces: list[bytes], marks: list[int]) -> None:
    if slot.children:
        _encode_rows_below(slot, known, pieces, marks)
        return
    value = known.value(slot.row)
    encoded = _value(slot.row, value) if value else b""
    if not encoded:
        pieces.append(unknown(slot))
        return
    if _has_other_than_ascii(slot.row, value):
        marks.append(slot.number)
    pieces.append(element(slot.row.tag, encoded))


def _encode_rows_below(slot: Slot, known: _Known, pieces: list[bytes], marks: list[int]) -> None:
    """A sequence that rows stand in: one item when any of them has a value, else nothing in it."""
    here = len(pieces)
    pieces.append(b"")
    for child in slot.children:
        _encode_slot(child, known, pieces, marks)
    if any(len(piece) > ELEMENT.size for piece in pieces[here + 1 :]):
        length = sum(map(len, pieces[here + 1 :]))
        pieces[here] = opened(slot.row.tag, length)
    else:
        pieces[here:] = [unknown(slot)] + [b""] * (slot.end - slot.number - 1)


def opened(tag: int, length: int) -> bytes:
    """Heads of a sequence and of its one item, whose members take `length` bytes."""
    return tag_bytes(tag) + pack("<I", length + ELEMENT.size) + ITEM + pack("<I", length)


def _value(row: Row, value: Value | None) -> bytes:
    if row.vr == "SQ":
        return b"".join(_item(row, item) for item in value or () if isinstance(item, Mapping))
    texts = [value] if isinstance(value, str) else [text for text in value or () if isinstance(text, str)]
    return encode_texts(row.vr, texts)


def _item(row: Row, item: Mapping[str, Any]) -> bytes:
    members = sorted((m for m in row.members if item.get(m.keyword)), key=lambda member: member.tag)
    body = b"".join(element(member.tag, _value(member, item[member.keyword])) for member in members)
    return ITEM + pack("<I", len(body)) + body if body else b""


def encode_texts(vr: str, texts: Iterable[str]) -> bytes:
    """Values of one element as bytes: UTF-8, parted by backslashes, padded to even length (PS3.5 6.2, 6.4)."""
    if vr in BINARY:
        number = float if vr in ("FL", "FD") else int
        return b"".join(pack(BINARY[vr], number(text)) for text in texts)
    joined = "".join(texts) if vr in LONG_TEXT else "\\".join(texts)
    return padded(vr, joined.encode() if vr in TEXT else joined.encode("ascii", "replace"))


def padded(vr: str, value: bytes) -> bytes:
    """Even length: a UID gets a null, other text a space (PS3.5 6.2)."""
    if len(value) % 2 == 0:
        return value
    return value + (b"\0" if vr == "UI" else b" ")


def _has_other_than_ascii(row: Row, value: Any) -> bool:
    if isinstance(value, str):
        return row.vr in TEXT and not value.isascii()
    if isinstance(value, Mapping):
        return any(_has_other_than_ascii(m, value[m.keyword]) for m in row.members if value.get(m.keyword))
    return isinstance(value, list) and any(_has_other_than_ascii(row, part) for part in value)
