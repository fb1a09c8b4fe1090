"""A text that grows by many small pieces, and costs no more than the text."""

from __future__ import annotations

MOST_PIECES = 1_000
"""Pieces that are kept before they are joined: a string for each letter takes fifty times the bytes of the letter."""


class GrowingText:
    """Pieces in order; text() is all of them."""

    __slots__ = ("_joined", "_pieces")

    def __init__(self) -> None:
        self._joined: list[str] = []
        self._pieces: list[str] = []

    def write(self, piece: str) -> None:
        self._pieces.append(piece)
        if len(self._pieces) == MOST_PIECES:
            self._joined.append("".join(self._pieces))
            self._pieces.clear()

    def text(self) -> str:
        return "".join([*self._joined, *self._pieces])
