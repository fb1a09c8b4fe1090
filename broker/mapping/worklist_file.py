"""A worklist file in whatever form it comes, to its dataset: Part 10, bare dataset with or without meta header, dump.

Nothing is told from the file's name. What holds no scheduled procedure step is refused with the reason.
"""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass
from io import BytesIO

from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset as pydicom_read
from pydicom.sequence import Sequence
from pydicom.tag import Tag
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from broker.dataset.reading import read_dataset
from broker.errors import UnreadableDataset
from broker.mapping.dump_text import encode_dump, looks_like_dump

MOST_BYTES = 4_194_304
"""Longest worklist file, and longest dataset that a deflated one may grow to."""
MOST_STEPS = 100
"""Items of one file's Scheduled Procedure Step Sequence."""

_PREAMBLE_BYTES = 128
_META_GROUP = 0x0002
_STEPS = Tag("ScheduledProcedureStepSequence")
_SOP_CLASS = Tag("SOPClassUID")
_EXPLICIT = re.compile(rb"[A-Z]{2}")


class NoWorklistItem(UnreadableDataset):
    """A file that is whole, or no DICOM at all, and holds no worklist item: it may lie there with good reason."""


@dataclass(frozen=True, slots=True)
class WorklistFile:
    """dataset: values are converted when asked for; notes: what was left out while reading, in words."""

    dataset: Dataset
    steps: tuple[Dataset, ...]
    notes: tuple[str, ...] = ()


def read_file(raw: bytes) -> WorklistFile:
    """Read a worklist file.

    raises  NoWorklistItem when it is something else; UnreadableDataset when it is broken
    """
    notes: tuple[str, ...] = ()
    if not raw:
        raise NoWorklistItem("the file is empty")
    if len(raw) > MOST_BYTES:
        raise NoWorklistItem("the file is too long for a worklist item")
    if looks_like_dump(raw):
        encoded, notes = encode_dump(raw)
        dataset = read_dataset(encoded, ExplicitVRLittleEndian)
    else:
        dataset = _read_encoded(raw)
    return WorklistFile(dataset, _steps(dataset), notes)


def lines_of(raw: bytes) -> list[str]:
    """The elements of a worklist file as a person reads them; a remark when it cannot be read."""
    try:
        return str(read_file(raw).dataset).splitlines()
    except UnreadableDataset as error:
        return [error.text]
    except Exception:
        return ["a value of the file cannot be read"]


def _read_encoded(raw: bytes) -> Dataset:
    begin = _PREAMBLE_BYTES + 4 if raw[_PREAMBLE_BYTES : _PREAMBLE_BYTES + 4] == b"DICM" else 0
    syntax, at = _meta_header(raw, begin)
    encoded = raw[at:]
    if syntax == DeflatedExplicitVRLittleEndian:
        return read_dataset(_inflated(encoded), ExplicitVRLittleEndian)
    if not syntax:
        syntax = _guessed(encoded)
    if syntax == ExplicitVRBigEndian:
        return _read_big_endian(encoded)
    # Every other transfer syntax than these encodes the dataset itself in Explicit VR Little Endian (PS3.5 A.4).
    return read_dataset(encoded, syntax if syntax == ImplicitVRLittleEndian else ExplicitVRLittleEndian)


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
        raise UnreadableDataset("the deflated dataset is too long, or has no end")
    return plain


def _read_big_endian(encoded: bytes) -> Dataset:
    try:
        return pydicom_read(BytesIO(encoded), False, False)
    except Exception:
        # Whatever it was, it is the file's; the library's text may quote values.
        raise UnreadableDataset("the dataset cannot be read") from None


def _steps(dataset: Dataset) -> tuple[Dataset, ...]:
    """Items of Scheduled Procedure Step Sequence; raises NoWorklistItem when there is none."""
    if _STEPS not in dataset:
        known = "an object of another kind" if _SOP_CLASS in dataset else "no Scheduled Procedure Step Sequence"
        raise NoWorklistItem(f"no worklist item: {known}")
    try:
        items = dataset[_STEPS].value
    except Exception:
        raise UnreadableDataset("the Scheduled Procedure Step Sequence cannot be read") from None
    if not isinstance(items, Sequence) or not items:
        raise NoWorklistItem("no worklist item: the Scheduled Procedure Step Sequence is empty")
    if len(items) > MOST_STEPS:
        raise UnreadableDataset(f"more than {MOST_STEPS} scheduled procedure steps in one file")
    return tuple(items)
