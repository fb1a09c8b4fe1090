"""Worklist files taken in on both databases: by the rules of orders, again and again, two at once, beside messages."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from broker.domain.order import StepState
from broker.domain.request import MessageAnswer, Outcome, PlaceOrder, ReceivedMessage
from broker.errors import SettingsError
from broker.hl7v2.reader import read
from broker.mapping.messages.readers import READERS
from broker.mapping.splice import value_of
from broker.mapping.worklist_file import MOST_BYTES
from broker.site.profile import Site, load
from broker.store.alarms import list_alarms
from broker.store.database import Database, open_database
from broker.store.tables import messages, patients, scheduled_steps, step_events
from broker.store.writer import Writer
from broker.workflow.import_folder import ImportOrder, ImportReport, files_in, import_folder
from broker.workflow.place_order import place_order_verb
from broker.workflow.reencode_steps import reencode_open_steps
from tests.kit.clock import SettableClock
from tests.kit.messages import Case
from tests.kit.worklist_files import FORMS, item, put

Importer = Callable[..., ImportReport]


class Lists:
    """A folder of worklist files, and the database they go into."""

    def __init__(self, database: Database, clock: SettableClock, folder: Path) -> None:
        self.database, self.clock, self.folder = database, clock, folder
        self.site: Site = load(None)
        folder.mkdir()

    def put(self, name: str, *words: Any, form: str = "part10", **changed: Any) -> None:
        put(self.folder, name, item(*words, **changed), form)

    def take(self, *, rehearse: bool = False, group: str = "import|", database: Database | None = None) -> ImportReport:
        report = ImportReport()
        sender = self.site.sender(*group.split("|"))
        order = ImportOrder(self.folder, files_in(self.folder), sender, rehearse)
        import_folder(database or self.database, self.site, self.clock, order, report, lambda: None)
        return report

    def outcomes(self, **how: Any) -> dict[str, str]:
        return {file.name: file.outcome for file in self.take(**how).files}

    def steps(self) -> list[Any]:
        with self.database.read() as tx:
            return list(tx.execute(select(scheduled_steps).order_by(scheduled_steps.c.id)))

    def count(self, table: Any) -> int:
        with self.database.read() as tx:
            return int(tx.execute(select(func.count()).select_from(table)).scalar_one())

    def value(self, key: str, at: int = 0) -> Any:
        return value_of(self.site.rows, self.steps()[at].elements, key)


@pytest.fixture
def lists(database: Database, clock: SettableClock, tmp_path: Path) -> Lists:
    return Lists(database, clock, tmp_path / "lists")


def test_each_form_of_a_file_becomes_a_step(lists: Lists) -> None:
    for number, form in enumerate(FORMS):
        lists.put(form, number, form=form)

    report = lists.take()

    assert report.count("created") == len(FORMS)
    assert {step.match_accession for step in lists.steps()} == {f"A{number}" for number in range(len(FORMS))}
    assert {step.state for step in lists.steps()} == {"SCHEDULED"}
    with lists.database.read() as tx:
        assert set(tx.execute(select(step_events.c.actor)).scalars()) == {"import"}


def test_importing_again_writes_nothing_where_nothing_is_new(lists: Lists) -> None:
    lists.put("one", 1)
    lists.take()
    before = lists.steps(), lists.count(messages), lists.count(step_events)

    outcomes = lists.outcomes()

    assert outcomes == {"one": "unchanged"}
    assert (lists.steps(), lists.count(messages), lists.count(step_events)) == before


def test_importing_again_adds_and_updates_and_what_is_absent_stays(lists: Lists) -> None:
    lists.put("one", 1)
    lists.put("two", 2)
    lists.take()
    (lists.folder / "two").unlink()
    lists.put("one", 1, step={"ScheduledProcedureStepStartDate": "20260401"}, RequestedProcedureDescription="")
    lists.put("three", 3)

    outcomes = lists.outcomes()

    assert outcomes == {"one": "updated", "three": "created"}
    assert [step.start_at for step in lists.steps()] == ["20260401081500", "20260302081500", "20260302081500"]
    assert lists.value("RequestedProcedureDescription") == "CT CHEST"


def test_a_file_is_known_by_what_it_holds_and_not_by_its_name(lists: Lists) -> None:
    lists.put("one", 1)
    lists.take()
    (lists.folder / "one").rename(lists.folder / "renamed")

    assert lists.outcomes() == {"renamed": "unchanged"}


def test_a_new_name_of_a_patient_reaches_all_open_steps_at_once(lists: Lists) -> None:
    lists.put("one", 1)
    lists.put("two", 2, PatientID="P1", PatientName="DÖE1^JANE")
    lists.take()
    (lists.folder / "two").unlink()
    lists.put("one", 1, PatientName="ROE^JANE")

    assert lists.outcomes() == {"one": "updated"}
    assert [lists.value("PatientName", at) for at in (0, 1)] == ["ROE^JANE", "ROE^JANE"]
    assert lists.count(patients) == 1


def test_missing_values_are_made_once_and_found_again(lists: Lists) -> None:
    nothing = {"AccessionNumber": None, "RequestedProcedureID": None}
    lists.put("one", 1, step={"ScheduledProcedureStepID": None, "ScheduledProcedureStepStartDate": None}, **nothing)
    lists.take()
    first = lists.steps()

    again = lists.outcomes()

    assert again == {"one": "unchanged"}
    assert lists.steps() == first
    assert first[0].match_accession
    assert first[0].match_procedure_id
    assert first[0].step_id
    assert first[0].start_at


@pytest.mark.parametrize("left", ["StudyInstanceUID", "RequestedProcedureID"])
def test_a_number_that_comes_later_finds_the_step_that_was_known_without(lists: Lists, left: str) -> None:
    without: dict[str, None] = dict.fromkeys({"StudyInstanceUID", "RequestedProcedureID"} - {left})
    lists.put("one", 1, AccessionNumber="", **without)
    lists.take()
    lists.put("one", 1, **without)

    assert lists.outcomes() == {"one": "updated"}
    assert [step.match_accession for step in lists.steps()] == ["A1"]


def test_a_file_that_nothing_names_is_refused(lists: Lists) -> None:
    nameless = dict.fromkeys(["AccessionNumber", "RequestedProcedureID", "StudyInstanceUID"])
    lists.put("one", 1, step={"ScheduledProcedureStepID": None}, **nameless)

    (file,) = lists.take().files

    assert file.outcome == "refused"
    assert "which step it is" in file.reason
    assert lists.steps() == []


def test_a_step_without_a_modality_is_held(lists: Lists) -> None:
    lists.put("one", 1, step={"Modality": ""})

    assert lists.outcomes() == {"one": "held"}
    assert lists.steps()[0].held == "no modality"


def test_the_same_accession_number_for_another_patient_is_refused_and_alarmed(lists: Lists) -> None:
    lists.put("one", 1)
    lists.take()
    lists.put("two", 2, AccessionNumber="A1")

    outcomes = lists.outcomes()

    assert outcomes == {"one": "unchanged", "two": "refused"}
    assert [step.match_patient_id for step in lists.steps()] == ["P1"]
    with lists.database.read() as tx:
        assert [alarm.kind for alarm in list_alarms(tx)] == ["other-patient"]


def test_a_stated_state_moves_a_step_forward_only(lists: Lists) -> None:
    seen = []
    for stated in ("ARRIVED", "SCHEDULED", "STARTED", "CANCELED", "COMPLETED", "SCHEDULED"):
        lists.put("one", 1, step={"ScheduledProcedureStepStatus": stated})
        lists.take()
        seen.append(lists.steps()[0].state)

    assert seen == ["ARRIVED", "ARRIVED", "STARTED", "STARTED", "COMPLETED", "COMPLETED"]


def test_no_file_brings_back_a_step_that_was_cancelled(lists: Lists) -> None:
    lists.put("one", 1, step={"ScheduledProcedureStepStatus": "CANCELED"})
    lists.take()
    lists.put("one", 1, RequestedProcedureDescription="MR HEAD")

    assert lists.outcomes() == {"one": "superseded"}
    assert [StepState(step.state) for step in lists.steps()] == [StepState.CANCELED]


def test_what_cannot_be_taken_is_named_and_costs_the_others_nothing(lists: Lists) -> None:
    lists.put("a", 1)
    lists.put("b same step", 1, RequestedProcedureDescription="other words")
    lists.put("c", 2, PatientName=None)
    (lists.folder / "d broken").write_bytes((lists.folder / "a").read_bytes()[:-20])
    (lists.folder / "e lost").symlink_to(lists.folder / "nowhere")
    (lists.folder / "f huge").write_bytes(b"\0" * (MOST_BYTES + 1))
    (lists.folder / "g text").write_text("no worklist")
    (lists.folder / "h").mkdir()
    put(lists.folder / "h", "i", item(3))

    report = lists.take()

    assert {file.name: file.outcome for file in report.files} == {
        "a": "created", "b same step": "skipped", "c": "refused", "d broken": "refused", "e lost": "refused",
        "f huge": "skipped", "g text": "skipped", "h/i": "created",
    }  # fmt: skip
    assert all(file.reason for file in report.files if file.outcome in ("skipped", "refused"))
    assert len(lists.steps()) == 2


def test_a_folder_that_is_none_is_wrong_use(lists: Lists) -> None:
    with pytest.raises(SettingsError):
        files_in(lists.folder / "nowhere")


def test_a_rehearsal_tells_what_the_import_then_does_and_writes_nothing(lists: Lists) -> None:
    lists.put("known", 1)
    lists.put("changed", 2)
    lists.take()
    lists.put("changed", 2, step={"Modality": "MR"})
    for number in range(3, 30):  # more than one batch
        lists.put(f"new {number}", number)
    lists.put("p second step", 3, step={"ScheduledProcedureStepID": "S3-2"})
    lists.put("q wrong patient", 90, AccessionNumber="A4")
    lists.put("r renamed", 91, PatientID="P5", PatientName="NEW^NAME")
    before = lists.steps(), lists.count(messages), lists.count(patients)

    foretold = lists.outcomes(rehearse=True)
    between = lists.steps(), lists.count(messages), lists.count(patients)

    assert between == before
    assert lists.outcomes() == foretold
    assert foretold["q wrong patient"] == "refused"
    assert foretold["p second step"] == foretold["r renamed"] == "created"
    assert (foretold["known"], foretold["changed"]) == ("unchanged", "updated")


def test_two_imports_at_once_lose_nothing_and_double_nothing(lists: Lists, database_url: str, tmp_path: Path) -> None:
    for number in range(60):
        lists.put(f"{number:03}", number, PatientID=f"P{number % 7}", PatientName="DOE^JANE")
    together = threading.Barrier(2, timeout=20)
    reports: list[ImportReport] = []

    def take() -> None:
        own = open_database(database_url, tmp_path, migrate=False, lock_seconds=20.0)
        together.wait()
        reports.append(lists.take(database=own))
        own.close()

    threads = [threading.Thread(target=take) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert sorted(step.match_accession for step in lists.steps()) == sorted(f"A{number}" for number in range(60))
    assert lists.count(patients) == 7
    assert sum(report.count("created") for report in reports) == 60
    assert sum(report.count("refused", "skipped") for report in reports) == 0


def test_a_file_of_a_senders_group_is_the_order_that_its_message_placed(lists: Lists) -> None:
    case = Case()
    placed = _place(lists, case.order())
    (step,) = lists.steps()
    lists.put(
        "one", 1, PatientID=case.patient_id, IssuerOfPatientID="HOSP", AccessionNumber=case.accession,
        PlacerOrderNumberImagingServiceRequest=case.placer, RequestedProcedureID=case.procedure_id,
        StudyInstanceUID=case.study_uid, step={"ScheduledProcedureStepID": case.step_id, "Modality": "MR"},
    )  # fmt: skip

    outcomes = lists.outcomes(group="OF|HOSP")

    assert placed.outcome is Outcome.CREATED
    assert outcomes == {"one": "updated"}
    assert [(known.id, known.modality) for known in lists.steps()] == [(step.id, "MR")]


def test_a_new_row_of_the_profile_reads_what_was_imported_before(lists: Lists, tmp_path: Path) -> None:
    lists.put("one", 1, PatientAge="056Y")
    assert lists.take().without_row == {"PatientAge": 1}
    profile = tmp_path / "site.toml"
    profile.write_text('[rows.PatientAge]\nmatch = "none"\nreturn = "3"\n', encoding="utf-8")
    lists.site = load(profile)

    count = reencode_open_steps(lists.database, lists.site, lists.clock)

    assert count == 1
    assert lists.value("PatientAge") == "056Y"
    assert lists.value("PatientName") == "DÖE1^JANE"
    assert lists.outcomes() == {"one": "unchanged"}


def _place(lists: Lists, raw: bytes) -> MessageAnswer:
    """Place an order as the HL7 door does."""
    message = read(raw)
    received = ReceivedMessage(raw, "127.0.0.1:9", lists.clock.now(), lists.site.sender("OF", "HOSP"), version="2.3.1")
    request = READERS["ORM", "O01"](message, received, lists.site)
    assert isinstance(request, PlaceOrder)
    writer = Writer(lists.database)
    writer.start()
    try:
        answer = writer.ask(place_order_verb(lists.site, lists.database.ids, lists.clock), request, len(raw), 20.0)
    finally:
        writer.stop(5.0)
    assert isinstance(answer, MessageAnswer)
    return answer
