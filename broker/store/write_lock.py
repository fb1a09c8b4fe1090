"""The queue of everybody who writes one SQLite file: the kernel's lock on a file beside it, waited for with a limit."""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from broker.errors import DatabaseUnavailable


@contextmanager
def write_lock(path: Path, limit_seconds: float) -> Iterator[None]:
    """Hold the lock on `path`; kill -9 frees it.

    SQLite's own busy handler sleeps and looks again, so a busy writer starves a quiet one. The kernel wakes who waits.
    Each turn opens the file anew: who gave up waiting can then never let go of a lock that somebody else has taken.

    raises  DatabaseUnavailable after limit_seconds, or when the file cannot be opened
    """
    descriptor = _take(path, limit_seconds)
    try:
        yield
    finally:
        os.close(descriptor)


def _take(path: Path, limit_seconds: float) -> int:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    except OSError as error:
        raise DatabaseUnavailable("the lock file of the database cannot be opened", cause=error.strerror) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return _Waiter(descriptor).result(limit_seconds)
    except OSError as error:
        os.close(descriptor)
        raise DatabaseUnavailable("the file system of the database takes no locks", cause=error.strerror) from error
    return descriptor


class _Waiter:
    """Waits in the kernel's queue in a thread of its own, because that wait takes no limit."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._decision = threading.Lock()
        self._done = threading.Event()
        self._given_up = False
        threading.Thread(target=self._wait, name="write-lock", daemon=True).start()

    def result(self, limit_seconds: float) -> int:
        self._done.wait(limit_seconds)
        with self._decision:
            if self._done.is_set():
                return self._descriptor
            self._given_up = True
        raise DatabaseUnavailable("another process holds the database for too long", limit_seconds=limit_seconds)

    def _wait(self) -> None:
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        with self._decision:
            if self._given_up:
                os.close(self._descriptor)
            else:
                self._done.set()
