"""The queue of everybody who writes one SQLite file: the kernel's lock on a file beside it, waited for with a limit."""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from broker.errors import DatabaseUnavailable
from broker.owner_only import FILE_MODE


class WriteLock:
    """The lock on one file. Within a process one thread at a time may hold it: `Database` gives the turn.

    SQLite's own busy handler sleeps and looks again, so a busy writer starves a quiet one. The kernel wakes who waits,
    and frees the lock of who is killed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._kept: int | None = None
        self._is_held = False

    @contextmanager
    def held(self, limit_seconds: float) -> Iterator[None]:
        """raises  DatabaseUnavailable after limit_seconds, or when the file cannot be opened"""
        descriptor = self._open_kept()
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            with self._waited_for(limit_seconds):
                yield
            return
        except OSError as error:
            raise DatabaseUnavailable("the file system of the database takes no locks", cause=error.strerror) from error
        self._is_held = True
        try:
            yield
        finally:
            self._is_held = False
            fcntl.flock(descriptor, fcntl.LOCK_UN)

    def close(self) -> None:
        """A file that a thread still holds is left to the end of the process."""
        if self._kept is not None and not self._is_held:
            os.close(self._kept)
            self._kept = None

    def open(self) -> None:
        """Make the file where it is missing. raises  DatabaseUnavailable"""
        self._open_kept()

    def _open_kept(self) -> int:
        """The file that is at the path now: a lock on a deleted one would keep no other process out."""
        if self._kept is not None and not os.fstat(self._kept).st_nlink:
            self.close()
        if self._kept is None:
            self._kept = _opened(self.path)
        return self._kept

    @contextmanager
    def _waited_for(self, limit_seconds: float) -> Iterator[None]:
        # Opened anew: who gave up waiting can then never let go of a lock that somebody else has taken.
        descriptor = _opened(self.path)
        _Waiter(descriptor).result(limit_seconds)
        try:
            yield
        finally:
            os.close(descriptor)


def _opened(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
    except OSError as error:
        raise DatabaseUnavailable("the lock file of the database cannot be opened", cause=error.strerror) from error


class _Waiter:
    """Waits in the kernel's queue in a thread of its own, because that wait takes no limit."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._decision = threading.Lock()
        self._done = threading.Event()
        self._given_up = False
        threading.Thread(target=self._wait, name="write-lock", daemon=True).start()

    def result(self, limit_seconds: float) -> None:
        self._done.wait(limit_seconds)
        with self._decision:
            if self._done.is_set():
                return
            self._given_up = True
        raise DatabaseUnavailable("another process holds the database for too long", limit_seconds=limit_seconds)

    def _wait(self) -> None:
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        with self._decision:
            if self._given_up:
                os.close(self._descriptor)
            else:
                self._done.set()
