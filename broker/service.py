"""The contract that every long-running part keeps: start, stop, ready."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Protocol

CUT_SECONDS = 0.5
"""What a part may take after its grace time to cut off what is left."""


class Service(Protocol):
    """A part that app.py starts in order and stops in reverse.

    start  opens what it needs and returns when it serves; raises BrokerError with a reason when it cannot
    stop   takes no new work at once, lets work in hand end within grace_seconds, then cuts it off; may be called twice
    ready  True while it can do its work
    """

    name: str

    def start(self) -> None: ...

    def stop(self, grace_seconds: float) -> None: ...

    def ready(self) -> bool: ...


def stop_together(parts: Sequence[Service], grace_seconds: float) -> None:
    """Stop all at once, so that they share one grace time; returns when it has passed, at the latest."""
    threads = [
        threading.Thread(target=part.stop, args=(grace_seconds,), name=f"stop-{part.name}", daemon=True)
        for part in reversed(parts)
    ]
    for thread in threads:
        thread.start()
    cut_at = time.monotonic() + grace_seconds + CUT_SECONDS
    for thread in threads:
        thread.join(max(0.0, cut_at - time.monotonic()))
