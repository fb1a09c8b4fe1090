"""DCMTK's example worklists, imported, are found by its example queries as its own server answers them."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset

from tests.kit import dcmtk
from tests.kit.databases import Databases
from tests.kit.processes import ServedBroker

STEP = "ScheduledProcedureStepSequence"
QUERIES = 13
ITEMS = 10
ANSWERS_TO_EXAMPLES = (10, 10, 0, 10, 0, 6, 0, 0, 0, 0, 10, 10, 0)
"""How many of the ten items each of the thirteen queries finds: most ask for a station that none is planned on."""

EXCUSED: Mapping[str, str] = {
    f"{STEP}.ScheduledProcedureStepEndDate": (
        "wlmscpfs returns it empty where all of the sequence is asked for. PS3.4 Table K.6-1 has it among `all other"
        " attributes of the Scheduled Procedure Step Module`, type 3, and the profile has no row for it: PS3.5 7.4.5, a"
        " type 3 attribute may be absent; PS3.4 K.4.1.1.3.2, what is not supported is not returned"
    ),
    f"{STEP}.ScheduledProcedureStepEndTime": "as the end date",
    f"{STEP}.ScheduledProcedureStepStatus": (
        "wlmscpfs returns what the file holds, nothing; we say SCHEDULED, because we know it: PS3.4 Table K.6-1, type"
        " 3, with the terms of PS3.3 C.4.10"
    ),
}
"""Every difference that may remain, by attribute, with the paragraph that excuses it."""

FURTHER_KEYS = (
    (f"{STEP}[0].ScheduledStationAETitle=AA32",),
    (f"{STEP}[0].ScheduledStationAETitle=NN77", f"{STEP}[0].Modality"),
    (f"{STEP}[0].Modality=CT", "PatientName"),
    (f"{STEP}[0].ScheduledProcedureStepStartDate=19960101-19960501", "AccessionNumber"),
    (f"{STEP}[0].ScheduledPerformingPhysicianName=ROSS", "PatientID"),
    ("PatientName=VIVALDI*", "RequestedProcedureID"),
    ("PatientID=HF", f"{STEP}[0].ScheduledProcedureStepID"),
    ("PatientName=NOBODY", "PatientID"),
)
"""Queries that find something by the other required keys, and one that finds nothing."""


@pytest.fixture(scope="module")
def lists(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The examples as files: OFFIS/*.wl for DCMTK's server (made by its dump2dcm), queries/0.dcm and so on."""
    folder = tmp_path_factory.mktemp("lists")
    for dump in dcmtk.examples("wlistdb/OFFIS").glob("*.dump"):
        _convert(dump, folder / "database" / "OFFIS" / f"{dump.stem}.wl")
    for dump in dcmtk.examples("wlistqry").glob("*.dump"):
        _convert(dump, folder / "queries" / f"{re.sub('[^0-9]', '', dump.stem)}.dcm")
    (folder / "database" / "OFFIS" / "lockfile").touch()
    return folder


def _convert(dump: Path, file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    made = dcmtk.run("dump2dcm", "-q", "-g", dump, file)
    assert made.returncode == 0, made.stdout


@pytest.fixture(scope="module")
def imported(databases: Databases, tmp_path_factory: pytest.TempPathFactory, lists: Path) -> Iterator[ServedBroker]:
    """A broker into which the examples were imported while it served."""
    folder = tmp_path_factory.mktemp("imported")
    with databases.fresh("sqlite", folder) as url, ServedBroker(folder / "data", url) as process:
        report = process.json("worklist", "import", str(lists / "database" / "OFFIS"))
        assert (report["created"], report["skipped"]) == (ITEMS, 1)
        yield process


@pytest.fixture(scope="module")
def peer(lists: Path) -> Iterator[int]:
    """DCMTK's own worklist server on the same files; its port."""
    with dcmtk.serving_worklist(lists / "database") as port:
        yield port


@pytest.mark.parametrize("number", range(QUERIES))
def test_an_example_query_is_answered_as_wlmscpfs_answers_it(imported, peer, lists, tmp_path, number):
    query = lists / "queries" / f"{number}.dcm"

    theirs = dcmtk.find_datasets(peer, "OFFIS", tmp_path / "theirs", query)
    ours = dcmtk.find_datasets(imported.ports["dicom"], "OFFIS", tmp_path / "ours", query)

    assert len(theirs) == ANSWERS_TO_EXAMPLES[number]
    assert _comparable(ours) == _comparable(theirs)


@pytest.mark.parametrize("keys", FURTHER_KEYS, ids=" ".join)
def test_another_query_is_answered_as_wlmscpfs_answers_it(imported, peer, tmp_path, keys):
    words = [word for key in keys for word in ("-k", key)]

    theirs = dcmtk.find_datasets(peer, "OFFIS", tmp_path / "theirs", *words)
    ours = dcmtk.find_datasets(imported.ports["dicom"], "OFFIS", tmp_path / "ours", *words)

    assert bool(theirs) == ("NOBODY" not in keys[0])
    assert _comparable(ours) == _comparable(theirs)


def test_each_excuse_is_needed(imported, peer, lists, tmp_path):
    query = lists / "queries" / "3.dcm"

    theirs = dcmtk.find_datasets(peer, "OFFIS", tmp_path / "theirs", query)[0]
    ours = dcmtk.find_datasets(imported.ports["dicom"], "OFFIS", tmp_path / "ours", query)[0]

    differing = {
        keyword
        for keyword in {*_values(theirs[STEP].value[0]), *_values(ours[STEP].value[0])}
        if keyword not in theirs[STEP].value[0] or keyword not in ours[STEP].value[0] or keyword.endswith("Status")
    }
    assert {f"{STEP}.{keyword}" for keyword in differing} == EXCUSED.keys()


def test_dumps_are_imported_as_the_files_that_dump2dcm_makes_of_them(imported):
    folder = dcmtk.examples("wlistdb")

    report = imported.json("worklist", "import", str(folder))

    assert report["unchanged"] == ITEMS
    assert report["created"] == report["updated"] == report["refused"] == 0
    skipped = [file["name"] for file in report["outcomes"] if file["outcome"] == "skipped"]
    assert not any(name.endswith(".dump") for name in skipped)


def test_what_dcmdump_prints_is_imported_too(imported, lists, tmp_path):
    printed = dcmtk.run("dcmdump", lists / "database" / "OFFIS" / "wklist1.wl")
    (tmp_path / "printed.txt").write_text(printed.stdout)

    report = imported.json("worklist", "import", str(tmp_path), "--dry-run")

    assert (report["unchanged"], report["files"]) == (1, 1)


def test_the_import_names_what_is_no_worklist(imported, lists, tmp_path):
    (tmp_path / "notes.txt").write_text("nothing that a scanner could use\n")
    (tmp_path / "empty").touch()
    subprocess.run(["mkfifo", str(tmp_path / "pipe")], check=True)

    result = imported.command("worklist", "import", str(tmp_path))

    assert result.returncode == 0
    for name in ("notes.txt", "empty", "pipe"):
        assert name in result.stdout


def _comparable(answers: list[Dataset]) -> list[str]:
    """Answers as text without what is excused, in an order of their own."""
    return sorted(json.dumps(_values(answer), sort_keys=True) for answer in answers)


def _values(dataset: Dataset, above: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for element in dataset:
        place = f"{above}{element.keyword}"
        if element.tag.group == 2 or place in EXCUSED:
            continue
        sequence = element.VR == "SQ"
        found[element.keyword] = (
            [_values(item, f"{place}.") for item in element.value] if sequence else str(element.value)
        )
    return found
