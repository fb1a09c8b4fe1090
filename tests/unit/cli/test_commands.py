"""What the commands print and how they end: data on standard output, remarks on standard error, 0, 1 or 2."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert

import broker
from broker.cli import main as cli
from broker.cli.orders import what_happened
from broker.store import tables as t
from broker.store.database import Database, open_database
from broker.store.story import ShownEvent
from tests.unit.cli.conftest import NOW, STUDY, a_message


class Ran:
    """How a command ended, what it printed, and what it remarked."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):  # type: ignore[no-untyped-def]
    def run_command(*words: object) -> Ran:
        monkeypatch.setattr("sys.argv", ["mwl-broker", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        printed = capsys.readouterr()
        return Ran(int(ended.value.code or 0), printed.out, printed.err)

    return run_command


LISTS = [("messages", "list"), ("orders", "list"), ("worklist", "list"), ("alarms", "list")]


@pytest.mark.parametrize("command", LISTS, ids=" ".join)
def test_an_empty_list_says_so_and_ends_with_0(run, data: Path, command: tuple[str, str]) -> None:  # type: ignore[no-untyped-def]
    shown = run(*command, "--data", data)
    as_json = run(*command, "--data", data, "--json")

    assert (shown.code, shown.out) == (0, "")
    assert shown.err.startswith("No ")
    assert (as_json.code, as_json.json) == (0, [])


ODD = ["7", "A1", "-1", "0", "1" * 5_000, str(2**63), "\N{ARABIC-INDIC DIGIT ONE}", "\udcff", "\x1b[2J"]


@pytest.mark.parametrize("command", [("messages", "show"), ("orders", "show"), ("alarms", "ack")], ids=" ".join)
@pytest.mark.parametrize("word", ODD, ids=ascii)
def test_a_word_that_names_nothing_is_said_to_and_ends_with_1(  # type: ignore[no-untyped-def]
    run, data: Path, database_url: str, command: tuple[str, ...], word: str
) -> None:
    ran = run(*command, "--data", data, "--database", database_url, word)

    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith("No ")
    assert "\x1b" not in ran.err
    assert len(ran.err) < 200


@pytest.mark.parametrize(
    "command",
    [("messages", "show", "7"), ("orders", "show", "NOPE"), ("alarms", "ack", "7")],
    ids=" ".join,
)
def test_an_unknown_id_is_said_and_ends_with_1(run, data: Path, command: tuple[str, ...]) -> None:  # type: ignore[no-untyped-def]
    ran = run(*command, "--data", data)

    assert (ran.code, ran.out) == (1, "")
    assert command[-1] in ran.err


@pytest.mark.parametrize(
    "words",
    [("nonsense",), ("orders", "show"), ("orders", "list", "--limit", "many"), ("messages", "list", "--outcome", "odd"),
     ("worklist", "list", "--date", "today"),
     ("serve", "--hl7-port", "70000"), ("serve", "--ae-title", "SEVENTEENLETTERS1"),
     ("hl7", "send", "no-such-file.hl7")],
    ids=" ".join,
)  # fmt: skip
def test_wrong_usage_ends_with_2(run, words: tuple[str, ...]) -> None:  # type: ignore[no-untyped-def]
    ran = run(*words)

    assert ran.code == 2
    assert ran.err


def test_an_unknown_variable_stops_every_command_with_2(run, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setenv("BROKER_DATABSE", "x")

    ran = run("orders", "list", "--data", data)

    assert ran.code == 2
    assert "did_you_mean=BROKER_DATABASE" in ran.err


def test_looking_at_a_folder_where_no_broker_ran_makes_no_database(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    ran = run("orders", "list", "--data", tmp_path)

    assert ran.code == 1
    assert "no broker has run" in ran.err
    assert list(tmp_path.iterdir()) == []


def test_the_version_is_printed(run) -> None:  # type: ignore[no-untyped-def]
    assert run("--version").out == f"mwl-broker {broker.__version__}\n"


@pytest.mark.parametrize("number", ["A1", "PO1", "FO1", "B0000001", STUDY])
def test_an_order_is_shown_by_each_of_its_numbers_with_its_whole_story(run, stocked: Path, number: str) -> None:  # type: ignore[no-untyped-def]
    story = run("orders", "show", number, "--data", stocked, "--json").json

    assert (story["order"]["status"], story["order"]["patient_id"]) == ("STARTED", "P1")
    assert [(step["step_id"], step["held"], step["stations"]) for step in story["steps"]] == [
        ("S1", None, ["CT1"]),
        ("S2", "no modality", []),
        ("S3", None, []),
    ]
    assert [(event["kind"], event["before"], event["after"], event["actor"]) for event in story["events"]] == [
        ("created", None, "SCHEDULED", "hl7:RIS|HOSP"),
        ("state", "SCHEDULED", "STARTED", "dicom:CT1"),
    ]
    assert story["events"][0]["control_id"] == "C1"
    assert [(step["state"], step["step_id"], step["sure"]) for step in story["performed_steps"]] == [
        ("IN PROGRESS", "S1", "certain")
    ]
    assert [(study["study_uid"], study["series"], study["images"]) for study in story["studies"]] == [(STUDY, 1, 2)]
    assert [alarm["kind"] for alarm in story["alarms"]] == ["other-patient"]


def test_a_story_for_people_names_what_happened_who_caused_it_and_what_is_held(run, stocked: Path) -> None:  # type: ignore[no-untyped-def]
    ran = run("orders", "show", "A1", "--data", stocked)

    assert ran.code == 0
    by = ("dicom:CT1", "hl7:RIS|HOSP, message 1")
    for text in ("MÜLLER^ANNA", "SCHEDULED → STARTED", *by, "no modality", "other-patient"):
        assert text in ran.out


def test_an_update_is_told_readably_and_without_uids() -> None:
    detail = {
        "start_at": {"before": "20260302101500", "after": "20260303083000"},
        "stations": {"before": ["CT1"], "after": []},
        "study_uid": {"before": STUDY, "after": "2.25.2"},
        "changed": ["ScheduledProcedureStepSequence.ScheduledProcedureStepDescription"],
    }
    event = ShownEvent(NOW, "updated", "S1", None, None, "hl7:RIS|HOSP", "update", 1, "C1", detail)

    assert what_happened(event) == (
        "start 2026-03-02 10:15 → 2026-03-03 08:30; stations CT1 → none; study UID changed; "
        "changed: ScheduledProcedureStepDescription"
    )


def test_a_number_of_several_orders_shows_them_all(run, stocked: Path, opened: Database) -> None:  # type: ignore[no-untyped-def]
    with opened.write() as tx:
        row = dict(tx.execute(t.orders.select()).mappings().one())
        tx.execute(insert(t.orders), row | {"id": 2, "placer_number": "PO2", "filler_number": "A1"})

    stories = run("orders", "show", "A1", "--data", stocked, "--json").json

    assert [story["order"]["id"] for story in stories] == [1, 2]


def test_the_worklist_holds_open_steps_and_says_why_one_is_held(run, stocked: Path) -> None:  # type: ignore[no-untyped-def]
    steps = run("worklist", "list", "--data", stocked, "--json").json
    of_ct1 = run("worklist", "list", "--station", "CT1", "--data", stocked, "--json").json
    of_other = run("worklist", "list", "--station", "MR1", "--data", stocked, "--json").json

    assert [(step["step_id"], step["held"]) for step in steps] == [("S1", None), ("S2", "no modality")]
    assert [step["step_id"] for step in of_ct1] == ["S1", "S2"]
    assert [step["step_id"] for step in of_other] == ["S2"]


@pytest.mark.parametrize(("date", "count"), [("20260302", 2), ("20260303", 0)])
def test_the_worklist_of_one_day(run, stocked: Path, date: str, count: int) -> None:  # type: ignore[no-untyped-def]
    assert len(run("worklist", "list", "--date", date, "--data", stocked, "--json").json) == count


@pytest.mark.parametrize(("number", "found"), [("P1", [1]), ("P0", [1]), ("P", []), ("p1", []), ("P%", [])])
def test_orders_are_found_by_an_exact_patient_number_a_former_one_too(  # type: ignore[no-untyped-def]
    run, stocked: Path, number: str, found: list[int]
) -> None:
    orders = run("orders", "list", "--patient", number, "--data", stocked, "--json").json

    assert [order["id"] for order in orders] == found


def test_a_list_that_is_cut_says_so(run, stocked: Path) -> None:  # type: ignore[no-untyped-def]
    ran = run("worklist", "list", "--limit", 1, "--data", stocked)

    assert "S2" not in ran.out
    assert "There are more" in ran.err


def test_messages_are_listed_newest_first_and_by_outcome(run, stocked: Path, opened: Database) -> None:  # type: ignore[no-untyped-def]
    with opened.write() as tx:
        tx.execute(insert(t.messages), a_message(2, outcome="rejected", reason="no patient id", cause="MISSING"))

    every = run("messages", "list", "--data", stocked, "--json").json
    rejected = run("messages", "list", "--outcome", "rejected", "--data", stocked, "--json").json

    assert [(message["id"], message["answer"]) for message in every] == [(2, "AE 101"), (1, "AA")]
    assert [(message["id"], message["reason"]) for message in rejected] == [(2, "no patient id")]


def test_a_message_is_shown_in_its_own_character_set(run, stocked: Path) -> None:  # type: ignore[no-untyped-def]
    shown = run("messages", "show", 1, "--data", stocked)
    as_json = run("messages", "show", 1, "--data", stocked, "--json").json

    assert "PID|1||P1||MÜLLER^ANNA" in shown.out.splitlines()
    assert as_json["answer"] == "AA"
    assert "MÜLLER^ANNA" in as_json["text"]
    assert as_json["outcome"] == "created"


def test_an_acknowledged_alarm_leaves_the_list_and_stays_among_all(run, stocked: Path) -> None:  # type: ignore[no-untyped-def]
    acknowledged = run("alarms", "ack", 1, "--by", "Dr. Kim", "--data", stocked)
    again = run("alarms", "ack", 1, "--data", stocked)

    assert (acknowledged.code, again.code) == (0, 1)
    assert run("alarms", "list", "--data", stocked, "--json").json == []
    (alarm,) = run("alarms", "list", "--all", "--data", stocked, "--json").json
    assert alarm["acknowledged_by"] == "Dr. Kim"


def test_control_characters_of_a_name_never_reach_the_terminal(run, stocked: Path, opened: Database) -> None:  # type: ignore[no-untyped-def]
    with opened.write() as tx:
        tx.execute(t.patients.update().values({"values": {"PatientName": "EVIL\x1b[2J[bold]X"}}))

    ran = run("orders", "list", "--data", stocked)

    assert "\x1b" not in ran.out
    assert "[2J[bold]X" in ran.out


def test_an_old_database_is_refused_for_reading_with_what_to_do(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "broker.db").touch()

    ran = run("orders", "list", "--data", tmp_path)

    assert ran.code == 1
    assert "mwl-broker migrate" in ran.err


def test_migrate_makes_the_database(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    assert run("migrate", "--data", tmp_path / "new").code == 0

    open_database(None, tmp_path / "new", migrate=False).close()


def test_a_fault_of_our_own_ends_with_1_and_shows_where_but_not_what(  # type: ignore[no-untyped-def]
    run, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ValueError("DOE^JANE")

    monkeypatch.setattr("broker.cli.orders.list_orders", fail)

    ran = run("orders", "list", "--data", data)

    assert ran.code == 1
    assert "ValueError" in ran.err
    assert "test_commands.py" in ran.err
    assert "DOE" not in ran.err + ran.out


ACTING = "\x1b[2J\a\x9b\x7f\u202e\u2066\u200f\u2028\ufeff"


def test_json_escapes_what_acts_on_a_terminal_and_says_the_same(  # type: ignore[no-untyped-def]
    run, stocked: Path, opened: Database
) -> None:
    with opened.write() as tx:
        tx.execute(insert(t.messages), a_message(2, sender=f"M\u00dcLLER{ACTING}", reason=ACTING))

    ran = run("messages", "list", "--data", stocked, "--json")

    assert ran.json[0]["reason"] == ACTING
    assert "M\u00dcLLER" in ran.out
    assert all(line.isprintable() for line in ran.out.splitlines())


@pytest.mark.parametrize("command", [("messages", "list"), ("messages", "show", "2")], ids=" ".join)
def test_tables_show_what_acts_on_a_terminal_as_escapes(  # type: ignore[no-untyped-def]
    run, stocked: Path, opened: Database, command: tuple[str, ...]
) -> None:
    raw = f"MSH|^~\\&|RIS|HOSP\rPID|1||P1||[red]DOE[/red]{ACTING}\r".encode()
    values = {"control_id": "C\x9b\u202e", "sender": "[red]", "reason": ACTING, "charset": "UNICODE UTF-8", "raw": raw}
    with opened.write() as tx:
        tx.execute(insert(t.messages), a_message(2, **values))

    shown = run(*command, "--data", stocked).out

    assert all(line.isprintable() for line in shown.splitlines())
    for text in (r"C\x9b\u202e", "[red]", r"\x1b[2J\x07\x9b\x7f\u202e\u2066\u200f\u2028\ufeff"):
        assert text in shown
