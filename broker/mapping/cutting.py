"""Parts cut out of a stored step and joined: the one thing that is done for every answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from struct import Struct, pack
from typing import Any

from broker.mapping.encode import encode_texts, opened
from broker.mapping.layout import ELEMENT, HEAD, ITEM, OPENED_BYTES, element, walk
from broker.mapping.parts import Chosen, Filled, Items, Part, Run

KEPT_ITEMS = 1_024
"""Sequences kept as they were cut: codes come again and again."""


class Cutter:
    """Cuts the same parts out of one step after the other."""

    def __init__(self, parts: tuple[Part, ...]) -> None:
        self._parts = parts
        self._runs = _runs_of(parts)
        self._kept: dict[tuple[int, bytes], bytes] = {}

    def cut(self, elements: bytes, table: Struct, station: str | None = None) -> bytes:
        """The parts, joined. elements: stored form of a step; table: of its layout."""
        if self._runs is not None:
            ends = iter(self._runs(elements))
            # Each slice takes the next two: where a run begins, and where it ends.
            return b"".join(map(elements.__getitem__, map(slice, ends, ends)))
        return self.cut_at(elements, table.unpack_from(elements, HEAD.size), station)

    def cut_at(self, elements: bytes, offsets: Sequence[int], station: str | None = None) -> bytes:
        """The same of slots that lie elsewhere than the table of the stored form says."""
        return b"".join(self._cut(self._parts, elements, offsets, station))

    def _cut(
        self, parts: tuple[Part, ...], elements: bytes, offsets: Sequence[int], station: str | None
    ) -> list[bytes]:
        chunks: list[bytes] = []
        for part in parts:
            if type(part) is Run:
                chunks.append(elements[offsets[part.first] : offsets[part.end]])
            elif type(part) is Chosen:
                chunks += self._cut_chosen(part, elements, offsets, station)
            else:
                chunk = elements[offsets[part.number] : offsets[part.number + 1]]  # type: ignore[union-attr]
                chunks.append(self._single(part, chunk, station))
        return chunks

    def _cut_chosen(self, part: Chosen, elements: bytes, offsets: Sequence[int], station: str | None) -> list[bytes]:
        head = elements[offsets[part.number] : offsets[part.number + 1]]
        if len(head) < OPENED_BYTES:
            return [head]
        inner = self._cut(part.parts, elements, offsets, station)
        return [opened(part.tag, sum(map(len, inner))), *inner]

    def _single(self, part: Part, chunk: bytes, station: str | None) -> bytes:
        if isinstance(part, Filled):
            return element(part.tag, encode_texts("AE", [station])) if not chunk and station else chunk
        if isinstance(part, Items):
            return self._items(part, chunk)
        return chunk if len(chunk) > ELEMENT.size else b""

    def _items(self, part: Items, chunk: bytes) -> bytes:
        key = (part.number, chunk)
        found = self._kept.get(key)
        if found is None:
            found = _cut_items(part, chunk)
            if len(self._kept) >= KEPT_ITEMS:
                self._kept.clear()
            self._kept[key] = found
        return found


def _runs_of(parts: tuple[Part, ...]) -> Callable[[bytes], tuple[int, ...]] | None:
    """Reads from a stored form where each run begins and ends, and nothing else; None when not all parts are runs."""
    layout, behind = f"<{HEAD.size}x", 0
    for part in parts:
        if not isinstance(part, Run):
            return None
        for number in (part.first, part.end):
            layout += f"{4 * (number - behind)}xI"
            behind = number + 1
    return Struct(layout).unpack_from


def _cut_items(part: Items, chunk: bytes) -> bytes:
    if len(chunk) <= ELEMENT.size:
        return b"" if part.known_only else chunk
    return element(part.tag, _filtered(chunk[ELEMENT.size :], part.members))


def _filtered(items: bytes, members: Mapping[int, Any]) -> bytes:
    kept = []
    for _, item in walk(items):
        body = b"".join(
            element(tag, value if members[tag] is None else _filtered(value, members[tag]))
            for tag, value in walk(item)
            if tag in members
        )
        kept.append(ITEM + pack("<I", len(body)) + body)
    return b"".join(kept)
