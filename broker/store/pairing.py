"""Which data folder belongs to which database: a row in the one, a small file in the other."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

from sqlalchemy import Connection, select, text

from broker.errors import SettingsError
from broker.store.tables import database_identity
from broker.whole_file import read_whole, write_whole

FILE = "identity.json"
STORE_PREFIX = "files:"
UNREADABLE_REMEDY = f"restore {FILE}; if it is lost, remove it and run mwl-broker migrate --pair"
IDENTITY = "SELECT identity FROM database_identity"


@dataclass(frozen=True, slots=True)
class Pairing:
    """What a data folder's identity.json says.

    folder    identity of the folder itself; several folders may belong to one PostgreSQL database
    database  identity of the database whose rows name this folder's files
    """

    folder: str
    database: str

    @property
    def store(self) -> str:
        """How rows name this folder when they say where an object is."""
        return f"{STORE_PREFIX}{UUID(self.folder).hex}"


def folder_of(store: str) -> str | None:
    """The identity of the folder that rows name so; None for rows of versions that knew one folder only."""
    if not store.startswith(STORE_PREFIX):
        return None
    return str(UUID(store.removeprefix(STORE_PREFIX)))


def read_pairing(data: Path) -> Pairing | None:
    """None for a folder that has not been paired yet, or does not exist.

    raises  SettingsError when the file cannot be read
    """
    try:
        said = json.loads(read_whole(data / FILE))
        return Pairing(str(UUID(said["folder"])), str(UUID(said["database"])))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it does not name two UUIDs"
        raise SettingsError(
            "the identity of the data folder cannot be read",
            file=data / FILE,
            reason=reason,
            remedy=UNREADABLE_REMEDY,
        ) from None


def paired_database(data: Path) -> str | None:
    """Identity of the database that a folder belongs to; None for one that has not been paired. raises  as above"""
    known = read_pairing(data)
    return None if known is None else known.database


def write_pairing(data: Path, database: str, known: Pairing | None = None) -> Pairing:
    """Pair a folder with a database; it is on disk when this returns.

    database  its identity
    known     what the folder said until now: it keeps its own identity
    raises    OSError
    """
    pairing = Pairing(known.folder if known is not None else str(uuid4()), database)
    said = asdict(pairing) | {"paired_at": datetime.now(UTC).isoformat(timespec="seconds")}
    write_whole(data / FILE, json.dumps(said, indent=1).encode() + b"\n")
    return pairing


def identity_of(tx: Connection) -> str:
    """The identity of this database, in a write transaction: one that lacks it, as made from current.sql, gets one."""
    found = tx.execute(select(database_identity.c.identity)).scalar()
    if found is None:
        tx.execute(_GIVE, {"identity": str(uuid4()), "now": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")})
        found = tx.execute(select(database_identity.c.identity)).scalar_one()
    return str(found)


# Two first starts at once both give one: the first to commit counts.
_GIVE = text(
    'INSERT INTO database_identity ("row", identity, made_at) VALUES (1, :identity, :now)'
    ' ON CONFLICT ("row") DO NOTHING'
)
