"""Taking objects: file, then row, then success; repeats, conflicts, links; and no row ever names a missing file."""

from __future__ import annotations

import os
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from io import BytesIO
from threading import Lock

import pytest
from pydicom.dataset import Dataset
from sqlalchemy import event, select

from broker.archive.files import FileMeta, ObjectFiles
from broker.errors import Busy, DatabaseUnavailable, Stopping, StorageFull, UnreadableDataset
from broker.site.profile import load
from broker.store.alarms import list_alarms
from broker.store.tables import instance_conflicts, instances, scheduled_steps, series, step_events, studies
from broker.store.writer import Writer
from broker.workflow import take_instance as module
from broker.workflow.store_instance import Kept, store_instance_verb
from broker.workflow.take_instance import ClassMismatch, Intake
from tests.kit.planted import plant
from tests.store.images import CT, EXPLICIT, image
from tests.store.images import files_in as files

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")


@pytest.fixture(scope="module")
def site():
    return load(None)


@pytest.fixture
def make_intake(database, site, clock, tmp_path):
    def make(writer, wait_seconds=20.0):
        verb = store_instance_verb(site, database.ids)
        return Intake(database, writer, verb, ObjectFiles(tmp_path), clock, wait_seconds)

    return make


@pytest.fixture
def intake(make_intake, writer):
    return make_intake(writer)


def take(intake, content, uid="1.2.9.1", sop_class=CT):
    return intake.take(FileMeta(sop_class, uid, EXPLICIT, "CT1"), BytesIO(content))


def rows(database, table, *names):
    with database.read() as tx:
        return [tuple(row) for row in tx.execute(select(*(table.c[name] for name in names)).order_by(table.c.id))]


def alarms(database):
    with database.read() as tx:
        return [(alarm.kind, alarm.subject, alarm.order_id) for alarm in list_alarms(tx, limit=10)]


def test_an_image_of_an_order_is_stored_and_linked(database, site, intake, tmp_path):
    plant(database, site, 1)

    answer = take(intake, image())

    [(path, order_id, step_id, how, sure, peer)] = rows(
        database, instances, "path", "order_id", "step_id", "link_how", "link_sure", "peer"
    )
    assert answer.kept is Kept.STORED
    assert (order_id, step_id, how, sure, peer) == (1, 11, "study-uid", "certain", "CT1")
    assert files(tmp_path) == [path]
    assert (tmp_path / path).read_bytes().endswith(image())


def test_an_image_moves_no_step(database, site, intake):
    plant(database, site, 1)

    take(intake, image())

    assert rows(database, scheduled_steps, "state") == [("SCHEDULED",)]


def test_the_timeline_names_each_series_once(database, site, intake):
    plant(database, site, 1)
    for number in range(5):
        take(intake, image(f"1.2.9.{number}", SeriesInstanceUID=f"1.2.1.{number % 2}"), f"1.2.9.{number}")

    told = rows(database, step_events, "kind", "procedure_id", "detail")

    assert [(kind, procedure, detail["series_uid"]) for kind, procedure, detail in told] == [
        ("image", 1, "1.2.1.0"), ("image", 1, "1.2.1.1"),
    ]  # fmt: skip
    assert len(rows(database, series, "id")) == 2


def test_the_same_object_again_changes_nothing(database, site, intake, tmp_path):
    plant(database, site, 1)
    take(intake, image())
    before = files(tmp_path)

    answer = take(intake, image())

    assert answer.kept is Kept.REPEATED
    assert (files(tmp_path), len(rows(database, instances, "id"))) == (before, 1)
    assert alarms(database) == []


def test_other_bytes_under_a_known_uid_are_kept_aside_and_alarmed(database, site, intake, tmp_path):
    plant(database, site, 1)
    take(intake, image())
    other = image(PatientComments="other")

    answers = [take(intake, other), take(intake, other)]

    [(first,)] = rows(database, instances, "path")
    [(aside,)] = rows(database, instance_conflicts, "path")
    assert [answer.kept for answer in answers] == [Kept.CONFLICT, Kept.CONFLICT]
    assert files(tmp_path) == sorted([first, aside])
    assert (tmp_path / first).read_bytes().endswith(image())
    assert (tmp_path / aside).read_bytes().endswith(other)
    assert alarms(database) == [("instance-conflict", "1.2.9.1", 1)]


