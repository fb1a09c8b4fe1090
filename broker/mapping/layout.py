"""How the elements of a step lie in their stored form: for what writes it (`encode`) and what reads it (`splice`).

Stored form: head, table, marks, elements.
  head      "MWL", format version, 8 bytes that name the layout, number of slots, number of marks
  table     where each slot begins, and where the last one ends: 32-bit offsets from the first byte
  marks     16-bit numbers of the slots whose text is not pure ASCII; none: the whole step is
  elements  Implicit VR Little Endian, UTF-8, ascending tags, explicit lengths, slot after slot

A slot is one attribute, complete with its tag and length, so that neighbours are copied in one slice. A sequence that
rows stand in has a slot for its own head (and that of its one item) followed by the slots of its members: a sequence
with all its members is one slice too. A sequence whose items a transform made is one slot. An unknown value is a slot
of zero length in the element (types 2, 2C and 3) or no bytes at all (types 1 and 1C).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import accumulate, pairwise
from struct import Struct, pack, unpack_from

from broker.mapping.row import Row

VERSION = 1
HEAD = Struct("<3sB8sHH")
MAGIC = b"MWL"
ELEMENT = Struct("<HHI")
"""Tag and length of an element in Implicit VR."""
ITEM = b"\xfe\xff\x00\xe0"
BINARY = {"US": "<H", "SS": "<h", "UL": "<I", "SL": "<i", "FL": "<f", "FD": "<d"}
"""Representations whose values are numbers, and how one is packed."""
OPENED_BYTES = 2 * ELEMENT.size
"""Bytes of a slot that holds the heads of a sequence and of its item: the sequence is not empty."""


@dataclass(frozen=True, slots=True)
class Slot:
    """One place of the table.

    end       number of the slot after this one and everything in it
    children  of a sequence that rows stand in: its members, ascending
    above     numbers of the sequences that it stands in, from the root
    unknown   what stands for a value that is not known
    is_text   a value is one text, not a number nor a sequence
    padding   makes the length of a text even
    """

    row: Row
    number: int
    end: int
    children: tuple[Slot, ...]
    above: tuple[int, ...]
    tag_bytes: bytes = field(init=False)
    unknown: bytes = field(init=False)
    is_text: bool = field(init=False)
    padding: bytes = field(init=False)

    def __post_init__(self) -> None:
        # Computed once: they are asked for with every step.
        object.__setattr__(self, "tag_bytes", tag_bytes(self.row.tag))
        object.__setattr__(self, "unknown", b"" if self.row.returns in ("1", "1C") else element(self.row.tag, b""))
        object.__setattr__(self, "is_text", self.row.vr != "SQ" and self.row.vr not in BINARY)
        object.__setattr__(self, "padding", padding_of(self.row.vr))


class Layout:
    """The slots of a profile's rows, in the order of their tags.

    sequences  those that rows stand in, inner ones first
    """

    def __init__(self, attributes: Mapping[tuple[int, ...], Row]) -> None:
        """attributes  everything that can be returned, by place (`RowSet.by_levels`)."""
        self._attributes = attributes
        self.roots = self._slots((), 0, ())
        self.slots: tuple[Slot, ...] = tuple(_flat(self.roots))
        self.by_key = {slot.row.key: slot for slot in self.slots}
        self.unknown = [slot.unknown for slot in self.slots]
        self.sequences = [slot for slot in reversed(self.slots) if slot.children]
        self.table = Struct(f"<{len(self.slots) + 1}I")
        shape = ";".join(f"{slot.row.levels}{slot.row.vr}{slot.row.returns}" for slot in self.slots)
        self.digest = sha256(shape.encode()).digest()[:8]
        self.prefix = MAGIC + bytes([VERSION]) + self.digest

    def _slots(self, above: tuple[int, ...], number: int, inside: tuple[int, ...]) -> tuple[Slot, ...]:
        found = []
        here = [
            r for levels, r in self._attributes.items() if levels[:-1] == above and not self._made_by_transform(above)
        ]
        for row in sorted(here, key=lambda row: row.tag):
            children = self._slots(row.levels, number + 1, (*inside, number))
            end = children[-1].end if children else number + 1
            found.append(Slot(row, number, end, children, inside))
            number = end
        return tuple(found)

    def _made_by_transform(self, levels: tuple[int, ...]) -> bool:
        return bool(levels) and bool(self._attributes[levels].members)


def assemble(layout: Layout, pieces: Sequence[bytes], marks: Sequence[int]) -> bytes:
    """Join the bytes of all slots, in order, to the stored form. marks: numbers of the slots that are not ASCII."""
    begin = HEAD.size + layout.table.size + 2 * len(marks)
    offsets = accumulate(map(len, pieces), initial=begin)
    head = HEAD.pack(MAGIC, VERSION, layout.digest, len(pieces), len(marks))
    return b"".join((head, layout.table.pack(*offsets), pack(f"<{len(marks)}H", *marks), *pieces))


def cut(layout: Layout, elements: bytes) -> list[bytes]:
    """The bytes of all slots: what `assemble` joined."""
    return [elements[begin:end] for begin, end in pairwise(layout.table.unpack_from(elements, HEAD.size))]


def marks_of(elements: bytes, table: Struct) -> tuple[int, ...]:
    """Numbers of the slots that are not ASCII."""
    count = int.from_bytes(elements[HEAD.size - 2 : HEAD.size], "little")
    return unpack_from(f"<{count}H", elements, HEAD.size + table.size)


def padding_of(vr: str) -> bytes:
    """What makes a value's length even: a UID gets a null, other text a space (PS3.5 6.2)."""
    return b"\0" if vr == "UI" else b" "


def tag_bytes(tag: int) -> bytes:
    """A tag as it stands in a little endian dataset."""
    return (tag >> 16).to_bytes(2, "little") + (tag & 0xFFFF).to_bytes(2, "little")


def element(tag: int, value: bytes) -> bytes:
    """An element in Implicit VR Little Endian."""
    return ELEMENT.pack(tag >> 16, tag & 0xFFFF, len(value)) + value


def walk(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Tags and values of an implicit dataset as `encode` writes it: explicit lengths only."""
    at = 0
    while at < len(data):
        group, number, length = ELEMENT.unpack_from(data, at)
        at += ELEMENT.size
        yield group << 16 | number, data[at : at + length]
        at += length


def _flat(slots: Iterable[Slot]) -> Iterator[Slot]:
    for slot in slots:
        yield slot
        yield from _flat(slot.children)
