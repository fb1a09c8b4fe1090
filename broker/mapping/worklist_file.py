"""A worklist file in whatever form it comes, to its dataset: Part 10, bare dataset with or without meta header, dump.

Nothing is told from the file's name. What holds no scheduled procedure step is refused with the reason.
"""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass

from pydicom.tag import Tag
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from broker.dataset import shown
from broker.dataset.reading import Item, read_identifier
from broker.errors import BeyondBounds, UnreadableDataset
from broker.mapping.dump_text import encode_dump, looks_like_dump

MOST_BYTES = 4_194_304
"""Longest worklist file, and longest dataset that a deflated one may grow to."""
MOST_STEPS = 100
"""Items of one file's Scheduled Procedure Step Sequence."""

_PREAMBLE_BYTES = 128
_META_GROUP = 0x0002
_STEPS, _SOP_CLASS = int(Tag("ScheduledProcedureStepSequence")), int(Tag("SOPClassUID"))
_EXPLICIT = re.compile(rb"[A-Z]{2}")


class NoWorklistItem(UnreadableDataset):
    """A file that is whole, or no DICOM at all, and holds no worklist item: it may lie there with good reason."""


@dataclass(frozen=True, slots=True)
class WorklistFile:
    """dataset: values as encoded; notes: what was left out while reading, in words."""

    dataset: Item
    steps: tuple[Item, ...]
    notes: tuple[str, ...] = ()
    big_endian: bool = False


def read_file(raw: bytes) -> WorklistFile:
    """Read a worklist file.

    raises  NoWorklistItem when it is something else; UnreadableDataset when it is broken; BeyondBounds
    """
    if not raw:
        raise NoWorklistItem("the file is empty")
    if len(raw) > MOST_BYTES:
        raise NoWorklistItem("the file is too long for a worklist item")
    if looks_like_dump(raw):
        encoded, notes = encode_dump(raw)
        dataset = read_identifier(encoded, ExplicitVRLittleEndian)
        return WorklistFile(dataset, _steps(dataset), notes)
    encoded, syntax = _encoded(raw)
    dataset = read_identifier(encoded, syntax)
    return WorklistFile(dataset, _steps(dataset), big_endian=syntax == ExplicitVRBigEndian)


def lines_of(raw: bytes) -> list[str]:
    """The elements of a worklist file as a person reads them; a remark when it cannot be read."""
    try:
        return list(shown.lines_of(read_file(raw).dataset))
    except UnreadableDataset as error:
        return [error.text]


def _encoded(raw: bytes) -> tuple[bytes, str]:
    """The dataset of a file that is not a dump, and the transfer syntax to read it in."""
    begin = _PREAMBLE_BYTES + 4 if raw[_PREAMBLE_BYTES : _PREAMBLE_BYTES + 4] == b"DICM" else 0
    syntax, at = _meta_header(raw, begin)
    encoded = raw[at:]
    if syntax == DeflatedExplicitVRLittleEndian:
        return _inflated(encoded), ExplicitVRLittleEndian
    if not syntax:
        syntax = _guessed(encoded)
    # Every other transfer syntax than these encodes the dataset itself in Explicit VR Little Endian (PS3.5 A.4).
    return encoded, syntax if syntax in (ImplicitVRLittleEndian, ExplicitVRBigEndian) else ExplicitVRLittleEndian


def _meta_header(raw: bytes, begin: int) -> tuple[str, int]:
    """Transfer Syntax UID ("" when nothing says it) and where the dataset begins; PS3.10 7.1: Explicit VR LE."""
    at, syntax = begin, ""
    while int.from_bytes(raw[at : at + 2], "little") == _META_GROUP:
        vr = raw[at + 4 : at + 6]
        long = vr in (b"OB", b"OW", b"UN", b"UT", b"UC", b"UR", b"SQ")
        start = at + (12 if long else 8)
        length = int.from_bytes(raw[at + 8 : at + 12] if long else raw[at + 6 : at + 8], "little")
        if not _EXPLICIT.fullmatch(vr) or start + length > len(raw):
            raise UnreadableDataset("the meta header cannot be read")
        if raw[at + 2 : at + 4] == b"\x10\0":
            syntax = raw[start : start + length].decode("ascii", "replace").strip(" \0")
        at = start + length
    return syntax, at


def _guessed(encoded: bytes) -> str:
    """The encoding of a dataset that no header speaks of, from its first element."""
    group = encoded[:2]
    explicit = _EXPLICIT.fullmatch(encoded[4:6]) is not None
    if len(encoded) < 8 or not 0x0008 <= min(_group(group, "little"), _group(group, "big")) <= 0x0040:
        raise NoWorklistItem("neither a DICOM file nor a dump of one")
    if explicit:
        big = _group(group, "big") < _group(group, "little")
        return ExplicitVRBigEndian if big else ExplicitVRLittleEndian
    return ImplicitVRLittleEndian


def _group(two_bytes: bytes, order: str) -> int:
    return int.from_bytes(two_bytes, "big" if order == "big" else "little")


def _inflated(encoded: bytes) -> bytes:
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        plain = inflater.decompress(encoded, MOST_BYTES)
    except zlib.error:
        raise UnreadableDataset("the deflated dataset cannot be read") from None
    if inflater.unconsumed_tail or not inflater.eof:
        raise BeyondBounds("the deflated dataset is too long, or has no end")
    return plain


def _steps(dataset: Item) -> tuple[Item, ...]:
    """Items of Scheduled Procedure Step Sequence; raises NoWorklistItem when there is none."""
    if _STEPS not in dataset:
        known = "an object of another kind" if _SOP_CLASS in dataset else "no Scheduled Procedure Step Sequence"
        raise NoWorklistItem(f"no worklist item: {known}")
    items = dataset[_STEPS]
    if isinstance(items, bytes) or not items:
        raise NoWorklistItem("no worklist item: the Scheduled Procedure Step Sequence is empty")
    if len(items) > MOST_STEPS:
        raise BeyondBounds(f"more than {MOST_STEPS} scheduled procedure steps in one file")
    return items
