"""migrate: bring a database up to date without starting the service; --pair joins it with a data folder."""

from __future__ import annotations

from contextlib import closing
from typing import Annotated

import typer

from broker import log
from broker.cli.output import remark
from broker.data_folder import DataFolder, prepare_folder
from broker.owner_only import private_umask
from broker.settings import Settings
from broker.store.database import Database, open_database
from broker.store.pairing import paired_database
from broker.workflow.pair_folder import pair_anyway

PAIR_HELP = "Let this data folder belong to this database from now on, whatever it belonged to."


def migrate(settings: Settings, pair: Annotated[bool, typer.Option("--pair", help=PAIR_HELP)] = False) -> None:
    """Create the database, or bring an old one up to date."""
    log.configure(settings.log)
    private_umask()
    if pair:
        _pair(settings)
        return
    prepare_folder(settings)
    _opened(settings, paired_database(settings.data)).close()
    remark("The database is up to date.")


def _pair(settings: Settings) -> None:
    """raises  AlreadyRunning: a serving broker's folder keeps its database"""
    folder = DataFolder(settings.data)
    folder.take()
    try:
        with closing(_opened(settings, None)) as database:
            before, now = pair_anyway(database, settings.data)
    finally:
        folder.give_back()
    remark("The database is up to date.")
    if before is not None and before.database == now.database:
        remark(f"Data folder {now.folder} belongs to database {now.database}, as before.")
        return
    remark(f"Data folder {now.folder} now belongs to database {now.database}.")
    if before is not None:
        remark(f"Until now it belonged to database {before.database}.")


def _opened(settings: Settings, identity: str | None) -> Database:
    return open_database(
        settings.database, settings.data, migrate=True, lock_seconds=settings.lock_seconds, identity=identity
    )
