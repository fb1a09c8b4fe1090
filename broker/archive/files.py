"""Object files: each becomes visible only when it is whole and on disk, and its path never comes from a peer.

A file is written as `.part`, synced, renamed, and its folder synced. What lies where is a row of the database: a file
without a row was never acknowledged, and the start sweeps it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO

from pydicom.dataset import FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_file_meta_info
from pydicom.uid import UID

from broker.errors import StorageFull

CHUNK_BYTES = 1 << 20
FOLDER = "objects"
STORE = "files"
"""Name of this store in the rows that say where an object lies."""

IMPLEMENTATION_CLASS_UID = "2.25.163592630451311935738385319230825097890"
IMPLEMENTATION_VERSION = "MWL-BROKER"
SWEEP_AT_ONCE = 500
MOST_ORPHANS = 1_000
"""Files without a row that a kill can leave are those in hand; more of them are an archive whose rows are lost."""


@dataclass(frozen=True, slots=True)
class FileMeta:
    """What the File Meta Information says (PS3.10 7.1). peer: calling AE title."""

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    peer: str


@dataclass(frozen=True, slots=True)
class WrittenObject:
    """A file that is whole and on disk.

    number          of the file, which becomes the id of its row
    path            relative to the data folder, with slashes
    length          of the whole file, in bytes
    dataset_offset  where the dataset begins in it
    digest          SHA-256 of the dataset as received
    """

    number: int
    path: str
    length: int
    dataset_offset: int
    digest: str


@dataclass(frozen=True, slots=True)
class Swept:
    """What the start found.

    parts, orphans  half files and files without a row, removed
    kept            files without a row that were left: too many to be a kill's
    """

    parts: int = 0
    orphans: int = 0
    kept: int = 0


class ObjectFiles:
    """The object files of one data folder."""

    def __init__(self, data: Path) -> None:
        self._data = data

    def full_path(self, path: str) -> Path:
        return self._data / path

    def write(self, number: int, day: date, meta: FileMeta, dataset: BinaryIO) -> WrittenObject:
        """Write a dataset as a Part 10 file, byte for byte as it came, in chunks.

        number   from a block, never used before; the id of the row to come
        dataset  read once, to its end
        raises   StorageFull when there is no room or no permission; nothing is left behind
        """
        path = f"{FOLDER}/{day:%y/%m/%d}/{number}.dcm"
        final = self._data / path
        part = final.with_name(final.name + ".part")
        try:
            _make_folder(final.parent, self._data)
            offset, length, digest = _write(part, _preamble(meta), dataset)
            if final.exists():
                raise FileExistsError(path)
            part.rename(final)
            _sync_folder(final.parent)
        except OSError as error:
            _unlink(part)
            raise StorageFull("the object cannot be kept", errno=error.errno, path=path) from error
        except BaseException:
            _unlink(part)
            raise
        return WrittenObject(number, path, length, offset, digest)

    def remove(self, path: str) -> None:
        """Remove a file that has no row; one that is gone already is fine."""
        _unlink(self._data / path)

    def sweep(self, known: Callable[[Mapping[int, str]], set[str]], started_at: float) -> Swept:
        """Remove what a kill left: `.part` files and files without a row, only older than the start.

        The caller holds the locks that keep other writers of this folder away.

        known       relative paths by file number -> those that have a row
        started_at  seconds since the epoch; younger files are left alone
        """
        parts, wholes = 0, []
        for file in self._older(started_at):
            if file.name.endswith(".part"):
                parts += _unlink(file)
            else:
                wholes.append(file)
        orphans: list[Path] = []
        for at in range(0, len(wholes), SWEEP_AT_ONCE):
            some = wholes[at : at + SWEEP_AT_ONCE]
            held = known({int(file.name.removesuffix(".dcm")): self._relative(file) for file in some})
            orphans += [file for file in some if self._relative(file) not in held]
        if len(orphans) > MOST_ORPHANS:
            return Swept(parts, 0, len(orphans))
        return Swept(parts, sum(map(_unlink, orphans)))

    def _relative(self, file: Path) -> str:
        return file.relative_to(self._data).as_posix()

    def _older(self, started_at: float) -> Iterator[Path]:
        """Files that bear a name of ours, by folder; anything else in the folder is not ours to remove."""
        for folder, _, names in os.walk(self._data / FOLDER):
            for name in names:
                if _OURS.fullmatch(name) and Path(folder, name).stat().st_mtime < started_at:
                    yield Path(folder, name)


_OURS = re.compile(r"[1-9][0-9]{0,18}\.dcm(\.part)?")


def _preamble(meta: FileMeta) -> bytes:
    """128 zero bytes, DICM and the File Meta Information (PS3.10 7.1)."""
    info = FileMetaDataset()
    info.FileMetaInformationVersion = b"\x00\x01"
    info.MediaStorageSOPClassUID = UID(meta.sop_class_uid)
    info.MediaStorageSOPInstanceUID = UID(meta.sop_instance_uid)
    info.TransferSyntaxUID = UID(meta.transfer_syntax_uid)
    info.ImplementationClassUID = UID(IMPLEMENTATION_CLASS_UID)
    info.ImplementationVersionName = IMPLEMENTATION_VERSION
    if meta.peer:
        info.SourceApplicationEntityTitle = meta.peer
    out = DicomBytesIO()
    out.write(bytes(128) + b"DICM")
    write_file_meta_info(out, info)
    return out.getvalue()


def _write(part: Path, head: bytes, dataset: BinaryIO) -> tuple[int, int, str]:
    """Returns the dataset's offset, the file's length and the dataset's digest; the bytes are on disk."""
    digest, length = sha256(), len(head)
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "wb", buffering=0) as out:
        _write_all(out.fileno(), head)
        while chunk := dataset.read(CHUNK_BYTES):
            digest.update(chunk)
            _write_all(out.fileno(), chunk)
            length += len(chunk)
        os.fsync(out.fileno())
    return len(head), length, digest.hexdigest()


def _write_all(descriptor: int, chunk: bytes) -> None:
    view = memoryview(chunk)
    while view:
        view = view[os.write(descriptor, view) :]


def _make_folder(folder: Path, top: Path) -> None:
    """Make a folder and its parents below `top`; each new one is synced into its parent."""
    missing = []
    while folder != top and not folder.is_dir():
        missing.append(folder)
        folder = folder.parent
    for new in reversed(missing):
        new.mkdir(mode=0o700, exist_ok=True)
        _sync_folder(new.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _unlink(file: Path) -> int:
    """1 when the file was removed, 0 when it was not there or could not be removed."""
    with suppress(OSError):
        file.unlink()
        return 1
    return 0
