"""A query and a stored step to an encoded answer: what was asked is cut out of the stored elements and joined."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from struct import pack, unpack_from

from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from broker.dataset import charsets
from broker.dataset.charsets import LONG_TEXT, TEXT
from broker.dataset.reading import Item, charset_of
from broker.domain.request import Value
from broker.mapping.convert import Converter
from broker.mapping.cutting import Cutter
from broker.mapping.encode import encode_texts, opened, padded
from broker.mapping.layout import BINARY, ELEMENT, HEAD, OPENED_BYTES, Layout, Slot, assemble, element, marks_of, walk
from broker.mapping.parts import Items, Part, Planner, Shape, numbers_of, shape_of, without_filling
from broker.mapping.row import Row
from broker.mapping.rows import RowSet

PENDING = 0xFF00
PENDING_WITH_UNSUPPORTED_KEYS = 0xFF01
"""Matches are continuing, but one or more optional keys were not supported (PS3.4 Table K.4-1)."""

KEPT_PLANS = 256
"""Plans kept: a scanner asks in the same shape every time."""

_CHARACTER_SET = 0x00080005


class Plan:
    """What one query asks of every step: made once, used for each answer. Build it with `plan`."""

    def __init__(
        self, layout: Layout, parts: tuple[Part, ...], names: tuple[str, ...], explicit: bool, pending_status: int
    ) -> None:
        self.pending_status = pending_status
        self._layout = layout
        self._prefix = layout.prefix
        self._table = layout.table
        self._filling = Cutter(parts)
        self._cutter = Cutter(without_filling(parts))
        self._explicit = explicit
        self._asked = frozenset(numbers_of(parts))
        self._plain = _plain_texts(layout, parts)
        self._converter = Converter(layout.slots, explicit)
        self._names = names
        self._encoder = charsets.encoder_of(names) if names not in ((), (charsets.UTF_8,)) else None

    def dataset(self, elements: bytes, station: str | None = None) -> bytes:
        """Encode the answer for one step.

        elements  stored form of the step (`encode`); one that was made by other rows is read by its tags
        station   AE title that an open step answers with
        returns   the dataset in the query's transfer syntax, tags ascending, (0008,0005) only when text needs it
        """
        if not elements.startswith(self._prefix):
            elements = relaid(self._layout, elements)
        cutter = self._cutter if station is None else self._filling
        if elements[14:16] != b"\0\0":
            marked = self._asked.intersection(marks_of(elements, self._table))
            if marked:
                return self._beyond_ascii(cutter, elements, station, marked)
        return self._finished(cutter.cut(elements, self._table, station))

    def _finished(self, body: bytes) -> bytes:
        return self._converter.explicit(body) if self._explicit else body

    def _beyond_ascii(self, cutter: Cutter, elements: bytes, station: str | None, marked: frozenset[int]) -> bytes:
        """marked: numbers of the asked slots whose text is not ASCII."""
        surely = marked <= self._plain.keys()
        if self._encoder is not None and surely:
            try:
                recoded, offsets = self._recoded(elements, marked)
                return self._charset("\\".join(self._names)) + self._finished(cutter.cut_at(recoded, offsets, station))
            except UnicodeError:
                return self._charset(charsets.UTF_8) + self._finished(cutter.cut(elements, self._table, station))
        body = cutter.cut(elements, self._table, station)
        if not surely and not self._converter.texts(body):
            # What is not ASCII stands in members of a sequence that were not asked.
            return self._finished(body)
        if self._encoder is not None:
            try:
                return self._charset("\\".join(self._names)) + self._converter.recoded(body, self._encoder)
            except UnicodeError:
                pass
        return self._charset(charsets.UTF_8) + self._finished(body)

    def _recoded(self, elements: bytes, marked: frozenset[int]) -> tuple[bytes, Sequence[int]]:
        """The stored form with these slots in the query's character set, and where its slots lie then."""
        assert self._encoder is not None
        offsets = list(self._table.unpack_from(elements, HEAD.size))
        for number in marked:
            begin, end = offsets[number], offsets[number + 1]
            vr, tag = self._plain[number]
            text = elements[begin + ELEMENT.size : end].decode().rstrip(" ")
            made = element(tag, padded(vr, self._encoder(vr, text)))
            elements = elements[:begin] + made + elements[end:]
            grown = len(made) - (end - begin)
            offsets[number + 1 :] = [offset + grown for offset in offsets[number + 1 :]]
        return elements, offsets

    def _charset(self, names: str) -> bytes:
        value = encode_texts("CS", [names])
        return b"\x08\0\x05\0CS" + pack("<H", len(value)) + value if self._explicit else element(_CHARACTER_SET, value)


