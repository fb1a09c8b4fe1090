"""worklist import: what it prints, how it ends, and what it leaves behind."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from broker.cli import main as cli
from tests.kit.worklist_files import item, put

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    def run_command(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["mwl-broker", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        printed = capsys.readouterr()
        return int(ended.value.code or 0), printed.out, printed.err

    return run_command


@pytest.fixture
def lists(tmp_path: Path) -> Path:
    return put(tmp_path / "lists", "one", item(1, PatientAge="056Y"))


def test_an_import_makes_the_database_where_there_is_none(run: Run, tmp_path: Path, lists: Path) -> None:
    code, out, err = run("worklist", "import", lists, "--data", tmp_path / "data")
    listed = run("worklist", "list", "--data", tmp_path / "data", "--json")

    assert (code, out) == (0, "")
    assert "1 files: 1 created" in err
    assert "PatientAge (1)" in err
    assert [step["accession_number"] for step in json.loads(listed[1])] == ["A1"]


def test_a_dry_run_leaves_nothing_behind(run: Run, tmp_path: Path, lists: Path) -> None:
    code, out, _ = run("worklist", "import", lists, "--dry-run", "--json", "--data", tmp_path / "data")

    told = json.loads(out)
    assert (code, told["dry_run"], told["created"], told["files"]) == (0, True, 1, 1)
    assert told["outcomes"][0]["outcome"] == "created"
    assert told["attributes_without_row"] == {"PatientAge": 1}
    assert not (tmp_path / "data").exists()


def test_files_that_are_no_worklist_are_named_and_no_failure(run: Run, tmp_path: Path, lists: Path) -> None:
    (lists / "notes.txt").write_text("nothing")

    code, out, err = run("worklist", "import", lists, "--data", tmp_path / "data")

    assert code == 0
    assert "notes.txt" in out
    assert "1 created, 1 skipped" in err


def test_a_worklist_file_that_is_refused_is_named_and_a_failure(run: Run, tmp_path: Path, lists: Path) -> None:
    put(lists, "two", item(2, PatientID=None))

    code, out, err = run("worklist", "import", lists, "--data", tmp_path / "data")

    assert code == 1
    assert "two" in out
    assert "1 created, 1 refused" in err


def test_a_folder_that_does_not_exist_is_wrong_use(run: Run, tmp_path: Path) -> None:
    code, out, err = run("worklist", "import", tmp_path / "nowhere", "--data", tmp_path / "data")

    assert (code, out) == (2, "")
    assert "not a folder" in err


def test_an_imported_file_is_in_the_journal_and_can_be_read_there(run: Run, tmp_path: Path, lists: Path) -> None:
    run("worklist", "import", lists, "--data", tmp_path / "data")
    (kept,) = json.loads(run("messages", "list", "--json", "--data", tmp_path / "data")[1])

    code, out, _ = run("messages", "show", kept["id"], "--data", tmp_path / "data")

    assert kept["message_type"] == "WORKLIST^FILE"
    assert kept["outcome"] == "created"
    assert code == 0
    assert "Accession Number" in out


def test_the_timeline_says_that_a_step_was_imported(run: Run, tmp_path: Path, lists: Path) -> None:
    run("worklist", "import", lists, "--data", tmp_path / "data")

    story = json.loads(run("orders", "show", "A1", "--json", "--data", tmp_path / "data")[1])

    assert {event["actor"] for event in story["events"]} == {"import"}
