"""Values of a step to its stored form: each element encoded once, so that answers are only cut out and joined."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from struct import Struct, pack
from typing import Any

from broker.dataset.charsets import LONG_TEXT, TEXT
from broker.domain.order import Facts
from broker.domain.request import Value, Values
from broker.mapping.facts import fact_value
from broker.mapping.layout import BINARY, ELEMENT, ITEM, Slot, assemble, cut, element, marks_of, padding_of, tag_bytes
from broker.mapping.row import Row
from broker.mapping.rows import RowSet

pack_length = Struct("<I").pack


def encode(rows: RowSet, values: Values, facts: Facts) -> bytes:
    """Encode a step's elements into their stored form (`layout`).

    values   by row key: what the sender said, overlaid with what the rules settled
    facts    what rows name as @facts; a value wins over a fact, a fact over a row's default
    returns  the stored form, which `splice` cuts answers from
    """
    layout = rows.layout
    pieces = layout.unknown.copy()
    marks: list[int] = []
    known_inside: set[int] = set()
    for key, value in _known(rows.settled, values, facts).items():
        slot = layout.by_key.get(key)
        if not value or slot is None or slot.children:
            continue
        piece = _piece(slot, value)
        if piece is slot.unknown:
            continue
        pieces[slot.number] = piece
        known_inside.update(slot.above)
        if _is_beyond_ascii(slot, piece, value):
            marks.append(slot.number)
    for slot in layout.sequences:
        _close(slot, pieces, slot.number in known_inside)
    return assemble(layout, pieces, sorted(marks))


def encode_moved(rows: RowSet, elements: bytes, values: Values, facts: Facts) -> bytes:
    """The same for a step of which nothing but its status and its study's start has changed, in a third of the time.

    elements  its stored form until now, made by these very rows
    """
    layout = rows.layout
    pieces = cut(layout, elements)
    marks = set(marks_of(elements, layout.table))
    known = _known(rows.moving, values, facts)
    for row in rows.moving:
        slot = layout.by_key.get(row.key)
        if slot is None or slot.children:
            continue
        value = known.get(row.key)
        piece = _piece(slot, value)
        if slot.above and (piece is slot.unknown or any(pieces[at] == layout.unknown[at] for at in slot.above)):
            # Its sequence opens, or may close.
            return encode(rows, values, facts)
        pieces[slot.number] = piece
        marks.discard(slot.number)
        if _is_beyond_ascii(slot, piece, value):
            marks.add(slot.number)
        for number in reversed(slot.above):
            _close(layout.slots[number], pieces, True)
    return assemble(layout, pieces, sorted(marks))


def _piece(slot: Slot, value: Value | None) -> bytes:
    """What stands in a slot."""
    if not value:
        return slot.unknown
    plain = slot.is_text and isinstance(value, str) and value.isascii()  # as nearly all are
    encoded = value.encode() if plain else _value(slot.row, value)  # type: ignore[union-attr]
    if not encoded:
        return slot.unknown
    if len(encoded) % 2:
        encoded += slot.padding
    return slot.tag_bytes + pack_length(len(encoded)) + encoded


def _known(settled: Iterable[Row], values: Values, facts: Facts) -> dict[str, Value]:
    """The values by row key, and what facts and defaults give besides."""
    known = dict(values)
    for row in settled:
        if known.get(row.key):
            continue
        found = fact_value(row, facts)
        if found is None and row.default and (not row.follows or known.get(row.follows)):
            found = [row.default] if row.multi else row.default
        if found is not None:
            known[row.key] = found
    return known


def _close(sequence: Slot, pieces: list[bytes], known_inside: bool) -> None:
    """A sequence that rows stand in: one item when any of them has a value, else nothing in it."""
    inside = slice(sequence.number + 1, sequence.end)
    if known_inside:
        pieces[sequence.number] = opened(sequence.row.tag, sum(map(len, pieces[inside])))
    else:
        pieces[inside] = [b""] * (sequence.end - sequence.number - 1)


def opened(tag: int, length: int) -> bytes:
    """Heads of a sequence and of its one item, whose members take `length` bytes."""
    return tag_bytes(tag) + pack_length(length + ELEMENT.size) + ITEM + pack_length(length)


def _value(row: Row, value: Value) -> bytes:
    vr = row.vr
    if vr == "SQ":
        return b"".join([_item(row, item) for item in value if isinstance(item, Mapping)])
    if isinstance(value, str):
        return encode_texts(vr, (value,))
    return encode_texts(vr, [text for text in value if isinstance(text, str)])


def _item(row: Row, item: Mapping[str, Any]) -> bytes:
    known = [(member, found) for member in row.members if (found := item.get(member.keyword))]
    body = b"".join([element(member.tag, _value(member, found)) for member, found in known])
    return ITEM + pack_length(len(body)) + body if body else b""


def encode_texts(vr: str, texts: Iterable[str]) -> bytes:
    """Values of one element as bytes: UTF-8, parted by backslashes, padded to even length (PS3.5 6.2, 6.4)."""
    if vr in BINARY:
        number = float if vr in ("FL", "FD") else int
        return b"".join(pack(BINARY[vr], number(text)) for text in texts)
    joined = "".join(texts) if vr in LONG_TEXT else "\\".join(texts)
    return padded(vr, joined.encode() if vr in TEXT else joined.encode("ascii", "replace"))


def padded(vr: str, value: bytes) -> bytes:
    if len(value) % 2 == 0:
        return value
    return value + padding_of(vr)


def _is_beyond_ascii(slot: Slot, piece: bytes, value: Any) -> bool:
    # Heads and lengths are not always ASCII: only then it is worth while to look closer.
    return not piece.replace(ITEM, b"").isascii() and _has_other_than_ascii(slot.row, value)


def _has_other_than_ascii(row: Row, value: Any) -> bool:
    if isinstance(value, str):
        return row.vr in TEXT and not value.isascii()
    if isinstance(value, Mapping):
        return any(_has_other_than_ascii(m, value[m.keyword]) for m in row.members if value.get(m.keyword))
    return isinstance(value, list) and any(_has_other_than_ascii(row, part) for part in value)
