"""Counts and distributions that many threads add to and metrics read: plain numbers, no library."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

Name = TypeVar("Name", bound=Hashable)


class Counts(Generic[Name]):
    """How often each of a few things happened. Names come from our code, never from a peer: they are kept for ever."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[Name] = Counter()

    def add(self, name: Name, times: int = 1) -> None:
        with self._lock:
            self._counts[name] += times

    def snapshot(self) -> dict[Name, int]:
        with self._lock:
            return dict(self._counts)


@dataclass(frozen=True, slots=True)
class DistributionSnapshot:
    """counts: values up to each of ends, then the larger ones; not cumulative. total: sum of all values."""

    ends: tuple[float, ...]
    counts: tuple[int, ...]
    total: float


class Distribution:
    """How large values are: counted in classes, each up to and with its end."""

    def __init__(self, *ends: float) -> None:
        self._lock = threading.Lock()
        self._ends = ends
        self._counts = [0] * (len(ends) + 1)
        self._total = 0.0

    def add(self, value: float) -> None:
        with self._lock:
            self._counts[bisect_left(self._ends, value)] += 1
            self._total += value

    def snapshot(self) -> DistributionSnapshot:
        with self._lock:
            return DistributionSnapshot(self._ends, tuple(self._counts), self._total)
