"""Waiting for what another thread or process does, as long as it takes and not longer than a limit."""

from __future__ import annotations

import time
from collections.abc import Callable

WAIT_SECONDS = 20.0
LOOK_SECONDS = 0.005


def until(is_so: Callable[[], object], seconds: float = WAIT_SECONDS, look_seconds: float = LOOK_SECONDS) -> None:
    """Return once it is so; fails the test when the time is over. look_seconds: between two looks"""
    give_up_at = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < give_up_at, f"not so after {seconds:.0f} seconds"
        time.sleep(look_seconds)
