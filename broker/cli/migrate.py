"""migrate: bring a database up to date without starting the service."""

from __future__ import annotations

from broker import log
from broker.cli.output import remark
from broker.settings import Settings
from broker.store.database import open_database


def migrate(settings: Settings) -> None:
    """Create the database, or bring an old one up to date."""
    log.configure(settings.log)
    settings.data.mkdir(parents=True, exist_ok=True)
    open_database(settings.database, settings.data, migrate=True, lock_seconds=settings.lock_seconds).close()
    remark("The database is up to date.")
