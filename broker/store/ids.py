"""Numbers for new rows, from blocks: two processes never get the same one, and kill -9 loses only numbers."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from itertools import chain
from typing import Protocol

from sqlalchemy import Connection, text

from broker.errors import BrokerError
from broker.store.tables import metadata

FIRST_BLOCK = 32  # numbers; doubles at each refill, so what a restart loses stays below what was used
LARGEST_BLOCK = 4096  # numbers, for refills in time; a batch that needs more at once gets more
ALARM_IDS = "alarms"  # counted inside the transaction that raises them, never from a block in memory
DRY_FACTOR = 4  # growth of a block that ran dry inside a batch


class IdsExhausted(BrokerError):
    """A block ran dry inside a batch: roll back, top up, and run the batch again."""


class Writes(Protocol):
    """What we need of a database."""

    def write(self) -> AbstractContextManager[Connection]: ...


class _Block:
    def __init__(self) -> None:
        self.size = FIRST_BLOCK
        self.left = 0
        self.ran_dry = False
        self.last = 0
        self._numbers: Iterator[int] = iter(())

    def take(self) -> int | None:
        number = next(self._numbers, None)
        if number is None:
            self.ran_dry = True
        else:
            self.left -= 1
            self.last = number
        return number

    def add(self, numbers: range) -> None:
        self._numbers = chain(self._numbers, numbers)
        self.left += len(numbers)
        self.ran_dry = False
        self.size = max(len(numbers), min(2 * len(numbers), LARGEST_BLOCK))

    def empty(self) -> None:
        self._numbers = iter(())
        self.left = 0

    @property
    def wanted(self) -> int:
        """Numbers of its next refill; however many find it dry, it grows once."""
        return self.size * DRY_FACTOR if self.ran_dry else self.size

    @property
    def is_low(self) -> bool:
        return self.left < self.size // 2


class Ids:
    """Hands out numbers from memory; safe for threads.

    A number may be lost (a rolled back batch, the rest of a block at the end of the process), never given twice.
    """

    def __init__(self, database: Writes) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._refill = threading.Lock()
        self._low = True  # a look at all the blocks is worth it
        self._note: Callable[[Mapping[str, int]], None] = lambda _ends: None
        self._blocks = {table.name: _Block() for table in metadata.sorted_tables if "id" in table.c}
        del self._blocks[ALARM_IDS]

    def next(self, name: str) -> int:
        """The next number of a counter, without touching the database.

        raises  IdsExhausted when the block is dry
        """
        with self._lock:
            block = self._blocks.get(name) or self._blocks.setdefault(name, _Block())
            number = block.take()
            self._low = self._low or block.is_low
            if number is None:
                raise IdsExhausted("no numbers left in the block", name=name)
            return number

    def last(self, name: str) -> int:
        """The last number that was handed out here; 0: none yet."""
        with self._lock:
            block = self._blocks.get(name)
            return 0 if block is None else block.last

    def note_blocks(self, note: Callable[[Mapping[str, int]], None]) -> None:
        """Call `note` with the end of each new block, by name of its counter, before a number of it is used."""
        self._note = note

    def forget(self) -> None:
        """Hand out no more of the blocks in memory: the database may not know of them."""
        with self._lock:
            for block in self._blocks.values():
                block.empty()
            self._low = True

    def take(self, name: str) -> int:
        """The next number of a counter, for callers outside a write transaction; a dry block is filled first.

        raises  DatabaseUnavailable
        """
        while True:
            try:
                return self.next(name)
            except IdsExhausted:
                self.top_up()

    def top_up(self) -> None:
        """Fill every block that is half used, in one transaction of its own; free when none is.

        raises  DatabaseUnavailable
        """
        if not self._low:
            return
        with self._refill:
            with self._lock:
                self._low = False
                low = {name: block.wanted for name, block in self._blocks.items() if block.is_low}
            if not low:
                return
            try:
                with self._database.write() as tx:
                    ends = {name: reserve(tx, name, size) for name, size in low.items()}
                self._note(ends)
            except BaseException:
                self._low = True
                raise
            with self._lock:
                for name, size in low.items():
                    block = self._blocks[name]
                    block.add(range(ends[name] - size, ends[name]))
                    self._low = self._low or block.is_low


def reserve(tx: Connection, name: str, size: int) -> int:
    """Move a counter on by `size`; returns the number after the reserved ones. Counters begin at 1."""
    return int(tx.execute(_RESERVE, {"name": name, "size": size}).scalar_one())


def raise_to(tx: Connection, name: str, wanted: int) -> int:
    """Move a counter on to `wanted`, unless it is there or beyond; returns the number that it gives next."""
    return int(tx.execute(_RAISE, {"name": name, "wanted": wanted}).scalar_one())


_RESERVE = text(
    "INSERT INTO id_blocks (name, next) VALUES (:name, 1 + :size)"
    " ON CONFLICT (name) DO UPDATE SET next = id_blocks.next + :size RETURNING next"
)

_RAISE = text(
    "INSERT INTO id_blocks (name, next) VALUES (:name, :wanted) ON CONFLICT (name) DO UPDATE"
    " SET next = CASE WHEN id_blocks.next < :wanted THEN :wanted ELSE id_blocks.next END RETURNING next"
)
