"""The contract that every long-running part keeps: start, stop, ready."""

from __future__ import annotations

from typing import Protocol


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
