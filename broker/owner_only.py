"""Files that only their owner can read: messages, orders and images are about patients.

New files and folders are made for their owner alone, whatever the umask. Ours that are open to other users are closed;
those that are not ours to close are returned, so that they can be named.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

FILE_MODE, FOLDER_MODE = 0o600, 0o700
OTHERS = stat.S_IRWXG | stat.S_IRWXO


def private_umask() -> None:
    """From now on, what this process makes without a mode of its own is its user's alone; libraries make files too."""
    os.umask(OTHERS)


def make_folder(folder: Path) -> None:
    """Make a folder with those above it that are missing, each for its owner alone. raises OSError"""
    for missing in reversed([one for one in (folder, *folder.parents) if not one.exists()]):
        missing.mkdir(mode=FOLDER_MODE, exist_ok=True)
    folder.mkdir(exist_ok=True)  # which raises where it is a file


def make_file(file: Path) -> None:
    """Make an empty file for its owner alone where there is none; one that is there is not touched.

    Errors show when it is opened.
    """
    with suppress(OSError):
        os.close(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE))


def close_to_others(paths: Iterable[Path]) -> list[Path]:
    """Take all rights of others from files and folders that are ours; returns those that stay open to others.

    Links are not followed: what they lead to may be shared on purpose.
    """
    return [path for path in paths if not _close(path)]


def open_to_others(path: Path) -> bool:
    """True when users other than its owner have any right to a file or folder."""
    try:
        found = path.lstat()
    except OSError:
        return False
    return not stat.S_ISLNK(found.st_mode) and bool(found.st_mode & OTHERS)


def key_open_to_others(key: Path) -> bool:
    """True for a private key that others can read. One of root may be shared with a group, as PostgreSQL has it."""
    try:
        found = key.stat()
    except OSError:
        return False
    return bool(found.st_mode & (OTHERS if found.st_uid else stat.S_IRWXO))


def entries(folder: Path) -> Iterator[Path]:
    """A folder, and what it holds itself."""
    yield folder
    with suppress(OSError):
        yield from sorted(folder.iterdir())


def _close(path: Path) -> bool:
    """By path, never by a descriptor: closing one would let go of SQLite's locks on the file (POSIX)."""
    if not open_to_others(path):
        return True
    try:
        found = path.lstat()
        if found.st_uid != os.geteuid():
            return False
        path.chmod(stat.S_IMODE(found.st_mode) & ~OTHERS)
    except OSError:
        return False
    return True
