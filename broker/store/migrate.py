"""Brings a database's tables up to date by the migrations of `schema/migrations`, or says that it is too old."""

from __future__ import annotations

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from broker.errors import DatabaseTooOld, SettingsError
from broker.store.dialects import Backend
from broker.store.schema_files import schema_folder


def prepare(tx: Connection, backend: Backend, *, migrate: bool) -> None:
    """Make the tables fit this version, inside the caller's transaction; free when they fit.

    migrate  False: refuse instead
    raises   DatabaseTooOld, or SettingsError for a database that a newer version has made
    """
    if _fits(tx, migrate=migrate):
        return
    backend.lift_limits(tx)
    backend.lock_everything(tx)
    if not _fits(tx, migrate=True):  # another start may have been quicker
        _upgrade(tx)


def revision_of(tx: Connection) -> str | None:
    """The last migration a database has seen; None for an empty one."""
    return MigrationContext.configure(tx).get_current_revision()


def newest_revision() -> str:
    """The last migration we know."""
    return str(ScriptDirectory.from_config(_config()).get_current_head())


def _fits(tx: Connection, *, migrate: bool) -> bool:
    found = revision_of(tx)
    scripts = ScriptDirectory.from_config(_config())
    newest = scripts.get_current_head()
    if found == newest:
        return True
    if found is not None and found not in {script.revision for script in scripts.walk_revisions()}:
        raise SettingsError(
            "the database was made by a newer version of the broker; install that version", found=found, known=newest
        )
    if not migrate:
        raise DatabaseTooOld(
            "the database lacks migrations; run `mwl-broker migrate`, or start without --no-migrate",
            found=found or "empty",
            wanted=newest,
        )
    return False


def _upgrade(tx: Connection) -> None:
    config = _config()
    config.attributes["connection"] = tx
    command.upgrade(config, "head")


def _config() -> Config:
    config = Config()
    # ConfigParser reads a percent sign as the start of a variable.
    config.set_main_option("script_location", str(schema_folder() / "migrations").replace("%", "%%"))
    return config