class StartsWhenFull:
    """A writer that begins once so many requests wait, so that they are one batch."""

    def __init__(self, database, count):
        self._writer, self._left, self._lock = Writer(database), count, Lock()

    def submit(self, verb, request, size_bytes):
        with self._lock:
            future = self._writer.submit(verb, request, size_bytes)
            self._left -= 1
            if self._left == 0:
                self._writer.start()
        return future

    def stop(self):
        self._writer.stop(5.0)


def test_one_batch_with_repeats_and_conflicts_keeps_each_object_once(database, site, make_intake, tmp_path):
    plant(database, site, 1)
    contents = [image(), image(), image(PatientComments="other"), image(PatientComments="other"), image()]
    writer = StartsWhenFull(database, len(contents))
    intake = make_intake(writer)

    with ThreadPoolExecutor(len(contents)) as threads:
        kept = [answer.kept for answer in threads.map(lambda content: take(intake, content), contents)]
    writer.stop()

    paths = {path for table in (instances, instance_conflicts) for (path,) in rows(database, table, "path")}
    assert len(rows(database, instances, "id")) == 1
    assert len(rows(database, instance_conflicts, "id")) == 1
    assert kept.count(Kept.STORED) == 1
    assert set(files(tmp_path)) == paths


@pytest.mark.parametrize("says", [{"PatientID": "P2"}, {"PatientID": ""}, {"PatientID": None},
                                  {"PatientID": "P1", "IssuerOfPatientID": "OTHER"}])  # fmt: skip
def test_an_image_of_another_patient_is_kept_not_linked_and_alarmed(database, site, intake, says):
    plant(database, site, 1)

    answer = take(intake, image(**says))

    assert answer.kept is Kept.STORED
    assert rows(database, instances, "order_id", "procedure_id", "step_id", "link_how") == [(None, None, None, "")]
    assert alarms(database) == [("other-patient", "1.2.1", 1)]


def test_a_stray_image_makes_a_study_of_its_own(database, site, intake):
    plant(database, site, 1)
    take(intake, image())
    take(intake, image("1.2.9.2", PatientID="P2"), "1.2.9.2")

    assert rows(database, studies, "study_uid", "patient_number") == [("1.2.1", "P1"), ("1.2.1", "P2")]
    assert len(rows(database, series, "id")) == 2


def test_an_image_that_nobody_ordered_is_stored_without_alarm(database, intake):
    answer = take(intake, image(PatientID=None, StudyInstanceUID="2.25.1"))

    assert (answer.kept, answer.link, alarms(database)) == (Kept.STORED, None, [])


def test_request_attributes_decide_before_the_study_uid(database, site, intake):
    plant(database, site, 1, "CT", "CT")
    item = Dataset()
    item.ScheduledProcedureStepID, item.RequestedProcedureID = "S1-2", "RP1"

    answer = take(intake, image(RequestAttributesSequence=[item]))

    assert (answer.link.step_id, answer.link.how.value) == (12, "step-id")


def test_values_too_long_for_their_columns_are_cut_in_the_row_only(database, site, intake, tmp_path):
    plant(database, site, 1)
    content = image(PatientID="P" * 70, AccessionNumber="A" * 20, Modality="M" * 20)

    take(intake, content)

    [(path,)] = rows(database, instances, "path")
    assert rows(database, studies, "patient_number") == [("P" * 64,)]
    assert (tmp_path / path).read_bytes().endswith(content)


