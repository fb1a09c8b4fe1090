"""A dataset as a person reads it: one element a line, those of sequences indented; long values are cut."""

from __future__ import annotations

from collections.abc import Iterator

from pydicom.datadict import dictionary_description, dictionary_has_tag

from broker.dataset.attributes import as_text
from broker.dataset.reading import SPECIFIC_CHARACTER_SET, Item, charset_of, vr_of

NAME_CHARACTERS = 40


def lines_of(item: Item, charset: tuple[str, ...] = (), indent: str = "") -> Iterator[str]:
    """charset: of the dataset around the item, which holds where the item has none of its own (PS3.5 7.5.3)"""
    charset = charset_of(item) if SPECIFIC_CHARACTER_SET in item else charset
    for tag in sorted(item):
        value, vr = item[tag], vr_of(tag).split(" or ")[0]
        name = dictionary_description(tag) if dictionary_has_tag(tag) else "Unknown or private"
        head = f"{indent}({tag >> 16:04X},{tag & 0xFFFF:04X}) {name:<{NAME_CHARACTERS}}"
        if isinstance(value, bytes):
            yield f"{head} {vr}: {_shown(value, vr, charset)}".rstrip()
            continue
        yield f"{head} SQ: {len(value)} item{'' if len(value) == 1 else 's'}"
        for inner in value:
            yield f"{indent}   ----"
            yield from lines_of(inner, charset, indent + "   ")


def _shown(value: bytes, vr: str, charset: tuple[str, ...]) -> str:
    text = as_text(value, vr, charset)
    return text if text or not value.strip(b" \0") else f"{len(value)} bytes"
