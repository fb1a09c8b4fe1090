"""Whether reading costs what the input weighs: CPU time and memory at one, two, four and eight times a size.

A linear reader doubles its cost when its input doubles; a quadratic one takes four times as long. What is measured is
CPU time of this thread, so other work on the machine matters little, and each size's best of a few tries counts. Costs
below the noise are not compared: a reader that stops early at its bound is flat, and flat is fine.
"""

from __future__ import annotations

import gc
import time
import tracemalloc
from collections.abc import Callable
from typing import TypeVar

Input = TypeVar("Input")

FACTORS = (1, 2, 4, 8)
MOST_GROWTH = 2.5
"""Times as much for twice the input; the half above 2 is for caches, allocators and garbage collection."""
TRIES = 6
NOISE_SECONDS = 0.03
"""Times below this are taken for this much."""
NOISE_BYTES = 256 * 1024
"""The same for memory."""


def check_linear(
    make: Callable[[int], Input], read: Callable[[Input], object], size: int, most: int | None = None
) -> None:
    """Fail when time or memory of `read` grows more than MOST_GROWTH times from one doubling to the next.

    make  the worst input of a size, made outside the measured time
    read  the reader; it may raise what it raises for a peer, as long as it catches that itself
    size  of the smallest input: one that takes tens of milliseconds, or an eighth of what the bound admits
    most  the largest size that the reader's bound admits, where 8 * size would pass it; None: no such limit
    """
    sizes = [size * factor for factor in FACTORS if most is None or size * factor <= most]
    inputs = [make(one) for one in sizes]
    for what, measure, noise in (("time", _seconds, NOISE_SECONDS), ("memory", _peak_bytes, NOISE_BYTES)):
        costs = [float("inf")] * len(sizes)
        for attempt in range(TRIES):
            costs = [min(best, max(measure(read, one), noise)) for best, one in zip(costs, inputs, strict=True)]
            growth = [after / before for before, after in zip(costs, costs[1:], strict=False)]
            if max(growth) <= MOST_GROWTH:
                break
            assert attempt + 1 < TRIES, f"{what} for sizes {sizes}: {costs}, which grows by {growth}"


def _seconds(read: Callable[[Input], object], given: Input) -> float:
    gc.collect()
    gc.disable()
    try:
        began = time.thread_time()
        read(given)
        return time.thread_time() - began
    finally:
        gc.enable()


def _peak_bytes(read: Callable[[Input], object], given: Input) -> float:
    gc.collect()
    tracemalloc.start()
    try:
        read(given)
        return float(tracemalloc.get_traced_memory()[1])
    finally:
        tracemalloc.stop()