WRONG = {
    "another instance": (lambda: image("1.2.9.2"), ClassMismatch),
    "another class": (lambda: image(SOPClassUID="1.2.840.10008.5.1.4.1.1.4"), ClassMismatch),
    "no study": (lambda: image(StudyInstanceUID=None), ClassMismatch),
    "a study that is no UID": (lambda: image(StudyInstanceUID="../../etc"), ClassMismatch),
    "a series that is too long": (lambda: image(SeriesInstanceUID="1." * 40 + "1"), ClassMismatch),
    "no class": (lambda: image(SOPClassUID=None), UnreadableDataset),
    "nothing": (lambda: b"", UnreadableDataset),
    "noise": (lambda: bytes(range(256)) * 40, UnreadableDataset),
}


@pytest.mark.parametrize(("made", "error"), WRONG.values(), ids=WRONG)
def test_an_object_that_is_not_what_was_announced_leaves_nothing(database, intake, tmp_path, made, error):
    with pytest.raises(UnreadableDataset) as caught:
        take(intake, made())

    assert caught.type is error
    assert (files(tmp_path), rows(database, instances, "id")) == ([], [])


def test_a_full_disk_is_told_and_leaves_nothing(database, intake, tmp_path, monkeypatch):
    def full(descriptor, chunk):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)

    with pytest.raises(StorageFull):
        take(intake, image())

    assert (files(tmp_path), rows(database, instances, "id")) == ([], [])


def test_a_request_that_the_writer_never_took_leaves_no_file(database, make_intake, tmp_path):
    idle = Writer(database)

    with pytest.raises(Busy):
        take(make_intake(idle, wait_seconds=0.05), image())

    assert files(tmp_path) == []


def test_a_stopping_writer_leaves_no_file(database, make_intake, tmp_path):
    stopped = Writer(database)
    stopped.stop(0.0)

    with pytest.raises(Stopping):
        take(make_intake(stopped), image())

    assert files(tmp_path) == []


def test_a_row_that_comes_after_the_wait_keeps_its_file(database, site, make_intake, writer, tmp_path):
    plant(database, site, 1)
    with database.write():
        # The writer has taken the request and waits for our transaction.
        with pytest.raises(Busy):
            take(make_intake(writer, wait_seconds=0.3), image())
        late = files(tmp_path)

    writer.stop(10.0)
    [(path,)] = rows(database, instances, "path")
    assert files(tmp_path) == late == [path]


def test_a_request_that_is_rolled_back_leaves_no_file(database, site, intake, tmp_path):
    plant(database, site, 1)

    def broken(tx, decisions):
        intake.verb.apply(tx, decisions)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        take(replace(intake, verb=replace(intake.verb, apply=broken)), image())

    assert (files(tmp_path), rows(database, instances, "id")) == ([], [])


class Unanswered:
    """A writer whose answers are lost; commits: whether it wrote before."""

    def __init__(self, database, commits):
        self._writer = Writer(database)
        self._commits = commits
        if commits:
            self._writer.start()

    def submit(self, verb, request, size_bytes):
        future = self._writer.submit(verb, request, size_bytes)
        if self._commits:
            future.result(20.0)
        lost = Future()
        lost.set_exception(DatabaseUnavailable("the database does not answer"))
        return lost


@pytest.mark.parametrize("commits", [True, False])
def test_a_file_whose_commit_nobody_knows_of_is_stored_once_the_database_answers(
    database, site, make_intake, writer, tmp_path, commits
):
    plant(database, site, 1)
    intake = make_intake(Unanswered(database, commits))
    with pytest.raises(DatabaseUnavailable):
        take(intake, image())
    waiting = files(tmp_path)

    take(replace(intake, writer=writer), image("1.2.9.2"), "1.2.9.2")

    assert len(waiting) == 1
    assert files(tmp_path) == [path for (path,) in rows(database, instances, "path")]
    assert waiting[0] in files(tmp_path)


def test_a_file_that_nobody_knows_of_waits_until_the_store_answers(
    database, site, make_intake, writer, tmp_path
):
    plant(database, site, 1)
    intake = make_intake(Unanswered(database, commits=False))
    intake.database.ids.top_up()
    with database.write(), pytest.raises(DatabaseUnavailable):
        take(intake, image())
    waiting = files(tmp_path)

    take(replace(intake, writer=writer), image())

    assert len(waiting) == 1
    assert files(tmp_path) == [path for (path,) in rows(database, instances, "path")] != waiting


