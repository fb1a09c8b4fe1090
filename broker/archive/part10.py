"""The frame of a Part 10 file (PS3.10 7.1): written before a dataset, read back from a file, checked for its end."""

from __future__ import annotations

import errno
import os
import stat
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

from pydicom.dataset import FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_file_meta_info
from pydicom.uid import UID, ExplicitVRBigEndian

from broker.dataset.reading import LONG_VRS, UNDEFINED
from broker.errors import UnreadableDataset

IMPLEMENTATION_CLASS_UID = "2.25.163592630451311935738385319230825097890"
IMPLEMENTATION_VERSION = "MWL-BROKER"

PREFIX = b"DICM\x02\x00\x00\x00UL\x04\x00"
"""What follows the 128 bytes of the preamble: the group length comes first (PS3.10 7.1)."""
MOST_META_BYTES = 64 * 1024
CHUNK_BYTES = 1 << 20
MOST_UNFOLDED_BYTES = 1 << 28
"""Of a deflated dataset: one that is longer is taken to be whole."""

SOP_CLASS, SOP_INSTANCE, TRANSFER_SYNTAX, SOURCE_AE_TITLE = 0x00020002, 0x00020003, 0x00020010, 0x00020016

DEFLATED = frozenset({"1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.4.95", "1.2.840.10008.1.2.4.205"})
"""Deflated Explicit VR Little Endian, and the deflated syntaxes of JPIP (PS3.5 A.5, A.8)."""
DELIMITERS = 0xFFFE
ITEM, ITEM_END, SEQUENCE_END = 0xE000, 0xE00D, 0xE0DD
Order = Literal["little", "big"]


@dataclass(frozen=True, slots=True)
class FileMeta:
    """What the File Meta Information says (PS3.10 7.1). peer: calling AE title."""

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    peer: str


def head_of(meta: FileMeta) -> bytes:
    """128 zero bytes, DICM and the File Meta Information (PS3.10 7.1)."""
    info = FileMetaDataset()
    info.FileMetaInformationVersion = b"\x00\x01"
    info.MediaStorageSOPClassUID = UID(meta.sop_class_uid)
    info.MediaStorageSOPInstanceUID = UID(meta.sop_instance_uid)
    info.TransferSyntaxUID = UID(meta.transfer_syntax_uid)
    info.ImplementationClassUID = UID(IMPLEMENTATION_CLASS_UID)
    info.ImplementationVersionName = IMPLEMENTATION_VERSION
    if meta.peer:
        # Titles are ASCII (PS3.10 7.1, PS3.5 6.2), but nothing keeps a peer from calling itself something else.
        info.SourceApplicationEntityTitle = meta.peer.encode("ascii", "replace").decode()
    out = DicomBytesIO()
    out.write(bytes(128) + b"DICM")
    write_file_meta_info(out, info)
    return out.getvalue()


def open_object(file: Path) -> BinaryIO:
    """Open an object file, unbuffered: never a link, which leads out of the folder, nor a pipe, which keeps us waiting.

    raises  OSError
    """
    descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is no regular file")
    return open(descriptor, "rb", buffering=0)


def read_head(file: Path) -> tuple[FileMeta, int]:
    """What a file says of its dataset, and where that begins.

    raises  UnreadableDataset when it is not a Part 10 file; OSError
    """
    with open_object(file) as stream:
        start = stream.read(144)
        length = int.from_bytes(start[140:], "little")
        if start[128:140] != PREFIX or len(start) < 144 or length > MOST_META_BYTES:
            raise UnreadableDataset("not a Part 10 file")
        raw = stream.read(length)
    if len(raw) < length:
        raise UnreadableDataset("the file is cut short")
    said = dict(_meta_elements(raw))
    texts = (
        said.get(tag, b"").decode("ascii", "replace").strip("\0 ")
        for tag in (SOP_CLASS, SOP_INSTANCE, TRANSFER_SYNTAX, SOURCE_AE_TITLE)
    )
    return FileMeta(*texts), 144 + length


def _meta_elements(raw: bytes) -> Iterator[tuple[int, bytes]]:
    """Tags and values of File Meta Information, which is always in Explicit VR Little Endian."""
    at = 0
    while at + 8 <= len(raw):
        long = raw[at + 4 : at + 6] in LONG_VRS
        begin = at + (12 if long else 8)
        length = int.from_bytes(raw[begin - 4 : begin] if long else raw[begin - 2 : begin], "little")
        yield _tag(raw, at), raw[begin : begin + length]
        at = begin + length


def _tag(raw: bytes, at: int) -> int:
    return int.from_bytes(raw[at : at + 2], "little") << 16 | int.from_bytes(raw[at + 2 : at + 4], "little")


def is_whole(file: Path, offset: int, transfer_syntax_uid: str) -> bool:
    """False when the dataset that begins at `offset` ends in the middle of an element, so that bytes are missing.

    Values are stepped over, not read; the time grows with the number of elements. raises OSError
    """
    with open_object(file) as stream:
        if transfer_syntax_uid in DEFLATED:
            return _stream_ends(stream.fileno(), offset)
        order: Order = "big" if transfer_syntax_uid == ExplicitVRBigEndian else "little"
        return _elements_end(stream.fileno(), offset, order)


def _elements_end(descriptor: int, at: int, order: Order) -> bool:
    """Step from element to element; `open_ones` holds, for each sequence or item of undefined length, whether the
    elements in it have implicit VRs. The encoding is taken from the bytes: what the sender announced may be wrong."""
    size = os.fstat(descriptor).st_size
    head = os.pread(descriptor, 12, at)
    implicit = not _names_vr(head)
    open_ones: list[bool] = []
    while at < size:
        head = os.pread(descriptor, 12, at)
        if len(head) < 8:
            return False
        element = int.from_bytes(head[2:4], order)
        if int.from_bytes(head[:2], order) == DELIMITERS:
            at, length = at + 8, int.from_bytes(head[4:8], order)
            if element in (ITEM_END, SEQUENCE_END) and open_ones:
                implicit = open_ones.pop()
        else:
            at, length = _value(head, at, implicit, order)
        if length == UNDEFINED:
            open_ones.append(implicit)
            # A value of unknown VR and undefined length holds elements with implicit VRs (PS3.5 6.2.2).
            implicit = implicit or head[4:6] == b"UN"
        else:
            at += length
    return at == size and not open_ones


def _value(head: bytes, at: int, implicit: bool, order: Order) -> tuple[int, int]:
    """Where the value of an element begins, and its length."""
    if implicit:
        return at + 8, int.from_bytes(head[4:8], order)
    if head[4:6] in LONG_VRS:
        return at + 12, int.from_bytes(head[8:12], order)
    return at + 8, int.from_bytes(head[6:8], order)


def _names_vr(head: bytes) -> bool:
    return head[4:6].isalpha() and head[4:6].isupper()


def _stream_ends(descriptor: int, at: int) -> bool:
    inflater, unfolded, rest = zlib.decompressobj(-zlib.MAX_WBITS), 0, b""
    while not inflater.eof and unfolded < MOST_UNFOLDED_BYTES:
        rest = rest or os.pread(descriptor, CHUNK_BYTES, at)
        at += 0 if inflater.unconsumed_tail else len(rest)
        try:
            made = inflater.decompress(rest, CHUNK_BYTES)
        except zlib.error:
            return False
        if not rest and not made:
            return False
        unfolded += len(made)
        rest = inflater.unconsumed_tail
    return True
