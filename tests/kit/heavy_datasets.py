"""The heaviest datasets of a size, in Implicit VR Little Endian: for readers that must bear them."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Mapping

UNDEFINED = 0xFFFFFFFF
ITEM, ITEM_END, SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
CHARACTER_SET, PATIENT_NAME, REQUESTS, PRIVATE, PROCEDURE = 0x00080005, 0x00100010, 0x00400275, 0x00091002, 0x00321060
SCHEDULED = 0x00400270
MARKS = "\u0301\u0323"
"""A mark above and one below: in the wrong order, so that normalizing sorts them."""


def element(tag: int, value: bytes, length: int | None = None) -> bytes:
    return struct.pack("<HHL", tag >> 16, tag & 0xFFFF, len(value) if length is None else length) + value


def text(tag: int, value: bytes) -> bytes:
    return element(tag, value + b" " * (len(value) % 2))


def utf_8(*elements: bytes) -> bytes:
    return text(CHARACTER_SET, b"ISO_IR 192") + b"".join(elements)


def nested(tag: int, levels: int, *, closed: bool = True) -> bytes:
    """A sequence within itself."""
    begin = element(tag, b"", UNDEFINED) + element(ITEM, b"", UNDEFINED)
    end = element(ITEM_END, b"") + element(SEQUENCE_END, b"")
    return begin * levels + (end * levels if closed else b"")


def nested_with_lengths(tag: int, levels: int) -> bytes:
    """The same, each sequence and item with its length."""
    sizes = [16 * level for level in range(levels, 0, -1)]
    return b"".join(element(tag, b"", size - 8) + element(ITEM, b"", size - 16) for size in sizes)


def items(tag: int, count: int, content: bytes = b"", *, undefined: bool = False) -> bytes:
    """A sequence of many items."""
    if not undefined:
        body = element(ITEM, content) * count
        return element(tag, body)
    one = element(ITEM, content, UNDEFINED) + element(ITEM_END, b"")
    return element(tag, one * count, UNDEFINED) + element(SEQUENCE_END, b"")


def elements(count: int, first_tag: int = 0x00090000) -> bytes:
    """Many empty elements, their tags ascending."""
    return b"".join(element(first_tag + number, b"") for number in range(count))


def marks(count: int) -> bytes:
    """A name of combining marks."""
    return utf_8(text(PATIENT_NAME, ("A" + MARKS * (count // 2)).encode()))


def escapes(count: int, tag: int = PATIENT_NAME) -> bytes:
    """A value that changes its character set with every letter."""
    return text(CHARACTER_SET, b"\\ISO 2022 IR 87\\ISO 2022 IR 144") + text(tag, b"\x1b$B=U\x1b-L\xb6" * count)


def character_sets(count: int) -> bytes:
    return text(CHARACTER_SET, b"ISO 2022 IR 87\\" * count) + text(PATIENT_NAME, b"\x1b$B=U\x1b(B")


def deflated(content: bytes) -> bytes:
    deflate = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    return deflate.compress(content) + deflate.flush()


HEAVY: Mapping[str, Callable[[int], bytes]] = {
    "nested sequences": lambda size: nested(REQUESTS, size // 32),
    "nested sequences that are not wanted": lambda size: nested(PRIVATE, size // 32),
    "nested sequences without end": lambda size: nested(REQUESTS, size // 16, closed=False),
    "nested sequences with lengths": lambda size: nested_with_lengths(REQUESTS, size // 16),
    "nested sequences of a known attribute with lengths": lambda size: nested_with_lengths(SCHEDULED, size // 16),
    "items": lambda size: items(REQUESTS, size // 8),
    "items without lengths": lambda size: items(REQUESTS, size // 16, undefined=True),
    "items that are not wanted": lambda size: items(PRIVATE, size // 16, undefined=True),
    "items of one element": lambda size: items(SCHEDULED, size // 24, text(PATIENT_NAME, b"DOE^JANE")),
    "elements": lambda size: elements(size // 8),
    "the same element": lambda size: text(PATIENT_NAME, b"") * (size // 8),
    "values": lambda size: text(PATIENT_NAME, b"\\" * size),
    "values of one letter": lambda size: text(PATIENT_NAME, b"A\\" * (size // 2)),
    "component groups": lambda size: text(PATIENT_NAME, b"=" * size),
    "components": lambda size: text(PATIENT_NAME, b"^" * size),
    "stars": lambda size: text(PATIENT_NAME, b"*" * size),
    "stars and letters": lambda size: text(PATIENT_NAME, b"*A" * (size // 2)),
    "blanks": lambda size: text(PATIENT_NAME, b" " * size + b"A"),
    "marks": lambda size: marks(size // 2),
    "escapes": lambda size: escapes(size // 9),
    "character sets": lambda size: character_sets(size // 15),
    "letters that fit no set": lambda size: text(CHARACTER_SET, b"ISO_IR 192") + text(PATIENT_NAME, b"\xff" * size),
}
"""By what they are heavy with: a dataset of about so many bytes."""
