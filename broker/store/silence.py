"""Frees threads that wait for a frozen PostgreSQL server: one that takes connections and answers nothing.

The server's own limits (statement_timeout) do not help when it is frozen, and the kernel goes on acknowledging for it.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from contextlib import suppress
from typing import Any

import psycopg
import structlog

log = structlog.get_logger()

PATIENCE_SECONDS = 5.0
"""A wait this long makes us ask whether the server answers at all."""

PROBE_SECONDS = 3
"""For a new connection to be answered; one that is refused is an answer."""


class Silence:
    """Knows the connections that are at work, and cuts them when the server is frozen.

    conninfo  how a new connection is made, to ask
    """

    def __init__(self, conninfo: dict[str, Any]) -> None:
        self._conninfo = conninfo
        self._lock = threading.Lock()
        self._at_work: dict[int, tuple[Any, float]] = {}

    def begins(self, driver: Any) -> None:
        with self._lock:
            self._at_work[id(driver)] = driver, time.monotonic()

    def ends(self, driver: Any) -> None:
        with self._lock:
            self._at_work.pop(id(driver), None)

    def look(self) -> None:
        """Cut connections that have waited long, if a new connection is not answered either; asks only then."""
        if not self._waiting():
            return
        try:
            psycopg.connect(**self._conninfo, connect_timeout=PROBE_SECONDS).close()
        except psycopg.errors.ConnectionTimeout:
            with self._lock:
                for driver in self._waiting():
                    _cut(driver)
            log.error("database.silent", seconds=PATIENCE_SECONDS + PROBE_SECONDS)
        except psycopg.Error:  # it answers, or the connections know by themselves that it is gone
            return

    def _waiting(self) -> list[Any]:
        since = time.monotonic() - PATIENCE_SECONDS
        return [driver for driver, began in list(self._at_work.values()) if began < since]


def _cut(driver: Any) -> None:
    """Its thread wakes up with an error, as when the server had closed the connection."""
    with suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(driver.fileno())) as wire:
        wire.shutdown(socket.SHUT_RDWR)