def test_nothing_more_is_taken_while_too_many_files_are_unknown(database, site, make_intake, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "ASK_SECONDS", 0.01)
    monkeypatch.setattr(module, "MOST_DOUBTFUL", 2)
    intake = make_intake(Unanswered(database, commits=False))
    intake.database.ids.top_up()
    with database.write():
        for _ in range(5):
            with pytest.raises(DatabaseUnavailable):
                take(intake, image())

    assert len(files(tmp_path)) == 2


def test_a_batch_of_any_size_reads_with_the_same_number_of_statements(database, site, make_intake, tmp_path):
    seen, statements = [], []

    class Noting:
        def submit(self, verb, request, size_bytes):
            seen.append(request)
            raise Stopping("noted")

    intake = make_intake(Noting())
    for number in range(1, 31):
        plant(database, site, number)
        says = {"PatientID": f"P{number}", "StudyInstanceUID": f"1.2.{number}"}
        with pytest.raises(Stopping):
            take(intake, image(f"1.2.9.{number}", **says), f"1.2.9.{number}")
    counts = []
    with database.write() as tx:
        event.listen(tx, "before_cursor_execute", lambda *details: statements.append(details[2]))
        for size in (2, 30):
            statements.clear()
            intake.verb.load(tx, seen[:size])
            counts.append(len(statements))

    assert counts[0] == counts[1]


def test_a_repeat_whose_first_file_is_gone_takes_its_place(database, intake, tmp_path):
    take(intake, image())
    [(first,)] = rows(database, instances, "path")
    (tmp_path / first).unlink()

    answer = take(intake, image())

    [(path,)] = rows(database, instances, "path")
    assert (answer.kept, answer.uses_file, files(tmp_path)) == (Kept.REPEATED, True, [path])
    assert path != first


def test_a_repeat_of_what_was_kept_aside_takes_the_place_of_a_damaged_file(database, intake, tmp_path):
    take(intake, image())
    other = image(PatientComments="other")
    take(intake, other)
    [(damaged,)] = rows(database, instance_conflicts, "path")
    (tmp_path / damaged).write_bytes(b"cut")

    take(intake, other)

    [(path,)] = rows(database, instance_conflicts, "path")
    assert (tmp_path / path).read_bytes().endswith(other)


def test_a_repeat_of_an_object_in_another_folder_trusts_its_row(database, site, intake, writer, clock, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    elsewhere = ObjectFiles(tmp_path / "elsewhere", "files:elsewhere")
    take(replace(intake, files=elsewhere), image())

    answer = take(replace(intake, files=ObjectFiles(tmp_path, "files:here")), image())

    assert (answer.kept, answer.uses_file, files(tmp_path)) == (Kept.REPEATED, False, [])


def test_a_request_that_was_written_and_lost_knows_its_own_row(database, intake, writer):
    take(intake, image())
    seen = []
    noting = replace(intake.verb, load=lambda tx, some: seen.extend(some) or intake.verb.load(tx, some))
    take(replace(intake, verb=noting), image("1.2.9.2"), "1.2.9.2")

    again = writer.ask(intake.verb, seen[0], 100, 20.0)

    assert (again.kept, again.uses_file) == (Kept.STORED, True)


def test_a_number_that_a_file_bears_already_is_passed_over(database, intake, clock, tmp_path):
    folder = tmp_path / f"objects/{clock.now():%y/%m/%d}"
    folder.mkdir(parents=True)
    for number in range(1, 40):
        (folder / f"{number}.dcm").write_bytes(b"of another database")

    take(intake, image())

    assert rows(database, instances, "id") == [(40,)]
    assert all((folder / f"{number}.dcm").read_bytes() == b"of another database" for number in range(1, 40))
