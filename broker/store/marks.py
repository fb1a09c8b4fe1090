"""High-water marks in the data folder: what was handed out and written, to compare with the database that is found.

One file for all processes of a broker; each change is made under a lock and replaces the file in one piece.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from broker.owner_only import FILE_MODE
from broker.whole_file import read_whole, write_whole

FILE, LOCK = "marks.json", "marks.lock"
WAIT_SECONDS, RETRY_SECONDS = 2.0, 0.002

HIGHEST = 10**12
"""No broker hands out so many numbers: a mark above is damage, and names made from it would not fit their fields."""

Row = tuple[int, str]
"""Number of a row and its instant, as the database has them."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What the file says.

    database  identity of the database that it is about; "": nothing yet
    counters  by name: no number below was left to be handed out, by this folder's processes
    rows      by table and process: the newest row that the process wrote and found there
    timeline  of a PostgreSQL server; "": none
    lost      a path that led elsewhere while the broker served, and of which no alarm tells yet; "": none
    unread    why it says nothing: "missing" or "damaged"; "": it was read
    """

    database: str = ""
    counters: Mapping[str, int] = field(default_factory=dict)
    rows: Mapping[str, Mapping[str, Row]] = field(default_factory=dict)
    timeline: str = ""
    lost: str = ""
    unread: str = ""

    def raised(self, ends: Mapping[str, int]) -> Seen:
        """With these counters, where they are higher."""
        higher = {name: max(end, self.counters.get(name, 0)) for name, end in ends.items() if end < HIGHEST}
        return replace(self, counters={**self.counters, **higher})

    def with_rows(self, process: str, rows: Mapping[str, Row]) -> Seen:
        """With the newest rows of a process, by table."""
        newer = {table: {**self.rows.get(table, {}), process: row} for table, row in rows.items()}
        return replace(self, rows={**self.rows, **newer})


class Marks:
    """The marks of one data folder. process: "0" is the main one, the others are numbered."""

    def __init__(self, data: Path, process: str = "0") -> None:
        self.file = data / FILE
        self._lock = data / LOCK
        self.process = process

    def read(self) -> Seen:
        """Nothing where the file is missing or damaged: marks only add to what the database says itself."""
        try:
            return _seen(json.loads(read_whole(self.file)))
        except FileNotFoundError:
            return Seen(unread="missing")
        except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
            return Seen(unread="damaged")

    @contextmanager
    def held(self) -> Iterator[None]:
        """Alone with the file, among all processes; never nested. raises  OSError, also when it takes too long"""
        descriptor = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
        try:
            _take(descriptor)
            yield
        finally:
            os.close(descriptor)

    def write(self, seen: Seen) -> None:
        """While held; on disk when it returns. raises  OSError"""
        shown = {name: getattr(seen, name) for name in ("database", "counters", "rows", "timeline", "lost")}
        write_whole(self.file, json.dumps(shown).encode() + b"\n")

    def change(self, change: Callable[[Seen], Seen]) -> None:
        """On disk when it returns. raises  OSError"""
        with self.held():
            self.write(change(self.read()))


def _take(descriptor: int) -> None:
    """Held for one small write at a time; only a process that was stopped in the middle lets others wait."""
    give_up_at = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > give_up_at:
                raise
        time.sleep(RETRY_SECONDS)


def _seen(said: Mapping[str, Any]) -> Seen:
    return Seen(
        database=str(said["database"]),
        counters={str(name): _number(end) for name, end in said["counters"].items()},
        rows={
            str(table): {str(process): (_number(number), str(at)) for process, (number, at) in rows.items()}
            for table, rows in said["rows"].items()
        },
        timeline=str(said["timeline"]),
        lost=str(said["lost"]),
    )


def _number(said: Any) -> int:
    """raises  ValueError, TypeError, OverflowError for what no broker writes"""
    number = int(said)
    if not 0 < number < HIGHEST:
        raise ValueError("a mark is out of range")
    return number
