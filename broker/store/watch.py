"""Checks an open database once a second in its own thread: notes marks, looks for lost files and replaced content."""

from __future__ import annotations

import threading

import structlog

from broker.errors import DatabaseUnavailable
from broker.store.database import Database
from broker.store.dialects import DATABASE_ERRORS

log = structlog.get_logger()

LOOK_SECONDS = 1.0
FULL_LOOK_EVERY = 10
"""Looks without news, between two comparisons with the marks."""


class Watch:
    """A thread of its own for one database that keeps marks."""

    name = "database watch"

    def __init__(self, database: Database, look_seconds: float = LOOK_SECONDS) -> None:
        self._database = database
        self._look_seconds = look_seconds
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="database-watch", daemon=True)
        self._looks = 0
        self._lost = ""
        self._noted = False

    def start(self) -> None:
        self._thread.start()
        threading.Thread(target=self._set_free, name="database-silence", daemon=True).start()

    def stop(self, grace_seconds: float) -> None:
        """What was written last is noted, if the database answers in time."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join(grace_seconds)

    def _run(self) -> None:
        while not self._stopping.wait(self._look_seconds):
            self.look()
        self.look()

    def _set_free(self) -> None:
        """Apart from the looks, which wait for a silent server like everybody else."""
        while not self._stopping.wait(self._look_seconds):
            self._database.backend.cut_silent()

    def look(self) -> None:
        """One look; raises nothing."""
        try:
            self._look()
        except (DatabaseUnavailable, *DATABASE_ERRORS):
            self._note_lost()
        except Exception as error:  # the next look is another chance
            log.error("database.watch_failed", error=type(error).__name__)

    def _look(self) -> None:
        continuity = self._database.continuity
        if continuity is None:
            return
        self._database.check()
        if self._lost:
            # Noted only now if the data folder itself was away.
            if not self._noted:
                continuity.note_lost(self._lost)
            self._database.resume()
            self._lost, self._noted = "", False
        self._looks += 1
        if not continuity.has_news() and self._looks % FULL_LOOK_EVERY:
            return
        with self._database.read() as tx:
            # Compared first: noting rows replaces the marks that are compared.
            lacks = continuity.lacks(tx)
            if not lacks:
                continuity.note_rows(tx)
        if lacks:
            self._database.resume()

    def _note_lost(self) -> None:
        """So that an alarm tells of it even if only a restart brings the database back."""
        lost, continuity = self._database.lost, self._database.continuity
        if lost and continuity is not None:
            self._lost = lost
            self._noted = self._noted or continuity.note_lost(lost)
