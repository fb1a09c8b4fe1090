"""Small files that are replaced in one piece, so that a reader finds the old content or the new, never a half of one;
and the steps that put any file on disk."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from broker.owner_only import FILE_MODE

MOST_BYTES = 1 << 20
"""Of a small file: what is longer is none of ours."""


def read_whole(path: Path) -> str:
    """The text of a small file; what is no regular file is not waited for, as a pipe would have it.

    raises  OSError, UnicodeDecodeError
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    with open(descriptor, "rb") as stream:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "it is no regular file", str(path))
        return stream.read(MOST_BYTES).decode("utf-8")


def write_whole(path: Path, content: bytes, *, sync: bool = True) -> None:
    """Replace a file, readable by its owner only, whatever the umask.

    sync    on disk when this returns; without it a crash of the machine may bring the old content back
    raises  OSError; the old content is then untouched
    """
    part = path.with_name(f"{path.name}.part")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, FILE_MODE)
    try:
        os.fchmod(descriptor, FILE_MODE)
        write_all(descriptor, content)
        if sync:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
    part.replace(path)
    if sync:
        sync_folder(path.parent)


def write_all(descriptor: int, content: bytes) -> None:
    """Write every byte: one call of the system may write fewer. raises OSError"""
    left = memoryview(content)
    while left:
        left = left[os.write(descriptor, left) :]


def sync_folder(folder: Path) -> None:
    """Put the names in a folder on disk: syncing a file alone leaves its name in memory. raises OSError"""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
