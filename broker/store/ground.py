"""The files under an open database: answers are promises only while each is still at its path."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import structlog

from broker.errors import DatabaseUnavailable

log = structlog.get_logger()

FOLDER_RESTS_NANOSECONDS = 50_000_000
"""A folder's time of change moves on in steps of a few milliseconds: one that has just changed may change unseen."""

_Quiet = tuple[int, int, int]
"""Device, inode and time of change of a folder in which everything was at its place."""

Look = Callable[[os.stat_result], bool]
"""Whether a file still holds what it should, judged by its size and time of change; True where nothing speaks against
it."""


class Ground:
    """Remembers each file by device and inode, and says when its path no longer leads there.

    A file that was deleted or replaced goes on taking writes through the descriptors that are open, and all of them are
    gone when the last is closed: nothing that was written since can be promised. A file that was moved away and comes
    back is the same one.
    """

    def __init__(self) -> None:
        self._known: dict[str, tuple[int, int]] = {}
        self._looks: dict[str, Look] = {}
        self._folders: dict[str, _Quiet | None] = {}
        self._lock = threading.Lock()
        self._lost = ""
        self._spoiled = ""
        self._elsewhere = ""

    def remember(self, path: Path, look: Look | None = None) -> None:
        """From now on this very file or folder must be at the path; a path that is remembered already is left alone.

        look    asked at each check; False: the content was replaced, and stays so until a restart
        raises  DatabaseUnavailable when nothing is there
        """
        name = str(path)
        if name in self._known:
            return
        try:
            found = os.stat(name)
        except OSError as error:
            raise DatabaseUnavailable("a file of the database is missing", file=name, cause=error.strerror) from error
        if look is not None:
            self._looks[name] = look
        self._known = {**self._known, name: (found.st_dev, found.st_ino)}
        folder = name if path.is_dir() else str(path.parent)
        self._folders = {**self._folders, folder: None}

    def check(self) -> None:
        """Between a commit and its answers, and before each answer that was read.

        raises  DatabaseUnavailable when a remembered file is not at its path
        """
        lost = self._spoiled or self._missing()
        if lost or self._lost:
            self._note(lost)
        if lost:
            raise DatabaseUnavailable("what is open is no longer what is at its path", file=lost)

    @property
    def lost(self) -> str:
        """The path or address that no longer leads to what is open, as found last; "": all do."""
        return self._lost or self._elsewhere

    def lead(self, elsewhere: str) -> None:
        """Note where new connections lead: "" to this database, else the address at which another one answers."""
        with self._lock:
            before, self._elsewhere = self._elsewhere, elsewhere
        if elsewhere and not before:
            log.error("database.another", address=elsewhere)
        elif before and not elsewhere:
            log.warning("database.found_again", address=before)

    def _missing(self) -> str:
        """A folder in which nothing was made, removed or renamed spares a look at each file in it but the database."""
        quiet: dict[str, _Quiet | None] = {}
        for folder in self._folders:
            try:
                found = os.stat(folder)
            except OSError:
                return folder
            quiet[folder] = found.st_dev, found.st_ino, found.st_mtime_ns
        if quiet == self._folders:
            return self._first_lost(self._looks)
        lost = self._first_lost(self._known)
        if not lost:
            rested = time.time_ns() - FOLDER_RESTS_NANOSECONDS
            self._folders = {name: now if now is not None and now[2] < rested else None for name, now in quiet.items()}
        return lost

    def _first_lost(self, names: Iterable[str]) -> str:
        for name in names:
            device, inode = self._known[name]
            try:
                found = os.stat(name)
            except OSError:
                return name
            if found.st_ino != inode or found.st_dev != device or not found.st_nlink:
                return name
            look = self._looks.get(name)
            if look is not None and not look(found):
                self._spoiled = name
                return name
        return ""

    def _note(self, lost: str) -> None:
        """One line for each change of state, however many requests meet it."""
        with self._lock:
            if lost == self._lost:
                return
            before, self._lost = self._lost, lost
        if lost:
            log.error("database.lost", file=lost, content_replaced=bool(self._spoiled))
        else:
            log.warning("database.found_again", file=before)
