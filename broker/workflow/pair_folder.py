"""Pair a data folder with its database: without being asked only if the folder is new or the database knows it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import structlog

from broker.archive.files import ObjectFiles
from broker.archive.sample import SampleFile, sample_objects
from broker.errors import SettingsError
from broker.store.database import OTHER_REMEDY, Database
from broker.store.pairing import Pairing, folder_of, read_pairing, write_pairing
from broker.store.studies import known_objects

log = structlog.get_logger()


def pair_folder(database: Database, data: Path) -> Pairing:
    """The pairing that the folder has, or a new one if it has none.

    A folder that an older version filled, or whose file was lost, has objects and no identity: it is paired when the
    database knows one of a sample of them by number, path and UID, as only its own database does.

    raises  SettingsError when it holds objects of which this database knows none; DatabaseUnavailable
    """
    known = read_pairing(data)
    if known is not None:
        return known
    sample = sample_objects(data)
    stores = _stores(database, sample)
    if sample and not stores:
        raise SettingsError(
            "this data folder holds images of which this database knows nothing",
            data=data,
            **database.backend.where,
            looked_at=len(sample),
            remedy=OTHER_REMEDY,
        )
    return _written(database, data, _named_by(stores))


def pair_anyway(database: Database, data: Path) -> tuple[Pairing | None, Pairing]:
    """Pair them, whatever the folder belonged to; returns what its identity said before, and what it says now.

    raises  SettingsError when the folder's file cannot be read or written; DatabaseUnavailable
    """
    known = read_pairing(data)
    return known, _written(database, data, known or _named_by(_stores(database, sample_objects(data))))


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


def _stores(database: Database, sample: list[SampleFile]) -> Counter[str]:
    """By which names of a store the database knows these files, and how many of them by each."""
    with database.read() as tx:
        known = known_objects(tx, [one.number for one in sample])
    objects = [(one, known[one.number]) for one in sample if one.number in known]
    return Counter(row.store for one, row in objects if (one.path, one.sop_instance_uid) == (row.path, row.uid))


def _named_by(stores: Counter[str]) -> Pairing | None:
    """A folder whose identity was lost, by the name that most rows give it: with another one, its files would count as
    those of somebody else."""
    folders = [folder for store, _ in stores.most_common() if (folder := folder_of(store))]
    return Pairing(folders[0], "") if folders else None
