"""The data folder of one serving process: made, locked by the kernel, and told what listens where."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from broker.errors import AlreadyRunning, SettingsError
from broker.owner_only import FILE_MODE, close_to_others, entries, make_folder, private_umask
from broker.service import FOLDER_LOCK
from broker.settings import Settings
from broker.store.dialects import sqlite_file
from broker.store.sqlite import side_files
from broker.whole_file import write_whole

PORTS = "ports.json"
DYING_SECONDS = 5.0
"""Longest wait for processes of a broker that was killed; they end by themselves, within moments."""
RETRY_SECONDS = 0.02


class DataFolder:
    """A folder that one `serve` holds at a time; kill -9 leaves no lock behind."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: int | None = None

    def take(self) -> None:
        """Make the folder where it is missing, and hold it.

        raises  AlreadyRunning when another process holds it, SettingsError when it cannot be used
        """
        try:
            make_folder(self.path)
            self._lock = os.open(self.path / FOLDER_LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
            self._hold(self._lock)
        except BlockingIOError:
            holder = self._holder()
            self.give_back()
            raise AlreadyRunning(
                "another broker runs on this data folder",
                data=self.path,
                process=holder,
                remedy="stop it, or take another --data",
            ) from None
        except OSError as error:
            self.give_back()
            reason = "is a file, not a folder" if self.path.is_file() else error.strerror
            raise SettingsError(
                "the data folder cannot be used", setting="--data", data=self.path, reason=reason
            ) from None
        with suppress(OSError):  # it only tells an operator who we are, and a full disk has no room for that
            os.ftruncate(self._lock, 0)
            os.pwrite(self._lock, f"{os.getpid()}\n".encode(), 0)
        self.forget_ports()  # of a process that was killed

    @property
    def descriptor(self) -> int:
        """The held lock; a process that inherits it holds the folder too, until it ends."""
        assert self._lock is not None
        return self._lock

    def _hold(self, lock: int) -> None:
        """raises  BlockingIOError when a living process holds the folder"""
        give_up_at = time.monotonic() + DYING_SECONDS
        while True:
            try:
                return fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if _lives(self._holder()) or time.monotonic() > give_up_at:
                    raise
            time.sleep(RETRY_SECONDS)

    def give_back(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def tell_ports(self, ports: Mapping[str, int]) -> None:
        """Write ports.json in one piece: a reader sees all ports or none. raises OSError"""
        write_whole(self.path / PORTS, json.dumps(ports).encode() + b"\n", sync=False)

    def forget_ports(self) -> None:
        """Remove ports.json. If that fails, it names closed ports, and a client that tries one is refused."""
        with suppress(OSError):
            (self.path / PORTS).unlink(missing_ok=True)

    def _holder(self) -> str:
        """Process id of who holds the lock, for the operator."""
        assert self._lock is not None
        return os.pread(self._lock, 20, 0).decode("ascii", "replace").strip() or "unknown"


def site_file(settings: Settings) -> Path | None:
    """The profile that was named, else the data folder's own; None: built in."""
    own = settings.data / "site.toml"
    return settings.site or (own if own.exists() else None)


def database_file(settings: Settings) -> Path | None:
    """The file of an SQLite database; None for any other."""
    return sqlite_file(settings.database, settings.data)


def prepare_folder(settings: Settings) -> None:
    """Make the data folder for a command that writes beside `serve`, or close it to others.

    raises  SettingsError when it cannot be made
    """
    private_umask()
    try:
        make_folder(settings.data)
    except OSError as error:
        raise SettingsError(
            "the data folder cannot be made", setting="--data", data=settings.data, reason=error.strerror
        ) from None
    close_to_others(kept_paths(settings))


def kept_paths(settings: Settings) -> list[Path]:
    """What only its owner may read: the data folder and the entries in it, the database and the files beside it.

    The folder of objects is one entry: once it is closed, other users cannot reach what is below.
    """
    file = database_file(settings)
    database = [] if file is None else [file, *side_files(file), file.with_name(f"{file.name}-journal")]
    return list(dict.fromkeys([*entries(settings.data), *database]))


def _lives(process: str) -> bool:
    """Whether there is such a process here; an unreadable id counts as one."""
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return False
    except (OSError, ValueError, OverflowError):
        return True
    return True