def plan(rows: RowSet, asked: Item, transfer_syntax_uid: str, *, absent_type_3: bool = False) -> Plan:
    """Prepare the answers to a query.

    rows           rows of the site
    asked          the query's identifier
    transfer_syntax_uid  Implicit or Explicit VR Little Endian
    absent_type_3  True: a type 3 attribute without a value is left out, not returned with zero length
    raises         ValueError for another transfer syntax
    source         PS3.4 K.2.2.1.2, K.4.1.1.3.2
    """
    if transfer_syntax_uid not in (ImplicitVRLittleEndian, ExplicitVRLittleEndian):
        raise ValueError("answers are made in Implicit and Explicit VR Little Endian only")
    explicit = transfer_syntax_uid == ExplicitVRLittleEndian
    return _plan(rows, shape_of(asked), charset_of(asked), explicit, absent_type_3)


@lru_cache(maxsize=KEPT_PLANS)
def _plan(rows: RowSet, asked: Shape, names: tuple[str, ...], explicit: bool, absent_type_3: bool) -> Plan:
    planner = Planner(absent_type_3)
    parts = planner.parts(rows.layout.roots, asked)
    status = PENDING_WITH_UNSUPPORTED_KEYS if planner.unsupported else PENDING
    return Plan(rows.layout, parts, names, explicit, status)


def _plain_texts(layout: Layout, parts: tuple[Part, ...]) -> Mapping[int, tuple[str, int]]:
    """VR and tag of the asked texts that stand in no sequence, by number of their slot."""
    whole = numbers_of(tuple(part for part in parts if not isinstance(part, Items)))
    slots = [layout.slots[number] for number in whole]
    return {
        slot.number: (slot.row.vr, slot.row.tag) for slot in slots if len(slot.row.levels) == 1 and slot.row.vr in TEXT
    }


def relaid(layout: Layout, elements: bytes) -> bytes:
    """A stored form that other rows made, laid out anew by its tags; what it lacks is unknown.

    raises  ValueError when it is no stored form, or of a version we do not know
    """
    if elements.startswith(layout.prefix):
        return elements
    if len(elements) < HEAD.size or not elements.startswith(layout.prefix[:4]):
        raise ValueError("not the stored form of a step")
    _, _, _, slots, marks = HEAD.unpack_from(elements)
    begin = HEAD.size + 4 * (slots + 1) + 2 * marks
    pieces: list[bytes] = []
    found_marks: list[int] = []
    _relay(layout.roots, dict(walk(elements[begin:])), pieces, found_marks)
    return assemble(layout, pieces, found_marks)


def _relay(slots: tuple[Slot, ...], found: Mapping[int, bytes], pieces: list[bytes], marks: list[int]) -> None:
    for slot in slots:
        value = found.get(slot.row.tag)
        if not value:
            pieces.append(slot.unknown)
            pieces += [b""] * (slot.end - slot.number - 1)
        elif slot.children:
            here = len(pieces)
            pieces.append(b"")
            _relay(slot.children, dict(walk(next(walk(value))[1])), pieces, marks)
            pieces[here] = opened(slot.row.tag, sum(map(len, pieces[here + 1 :])))
        else:
            pieces.append(element(slot.row.tag, value))
            if not value.isascii() and (slot.row.vr in TEXT or slot.row.vr == "SQ"):
                marks.append(slot.number)


def value_of(rows: RowSet, elements: bytes, key: str) -> Value | None:
    """One value of a stored step, for matching and display; None when it is unknown or no row has the key.

    returns  text; a list of texts for an attribute that may have several; a list of items (keyword -> value)
    """
    layout = rows.layout
    slot = layout.by_key.get(key)
    if slot is None:
        return None
    elements = relaid(layout, elements)
    offsets = layout.table.unpack_from(elements, HEAD.size)
    if slot.children:
        if offsets[slot.number + 1] - offsets[slot.number] < OPENED_BYTES:
            return None
        keys = [(child.row.keyword, value_of(rows, elements, child.row.key)) for child in slot.children]
        return [{keyword: value for keyword, value in keys if value}]
    return _decoded(slot.row, elements[offsets[slot.number] + ELEMENT.size : offsets[slot.end]])


def _decoded(row: Row, value: bytes) -> Value | None:
    if not value:
        return None
    if row.vr == "SQ":
        by_tag = {member.tag: member for member in row.members}
        return [
            {by_tag[tag].keyword: _decoded(by_tag[tag], v) for tag, v in walk(i) if tag in by_tag}
            for _, i in walk(value)
        ]
    if row.vr in BINARY:
        texts = [str(number) for number in unpack_from(BINARY[row.vr], value)]
    else:
        text = value.decode("utf-8", "replace").rstrip("\0 ")
        texts = [text] if row.vr in LONG_TEXT else text.split("\\")
    return texts if row.multi else texts[0]
