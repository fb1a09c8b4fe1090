"""Files without a row are taken in again, rows without a file are told; and no start loses an image."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from io import BytesIO

import pytest
from sqlalchemy import delete, select

from broker.archive.files import ObjectFiles
from broker.archive.part10 import FileMeta
from broker.site.profile import load
from broker.store.alarms import acknowledge, list_alarms
from broker.store.tables import instance_conflicts, instances, series, step_events, studies
from broker.workflow import missing_objects
from broker.workflow.missing_objects import find_missing
from broker.workflow.recover_objects import Recovery, clear_parts
from broker.workflow.store_instance import store_instance_verb
from broker.workflow.take_instance import Intake
from tests.kit.planted import plant
from tests.store.images import CT, EXPLICIT, files_in, image

WAIT_SECONDS = 20.0
EARLIER = datetime(2026, 3, 1, 7, 30, tzinfo=UTC)


@pytest.fixture
def files(tmp_path):
    return ObjectFiles(tmp_path, "files:here")


@pytest.fixture
def verb(database):
    return store_instance_verb(load(None), database.ids)


@pytest.fixture
def intake(database, writer, verb, files, clock):
    return Intake(database, writer, verb, files, clock, WAIT_SECONDS)


@pytest.fixture
def start(database, writer, verb, files, clock):
    """What a start does to the folder; returns what became of its files."""

    def run():
        recovery = Recovery(database, writer, verb, files, clock, clear_parts(database, files))
        recovery.start()
        assert recovery.wait(WAIT_SECONDS)
        return recovery.counts

    return run


def take(intake, uid="1.2.9.1", **says):
    return intake.take(FileMeta(CT, uid, EXPLICIT, "CT1"), BytesIO(image(uid, **says)))


def left_without_rows(database):
    """As a database does that was restored from before the images came."""
    with database.write() as tx:
        for table in (instance_conflicts, step_events, instances, series, studies):
            tx.execute(delete(table))


def rows(database, table, *names):
    with database.read() as tx:
        return [tuple(row) for row in tx.execute(select(*(table.c[name] for name in names)).order_by(table.c.id))]


def alarms(database):
    with database.read() as tx:
        return [(alarm.kind, alarm.subject, alarm.detail, alarm.count) for alarm in list_alarms(tx)]


def test_images_that_a_restored_database_does_not_know_are_taken_in_again(database, intake, start, tmp_path):
    plant(database, load(None), 1)
    for number in range(30):
        take(intake, f"1.2.9.{number}")
    columns = ("id", "path", "digest", "order_id", "link_how", "peer", "store", "length")
    before = rows(database, instances, *columns)
    left_without_rows(database)

    counts = start()

    assert (counts.looked_at, counts.taken, counts.left, counts.aside) == (30, 30, 0, 0)
    assert rows(database, instances, *columns) == before
    assert files_in(tmp_path) == sorted(path for _, path, *_ in before)


def test_a_recovered_image_says_when_it_came_and_that_it_was_recovered(database, intake, start, clock, tmp_path):
    plant(database, load(None), 1)
    take(intake)
    left_without_rows(database)
    [path] = files_in(tmp_path)
    os.utime(tmp_path / path, (EARLIER.timestamp(),) * 2)

    start()

    assert rows(database, instances, "received_at") == [(EARLIER,)]
    [(at, detail)] = rows(database, step_events, "at", "detail")
    assert (at, detail["recovered"]) == (clock.now(), "received 2026-03-01 07:30 UTC")


def test_a_second_start_finds_nothing_to_do(database, intake, start, tmp_path):
    take(intake)
    take(intake, PatientComments="other")
    left_without_rows(database)
    start()

    counts = start()

    assert (counts.looked_at, counts.taken) == (2, 0)
    assert (len(rows(database, instances, "id")), len(rows(database, instance_conflicts, "id"))) == (1, 1)


def test_the_leftover_of_a_repeat_is_removed_after_comparison(database, intake, files, start, tmp_path):
    take(intake)
    number = database.ids.take("instances")
    files.write(number, EARLIER.date(), FileMeta(CT, "1.2.9.1", EXPLICIT, "ANOTHER_SENDER"), BytesIO(image()))

    counts = start()

    assert counts.spare == 1
    assert files_in(tmp_path) == [path for (path,) in rows(database, instances, "path")]
    assert alarms(database) == []


@pytest.mark.parametrize("damage", [lambda file: file.unlink(), lambda file: file.write_bytes(b"damaged")])
def test_a_file_without_row_takes_the_place_of_one_that_is_gone_or_damaged(
    database, intake, files, start, tmp_path, damage
):
    take(intake)
    [(first,)] = rows(database, instances, "path")
    number = database.ids.take("instances")
    files.write(number, EARLIER.date(), FileMeta(CT, "1.2.9.1", EXPLICIT, "CT1"), BytesIO(image()))
    damage(tmp_path / first)

    counts = start()

    [(path,)] = rows(database, instances, "path")
    assert counts.put_back == 1
    assert (tmp_path / path).read_bytes().endswith(image())
    assert [kind for kind, *_ in alarms(database) if kind == "image-without-file"] == []


def test_equal_bytes_in_another_folder_cannot_be_compared(database, intake, files, start, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    take(replace(intake, files=ObjectFiles(tmp_path / "elsewhere", "files:elsewhere")))
    number = database.ids.take("instances")
    files.write(number, EARLIER.date(), FileMeta(CT, "1.2.9.1", EXPLICIT, "CT1"), BytesIO(image()))

    counts = start()

    assert (counts.aside, counts.spare) == (1, 0)
    assert (tmp_path / f"unclaimed/26/03/01/{number}.dcm").read_bytes().endswith(image())


UNREADABLE = {
    "not Part 10": lambda whole: b"not DICOM at all",
    "cut in its pixels": lambda whole: whole[:-5],
    "cut in its header": lambda whole: whole[:200],
    "empty": lambda whole: b"",
}


@pytest.mark.parametrize("spoil", UNREADABLE.values(), ids=UNREADABLE)
def test_what_no_image_can_be_made_of_is_moved_to_unclaimed_with_an_alarm(database, intake, start, tmp_path, spoil):
    take(intake, PatientComments="long enough to be cut")
    left_without_rows(database)
    [path] = files_in(tmp_path)
    spoilt = spoil((tmp_path / path).read_bytes())
    (tmp_path / path).write_bytes(spoilt)

    counts = start()

    assert (counts.aside, files_in(tmp_path)) == (1, [])
    assert (tmp_path / path.replace("objects", "unclaimed")).read_bytes() == spoilt
    [(kind, subject, detail, _)] = alarms(database)
    assert (kind, subject) == ("file-unclaimed", path.rpartition("/")[0])
    assert "moved to the folder unclaimed" in detail


def test_a_file_whose_number_is_that_of_another_row_gets_a_new_one(database, intake, files, start, tmp_path):
    take(intake)
    [(number, path)] = rows(database, instances, "id", "path")
    files.write(number, EARLIER.date(), FileMeta(CT, "1.2.9.2", EXPLICIT, "CT1"), BytesIO(image("1.2.9.2")))

    counts = start()

    known = rows(database, instances, "id", "path")
    assert counts.taken == 1
    assert known[0] == (number, path)
    assert [int(path.rpartition("/")[2].removesuffix(".dcm")) for _, path in known] == [number for number, _ in known]
    assert files_in(tmp_path) == sorted(path for _, path in known)


def test_numbers_go_on_above_those_of_the_files(database, files):
    files.write(70_000, EARLIER.date(), FileMeta(CT, "1.2.9.1", EXPLICIT, "CT1"), BytesIO(image()))

    first = clear_parts(database, files)

    assert first == 70_001
    assert database.ids.take("instances") == first
    assert clear_parts(database, files) > first


def test_a_file_that_came_since_the_start_is_left_alone(database, intake, writer, verb, files, clock, tmp_path):
    below = clear_parts(database, files)
    number = database.ids.take("instances")
    files.write(number, EARLIER.date(), FileMeta(CT, "1.2.9.1", EXPLICIT, "CT1"), BytesIO(b"in hand"))
    os.utime(tmp_path / f"objects/26/03/01/{number}.dcm", (0, 0))
    recovery = Recovery(database, writer, verb, files, clock, below)

    recovery.start()

    assert recovery.wait(WAIT_SECONDS)
    assert recovery.counts.looked_at == 0
    assert len(files_in(tmp_path)) == 1


def test_a_verb_that_fails_leaves_the_file_and_tells(database, intake, writer, verb, files, clock, tmp_path):
    take(intake)
    left_without_rows(database)
    broken = replace(verb, decide=lambda draft, request: 1 / 0)
    recovery = Recovery(database, writer, broken, files, clock, clear_parts(database, files))

    recovery.start()

    assert recovery.wait(WAIT_SECONDS)
    assert (recovery.counts.left, len(files_in(tmp_path))) == (1, 1)
    assert "left in place" in alarms(database)[0][2]


def test_it_stops_in_time_and_the_next_start_goes_on(database, intake, writer, verb, files, clock, start):
    for number in range(60):
        take(intake, f"1.2.9.{number}")
    left_without_rows(database)
    recovery = Recovery(database, writer, verb, files, clock, clear_parts(database, files))
    recovery.start()

    recovery.stop(WAIT_SECONDS)

    assert recovery.counts.taken < 60
    assert recovery.counts.taken + start().taken >= 60
    assert len(rows(database, instances, "id")) == 60


def test_rows_without_a_file_are_told_study_by_study_and_once(database, intake, start, clock, tmp_path):
    plant(database, load(None), 1)
    for number in range(8):
        take(intake, f"1.2.9.{number}")
    take(intake, "1.2.8.1", StudyInstanceUID="1.2.77", PatientID="P7")
    paths = [path for (path,) in rows(database, instances, "path")]
    for path in (*paths[:7], paths[8]):
        (tmp_path / path).unlink()

    start()
    first = alarms(database)
    with database.write() as tx:
        acknowledge(tx, list_alarms(tx)[0].id, "somebody", clock.now() + timedelta(hours=1))
    start()

    told = {(kind, subject): (detail, count) for kind, subject, detail, count in first}
    assert told["image-without-file", "1.2.1"] == ("7 without file: 1, 2, 3, 4, 5 ...", 1)
    assert told["image-without-file", "1.2.77"] == ("1 without file: 9", 1)
    assert [count for *_, count in alarms(database)] == [1]


def test_rows_of_other_folders_are_not_looked_for(database, intake, files, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    other = replace(intake, files=ObjectFiles(tmp_path / "elsewhere", "files:elsewhere"))
    take(other)
    take(replace(intake, files=ObjectFiles(tmp_path / "elsewhere")), "1.2.9.2")  # a row of an older version

    assert find_missing(database, files, lambda: True).count == 0


def test_rows_of_an_older_version_are_ours_where_no_other_folder_is_known(database, intake, files, tmp_path):
    take(replace(intake, files=ObjectFiles(tmp_path)))
    [path] = files_in(tmp_path)
    (tmp_path / path).unlink()

    assert find_missing(database, files, lambda: True).count == 1


def test_studies_beyond_the_most_are_counted_together(database, intake, files, tmp_path, monkeypatch):
    monkeypatch.setattr(missing_objects, "MOST_STUDIES", 2)
    for number in range(5):
        take(intake, f"1.2.9.{number}", StudyInstanceUID=f"1.2.7.{number}")
    for path in files_in(tmp_path):
        (tmp_path / path).unlink()

    missing = find_missing(database, files, lambda: True)

    assert (missing.count, {name: gap.count for name, gap in missing.studies.items()}) == (
        5, {"1.2.7.0": 1, "1.2.7.1": 1, "further studies": 3},
    )  # fmt: skip
