"""A few of a folder's object files, spread over its days, to find out which database they belong to."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from broker.archive.files import FOLDER
from broker.archive.part10 import read_head
from broker.errors import UnreadableDataset

MOST_DAYS, MOST_OF_A_DAY = 32, 8


@dataclass(frozen=True, slots=True)
class SampleFile:
    """An object file. number: of the file, which is the id of its row; sop_instance_uid: from its meta information."""

    number: int
    path: str
    sop_instance_uid: str


def sample_objects(data: Path) -> list[SampleFile]:
    """Some object files of a data folder, of its first and last day too; empty where there is none that can be read."""
    days = sorted(_folders(data / FOLDER, 3))
    step = max(1, -(-len(days) // MOST_DAYS))
    chosen = dict.fromkeys([*days[::step], *days[-1:]])
    return [sample for day in chosen for sample in islice(_readable(data, day), MOST_OF_A_DAY)]


def _folders(top: Path, depth: int) -> Iterator[Path]:
    """Folders at this depth below the top: objects are kept in year/month/day."""
    try:
        with os.scandir(top) as entries:
            found = [Path(entry.path) for entry in entries if entry.is_dir()]
    except OSError:
        return
    for folder in found:
        yield from (folder,) if depth == 1 else _folders(folder, depth - 1)


def _readable(data: Path, day: Path) -> Iterator[SampleFile]:
    try:
        with os.scandir(day) as entries:
            names = [entry.name for entry in entries if entry.name.endswith(".dcm")]
    except OSError:
        return
    for name in names:
        file = day / name
        try:
            meta, _ = read_head(file)
            yield SampleFile(int(name.removesuffix(".dcm")), file.relative_to(data).as_posix(), meta.sop_instance_uid)
        except (OSError, ValueError, UnreadableDataset):
            continue  # not a file of ours, or damaged: it says nothing about whose folder this is
