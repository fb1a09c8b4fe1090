"""Pair a data folder with its database, where it has not been: silently only when nothing speaks against it."""

from __future__ import annotations

from pathlib import Path

import structlog

from broker.archive.files import ObjectFiles
from broker.archive.sample import SampleFile, sample_objects
from broker.errors import SettingsError
from broker.store.database import OTHER_REMEDY, Database, Transaction
from broker.store.pairing import Pairing, read_pairing, write_pairing
from broker.store.studies import known_uids

log = structlog.get_logger()


def pair_folder(database: Database, data: Path) -> Pairing:
    """What the folder says, or, where it says nothing yet, a new pairing.

    A folder that an older version filled has objects and no identity: it is paired when the database knows one of a
    sample of them by number, path and UID, as only its own database does.

    raises  SettingsError when it holds objects of which this database knows none; DatabaseUnavailable
    """
    known = read_pairing(data)
    if known is not None:
        return known
    sample = sample_objects(data)
    if sample:
        with database.read() as tx:
            if not _knows_one(tx, sample):
                raise SettingsError(
                    "this data folder holds images of which this database knows nothing",
                    data=data,
                    **database.backend.where,
                    looked_at=len(sample),
                    remedy=OTHER_REMEDY,
                )
    return _written(database, data, None)


def pair_anyway(database: Database, data: Path) -> tuple[Pairing | None, Pairing]:
    """Pair them whatever they say; returns what the folder said, and what it says now.

    raises  SettingsError when the folder's file cannot be read or written
    """
    known = read_pairing(data)
    return known, _written(database, data, known)


def object_files(data: Path) -> ObjectFiles:
    """The object files of a data folder, under the name that the folder's identity gives them.

    raises  SettingsError when the identity cannot be read
    """
    known = read_pairing(data)
    return ObjectFiles(data, known.store) if known is not None else ObjectFiles(data)


def _written(database: Database, data: Path, known: Pairing | None) -> Pairing:
    try:
        pairing = write_pairing(data, database.identity, known)
    except OSError as error:
        raise SettingsError(
            "the data folder cannot be written", setting="--data", data=data, reason=error.strerror
        ) from error
    log.info("app.folder_paired", folder=pairing.folder, database=pairing.database)
    return pairing


def _knows_one(tx: Transaction, sample: list[SampleFile]) -> bool:
    known = known_uids(tx, [one.number for one in sample])
    return any(known.get(one.number) == (one.path, one.sop_instance_uid) for one in sample)
