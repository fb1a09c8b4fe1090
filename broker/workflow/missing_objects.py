"""Rows of stored objects whose files are gone or have another length: found page by page, reported study by study."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime

from broker.archive.files import STORE, ObjectFiles
from broker.domain.order import Alarm
from broker.store.alarms import last_details, raise_alarms
from broker.store.database import Database
from broker.store.object_rows import StoredObject, other_stores, stored_objects

PAGE_ROWS = 500
FIRST_NUMBERS = 5
"""Numbers of images that an alarm or the doctor names."""
MOST_STUDIES = 1_000
"""Studies with an alarm of their own; the images of further ones are counted in one alarm."""
ALARMS_AT_ONCE = 50
FURTHER = "further studies"


@dataclass(slots=True)
class Gap:
    """Images of one study that have no file. numbers: of the first"""

    order_id: int | None
    accession_number: str
    count: int = 0
    numbers: list[int] = field(default_factory=list)

    def add(self, one: StoredObject) -> None:
        self.count += 1
        if len(self.numbers) < FIRST_NUMBERS:
            self.numbers.append(one.number)

    def __str__(self) -> str:
        return f"{self.count} without file: {', '.join(map(str, self.numbers))}{' ...' * (self.count > FIRST_NUMBERS)}"


@dataclass(slots=True)
class Missing:
    """What was found.

    looked_at  rows
    studies    by Study Instance UID
    whole      False when the search ended before the last row
    """

    looked_at: int = 0
    count: int = 0
    studies: dict[str, Gap] = field(default_factory=dict)
    whole: bool = False

    def add(self, one: StoredObject) -> None:
        self.count += 1
        known = one.study_uid in self.studies or len(self.studies) < MOST_STUDIES
        name, order_id = (one.study_uid, one.order_id) if known else (FURTHER, None)
        self.studies.setdefault(name, Gap(order_id, one.accession_number if known else "")).add(one)


def find_missing(database: Database, files: ObjectFiles, go_on: Callable[[], bool]) -> Missing:
    """Look for the file of each row of this data folder.

    Rows of versions that knew one folder only count as ours, unless the database knows of other folders.

    go_on   called after each page; False ends the search
    raises  DatabaseUnavailable
    """
    found, stores = Missing(), (files.store, STORE)
    several = False
    for page in _pages(database, stores):
        found.looked_at += len(page)
        gone = [one for one in page if not files.has(one.path, one.length)]
        if not several and any(one.store == STORE != files.store for one in gone):
            with database.read() as tx:
                several = other_stores(tx, stores)
        for one in gone:
            if not (several and one.store == STORE):
                found.add(one)
        if not go_on():
            return found
    found.whole = True
    return found


def _pages(database: Database, stores: tuple[str, str]) -> Iterator[list[StoredObject]]:
    for aside in (False, True):
        after = 0
        while True:
            with database.read() as tx:
                page = stored_objects(tx, stores, aside, after, PAGE_ROWS)
            if not page:
                break
            yield page
            after = page[-1].number


def raise_missing(database: Database, missing: Missing, at: datetime, go_on: Callable[[], bool]) -> None:
    """One alarm for each study; one that said the same when it was raised last, open or closed, is not raised again.

    raises  DatabaseUnavailable
    """
    studies = list(missing.studies.items())
    for some in (studies[at : at + ALARMS_AT_ONCE] for at in range(0, len(studies), ALARMS_AT_ONCE)):
        with database.write() as tx:
            told = last_details(tx, "image-without-file", [uid for uid, _ in some])
            alarms = [Alarm("image-without-file", uid, gap.order_id, str(gap)) for uid, gap in some]
            raise_alarms(tx, [alarm for alarm in alarms if told.get(alarm.subject) != alarm.detail], at)
        if not go_on():
            return
