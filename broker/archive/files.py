"""Object files: each becomes visible only when it is whole and on disk, and its path never comes from a peer.

A file is written as `.part`, synced, renamed, and its folder synced. Where an object is kept is a row of the database.
A file without a row may be all that is left of an image that was acknowledged (the database may be a restored one): a
start removes `.part` files only, and `workflow/recover_objects` takes the others in again.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from hashlib import sha256
from itertools import count
from pathlib import Path
from typing import BinaryIO

from broker.archive.part10 import FileMeta, head_of, is_whole, open_object, read_head
from broker.errors import BrokerError, StorageFull, UnreadableDataset
from broker.owner_only import FILE_MODE, FOLDER_MODE
from broker.whole_file import sync_folder, write_all

CHUNK_BYTES = 1 << 20
FOLDER = "objects"
UNCLAIMED = "unclaimed"
"""Beside the objects: files from there that no image can be made of, for a person to look at."""
AT_ONCE = 500
"""Files that are looked up together."""
STORE = "files"
"""Name of the store in rows of versions that knew one folder only."""


class NumberTaken(BrokerError):
    """There is a file with this number already; nothing was read or written."""


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
class FoundObject:
    """A whole object file that was found in the folder. kept_at: when the file was written last."""

    meta: FileMeta
    written: WrittenObject
    kept_at: datetime


class ObjectFiles:
    """The object files of one data folder.

    store  name of this folder in rows; several folders may belong to one database
    """

    def __init__(self, data: Path, store: str = STORE) -> None:
        self._data = data
        self._top = _place_of(data / FOLDER)
        self.store = store

    def in_place(self) -> bool:
        """False when the folder of the objects was moved, replaced or unmounted since it was first seen: what is
        written then would be hidden, or removed, once the right one is back."""
        return self._top in (None, _place_of(self._data / FOLDER))

    def is_here(self, store: str) -> bool:
        """Whether rows with this store name files of this folder."""
        return store in (self.store, STORE)

    def full_path(self, path: str) -> Path:
        return self._data / path

    def write(self, number: int, day: date, meta: FileMeta, dataset: BinaryIO) -> WrittenObject:
        """Write a dataset as a Part 10 file, byte for byte as it came, in chunks.

        number   from a block, never used before; the id of the row to come
        dataset  read once, to its end
        raises   NumberTaken before anything is read; StorageFull when there is no room or no permission; nothing is
                 left behind
        """
        path = f"{FOLDER}/{day:%y/%m/%d}/{number}.dcm"
        final = self._data / path
        part = final.with_name(final.name + ".part")
        descriptor = self._begin(part, final, path)
        try:
            offset, length, digest = _write(descriptor, head_of(meta), dataset)
            part.rename(final)
            sync_folder(final.parent)
        except OSError as error:
            _unlink(part)
            raise _no_room(error, path) from error
        except BaseException:
            _unlink(part)
            raise
        self._require_place()
        return WrittenObject(number, path, length, offset, digest)

    def _require_place(self) -> None:
        if not self.in_place():
            raise StorageFull("the folder of the objects is not the one that was open", path=FOLDER)

    def _begin(self, part: Path, final: Path, path: str) -> int:
        """Open the new part file. While it exists, no other writer can take the final name."""
        self._require_place()
        try:
            _make_folder(final.parent, self._data)
            self._top = self._top or _place_of(self._data / FOLDER)
            try:
                descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE)
            except FileExistsError:
                raise NumberTaken("there is an object with this number", path=path) from None
        except OSError as error:
            raise _no_room(error, path) from error
        if final.exists():
            os.close(descriptor)
            _unlink(part)
            raise NumberTaken("there is an object with this number", path=path)
        return descriptor

    def remove(self, path: str) -> None:
        """Remove a file that has no row; one that is gone already is fine."""
        _unlink(self._data / path)

    def has(self, path: str, length: int) -> bool:
        """Whether there is a file of this length."""
        try:
            return (self._data / path).stat().st_size == length
        except OSError:
            return False

    def clear_parts(self) -> tuple[int, int]:
        """Remove what was not finished, and make the folder of the objects where there is none.

        The caller holds the data folder, so no other process is writing.

        returns  how many were removed, and the highest number of whole files that we named, 0 without any
        """
        parts = highest = 0
        with suppress(OSError):  # the first object tries again
            _make_folder(self._data / FOLDER, self._data)
        for folder, _, names in os.walk(self._data / FOLDER):
            for name in names:
                if not (match := _OURS.fullmatch(name)):
                    continue
                if match[2]:
                    parts += _unlink(Path(folder, name))
                elif (number := int(match[1])) < FOREIGN:
                    highest = max(highest, number)
        return parts, highest

    def whole(self, below: int) -> Iterator[dict[int, str]]:
        """Paths of the whole files with a lower number than `below`, or one that we never give, by number, some at a
        time, folder by folder."""
        for folder, folders, names in os.walk(self._data / FOLDER):
            folders.sort()
            relative = Path(folder).relative_to(self._data).as_posix()
            all_of_them = (int(match[1]) for match in map(_OURS.fullmatch, names) if match and not match[2])
            numbers = sorted(number for number in all_of_them if number < below or number >= FOREIGN)
            for at in range(0, len(numbers), AT_ONCE):
                yield {number: f"{relative}/{number}.dcm" for number in numbers[at : at + AT_ONCE]}

    def look(self, number: int, path: str) -> FoundObject:
        """Read what a found file says of itself, and the digest of its dataset; then it is on disk, as a new one is.

        raises  UnreadableDataset when it is not a whole Part 10 file; OSError
        """
        file = self._data / path
        meta, offset = read_head(file)
        if not is_whole(file, offset, meta.transfer_syntax_uid):
            raise UnreadableDataset("the file is cut short")
        with open_object(file) as stream:
            kept = os.fstat(stream.fileno())
            stream.seek(offset)
            digest = sha256()
            while chunk := stream.read(CHUNK_BYTES):
                digest.update(chunk)
            os.fsync(stream.fileno())
        sync_folder(file.parent)
        written = WrittenObject(number, path, kept.st_size, offset, digest.hexdigest())
        return FoundObject(meta, written, datetime.fromtimestamp(kept.st_mtime, UTC))

    def same_dataset(self, one: str, other: str) -> bool:
        """Whether two files hold the same dataset, byte for byte; False when one of them cannot be read."""
        try:
            return _same(*((self._data / path, read_head(self._data / path)[1]) for path in (one, other)))
        except (OSError, UnreadableDataset):
            return False

    def renumber(self, path: str, number: int) -> str:
        """Give a file a number that no file and no row has; returns its new path. raises OSError"""
        file = self._data / path
        file.rename(file.with_name(f"{number}.dcm"))
        sync_folder(file.parent)
        return f"{path.rpartition('/')[0]}/{number}.dcm"

    def set_aside(self, path: str) -> str:
        """Move a file to the unclaimed ones, below its date, and overwrite nothing; returns its new path.

        raises  OSError
        """
        file = self._data / path
        wanted = UNCLAIMED + path.removeprefix(FOLDER)
        free = next(name for name in _names(wanted) if not os.path.lexists(self._data / name))
        _make_folder((self._data / free).parent, self._data)
        file.rename(self._data / free)
        for folder in ((self._data / free).parent, file.parent):
            sync_folder(folder)
        return free

    def count_unclaimed(self) -> int:
        return sum(len(names) for _, _, names in os.walk(self._data / UNCLAIMED))


def _place_of(folder: Path) -> tuple[int, int] | None:
    """Device and inode; None when there is nothing."""
    try:
        found = os.stat(folder)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _names(wanted: str) -> Iterator[str]:
    yield wanted
    yield from (f"{wanted}.{number}" for number in count(2))


def _same(one: tuple[Path, int], other: tuple[Path, int]) -> bool:
    """Files and where to begin in them."""
    with open_object(one[0]) as first, open_object(other[0]) as second:
        first.seek(one[1])
        second.seek(other[1])
        while True:
            chunk = first.read(CHUNK_BYTES)
            if chunk != second.read(CHUNK_BYTES):
                return False
            if not chunk:
                return True


_OURS = re.compile(r"([1-9][0-9]{0,14})\.dcm(\.part)?")
"""Names that we give; any other file in the folder is left alone."""
FOREIGN = 10**12
"""Numbers from here on are never given: somebody else named the file so. Counting on above them would leave no room."""


def _no_room(error: OSError, path: str) -> StorageFull:
    return StorageFull("the object cannot be kept", errno=error.errno, path=path)


def _write(descriptor: int, head: bytes, dataset: BinaryIO) -> tuple[int, int, str]:
    """Returns the dataset's offset, the file's length and the dataset's digest; the bytes are on disk."""
    digest, length = sha256(), len(head)
    with open(descriptor, "wb", buffering=0) as out:
        write_all(out.fileno(), head)
        while chunk := dataset.read(CHUNK_BYTES):
            digest.update(chunk)
            write_all(out.fileno(), chunk)
            length += len(chunk)
        os.fsync(out.fileno())
    return len(head), length, digest.hexdigest()


def _make_folder(folder: Path, top: Path) -> None:
    """Make a folder and its parents below `top`; each new one is synced into its parent."""
    missing = []
    while folder != top and not folder.is_dir():
        missing.append(folder)
        folder = folder.parent
    for new in reversed(missing):
        new.mkdir(mode=FOLDER_MODE, exist_ok=True)
        sync_folder(new.parent)


def _unlink(file: Path) -> int:
    """1 when the file was removed, 0 when it was not there or could not be removed."""
    with suppress(OSError):
        file.unlink()
        return 1
    return 0
