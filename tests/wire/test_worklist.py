"""The worklist over real sockets on both databases: what a scanner asks, sees, cancels, and is refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE
from pynetdicom.sop_class import ModalityPerformedProcedureStep, ModalityWorklistInformationFind

from broker.dicom.contract import Reply
from broker.dicom.listener import DicomListener, services_by_class
from broker.dicom.worklist import WorklistService
from broker.site.profile import Site, load
from broker.store.database import Database
from tests.kit.databases import Databases
from tests.kit.raw_dicom import RawPeer, cancel_rq, find_rq
from tests.kit.steps import STEP, PlannedStep, put_steps

PROFILE = """
time_zone = "Europe/Berlin"
[stations.CT1]
modalities = ["CT"]
[stations.MR1]
modalities = ["MR"]
[peers.QUIET]
hide_started = true
"""


def no_service(_) -> Iterator[Reply]:
    yield Reply(0x0122)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    path: Path = tmp_path_factory.mktemp("site") / "site.toml"
    path.write_text(PROFILE)
    return load(path)


@pytest.fixture
def door(database: Database, site: Site) -> Iterator[DicomListener]:
    """A DICOM door with the worklist behind it."""
    services = services_by_class(WorklistService(database, site), no_service, no_service)
    opened = DicomListener("127.0.0.1", 0, "BROKER", services, site.peers)
    opened.start()
    yield opened
    opened.stop(1.0)


@pytest.fixture
def schedule(database: Database, site: Site) -> Callable[..., None]:
    """Puts steps on the list; keyword lists make one step each."""
    count = iter(range(1, 1_000_000, 1000))

    def put(*planned: PlannedStep) -> None:
        put_steps(database, site.rows, planned, first_id=next(count))

    return put


Answers = list[tuple[int, Dataset | None]]


@pytest.fixture
def ask(door: DicomListener) -> Iterator[Callable[..., Answers]]:
    """Asks with keys of the step and of the whole; all answers, the final one included, as (status, item)."""
    opened = []

    def find(
        step: dict[str, Any] | None = None,
        ae_title: str = "CT1",
        syntax: str = ImplicitVRLittleEndian,
        charset: str = "",
        **keys: Any,
    ) -> Answers:
        ae = AE(ae_title)
        ae.add_requested_context(ModalityWorklistInformationFind, syntax)
        association = ae.associate("127.0.0.1", door.port)
        opened.append(association)
        answers = association.send_c_find(query_of(step, charset, **keys), ModalityWorklistInformationFind)
        return [(status.Status, item) for status, item in answers]

    yield find
    for association in opened:
        association.release()


def query_of(step: dict[str, Any] | None, charset: str = "", **keys: Any) -> Dataset:
    asked = Dataset()
    if charset:
        asked.SpecificCharacterSet = charset
    for keyword, value in keys.items():
        setattr(asked, keyword, value)
    item = Dataset()
    for keyword, value in {"ScheduledProcedureStepID": "", **(step or {})}.items():
        setattr(item, keyword, value)
    asked.ScheduledProcedureStepSequence = [item]
    return asked


def steps_in(answers: Answers) -> list[str]:
    """Step ids in the answers; they end with success."""
    assert answers[-1] == (0x0000, None)
    return [item.ScheduledProcedureStepSequence[0].ScheduledProcedureStepID for _, item in answers[:-1] if item]


def test_an_empty_list_is_success_and_nothing_else(ask):
    assert ask() == [(0x0000, None)]


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian])
def test_what_is_asked_is_returned_and_nothing_else(ask, schedule, syntax):
    schedule(PlannedStep(name="DOE^ANN", patient_id="P1", modality="CT"))

    [(status, item), _] = ask({"Modality": ""}, syntax=syntax, PatientName="", PatientWeight="")

    assert status == 0xFF00
    assert [element.keyword for element in item] == ["PatientName", "PatientWeight", "ScheduledProcedureStepSequence"]
    assert item.PatientName == "DOE^ANN"
    assert item["PatientWeight"].is_empty
    step = item.ScheduledProcedureStepSequence[0]
    assert [element.keyword for element in step] == ["Modality", "ScheduledProcedureStepID"]
    assert step.Modality == "CT"


PLANNED = (
    PlannedStep(
        step_id="S1", name="Müller^Jürgen", patient_id="P1", accession="A1", procedure_id="R1", study_uid="1.2.1",
        modality="CT", stations=("CT1",), start_at="20260302101500",
        values={f"{STEP}.ScheduledPerformingPhysicianName": "Techniker^Tom"},
    ),
    PlannedStep(
        step_id="S2", name="DOE_1^ANN", patient_id="P2", accession="A2", procedure_id="R2", study_uid="1.2.2",
        modality="MR", stations=("MR1", "MR2"), start_at="20260303221500",
    ),
    PlannedStep(
        step_id="S3", name="DOEX1^ANN", patient_id="p2", accession="A%2", procedure_id="R3", study_uid="1.2.3",
        modality="CT", stations=("CT2",), start_at="20260305083000",
    ),
)  # fmt: skip


@pytest.mark.parametrize(
    ("step", "keys", "found"),
    [
        ({"ScheduledStationAETitle": "CT1"}, {}, ["S1"]),
        ({"ScheduledStationAETitle": "MR2"}, {}, ["S2"]),
        ({"ScheduledStationAETitle": "CT*"}, {}, ["S1", "S3"]),
        ({"ScheduledProcedureStepStartDate": "20260302"}, {}, ["S1"]),
        ({"ScheduledProcedureStepStartDate": "20260302-20260303"}, {}, ["S1", "S2"]),
        ({"ScheduledProcedureStepStartDate": "-20260303"}, {}, ["S1", "S2"]),
        ({"ScheduledProcedureStepStartDate": "20260303-"}, {}, ["S2", "S3"]),
        ({"ScheduledProcedureStepStartTime": "1015"}, {}, ["S1"]),
        ({"ScheduledProcedureStepStartTime": "101500"}, {}, ["S1"]),
        ({"ScheduledProcedureStepStartTime": "0800-1100"}, {}, ["S1", "S3"]),
        (
            {"ScheduledProcedureStepStartDate": "20260302-20260305", "ScheduledProcedureStepStartTime": "1100-0830"},
            {},
            ["S2", "S3"],
        ),
        ({"Modality": "CT"}, {}, ["S1", "S3"]),
        ({"Modality": "ct"}, {}, []),
        ({"ScheduledPerformingPhysicianName": "tech*"}, {}, ["S1"]),
        ({"ScheduledProcedureStepID": "S2"}, {}, ["S2"]),
        ({"ScheduledProcedureStepStatus": "SCHEDULED"}, {}, ["S1", "S2", "S3"]),
        ({}, {"PatientName": "müller*", "charset": "ISO_IR 192"}, ["S1"]),
        ({}, {"PatientName": "Muller^Jurgen"}, ["S1"]),
        ({}, {"PatientName": "DOE_1*"}, ["S2"]),
        ({}, {"PatientName": "*ANN"}, ["S2", "S3"]),
        ({}, {"PatientID": "P2"}, ["S2"]),
        ({}, {"PatientID": "P*"}, ["S1", "S2"]),
        ({}, {"AccessionNumber": "A%2"}, ["S3"]),
        ({}, {"AccessionNumber": "A?2"}, ["S3"]),
        ({}, {"RequestedProcedureID": "R3"}, ["S3"]),
        ({}, {"StudyInstanceUID": ["1.2.3", "1.2.1"]}, ["S1", "S3"]),
        ({"Modality": "CT", "ScheduledProcedureStepStartDate": "20260305"}, {"PatientName": "d*"}, ["S3"]),
        ({"Modality": "*"}, {"PatientName": "*", "PatientID": "*"}, ["S1", "S2", "S3"]),
    ],
)
def test_each_key_finds_its_steps(ask, schedule, step, keys, found):
    schedule(*PLANNED)

    assert steps_in(ask(step, **keys)) == found


@pytest.mark.parametrize("charset", ["ISO_IR 100", "ISO_IR 192"])
def test_a_name_is_found_in_any_character_set_and_answered_in_the_one_asked(ask, schedule, charset):
    schedule(*PLANNED)

    [(_, item), _] = ask(charset=charset, PatientName="MÜLLER*")

    assert item.SpecificCharacterSet == charset
    assert item.PatientName == "Müller^Jürgen"


def test_plain_text_is_answered_without_character_set(ask, schedule):
    schedule(PlannedStep())

    [(_, item), _] = ask(charset="ISO_IR 100", PatientName="")

    assert "SpecificCharacterSet" not in item


def test_what_the_set_asked_cannot_hold_is_answered_in_utf_8(ask, schedule):
    schedule(PlannedStep(name="Yamada^Tarou=山田^太郎"))

    [(_, item), _] = ask(charset="ISO_IR 100", PatientName="")

    assert item.SpecificCharacterSet == "ISO_IR 192"
    assert item.PatientName == "Yamada^Tarou=山田^太郎"


def test_codes_match_in_one_item(ask, schedule):
    codes = [
        {"CodeValue": "A", "CodingSchemeDesignator": "L", "CodeMeaning": "one"},
        {"CodeValue": "B", "CodingSchemeDesignator": "99X", "CodeMeaning": "two"},
    ]
    schedule(PlannedStep(values={f"{STEP}.ScheduledProtocolCodeSequence": codes}))

    def found(code: str, scheme: str) -> list[str]:
        item = Dataset()
        item.CodeValue, item.CodingSchemeDesignator = code, scheme
        return steps_in(ask({"ScheduledProtocolCodeSequence": [item]}))

    assert found("B", "99X") == ["S1"]
    assert found("A", "99X") == []


def test_what_is_not_listed_is_seen_when_its_status_is_named(ask, schedule):
    states = ("SCHEDULED", "ARRIVED", "READY", "STARTED", "DEPARTED", "COMPLETED", "DISCONTINUED", "CANCELED")
    schedule(*(PlannedStep(step_id=state, state=state) for state in states))

    assert steps_in(ask()) == ["SCHEDULED", "ARRIVED", "READY", "STARTED"]
    assert steps_in(ask(ae_title="QUIET")) == ["SCHEDULED", "ARRIVED", "READY"]
    for state in states:
        assert steps_in(ask({"ScheduledProcedureStepStatus": state})) == [state]
    assert steps_in(ask({"ScheduledProcedureStepStatus": "STARTED"}, ae_title="QUIET")) == ["STARTED"]
    assert steps_in(ask({"ScheduledProcedureStepStatus": "C*"})) == ["COMPLETED", "CANCELED"]


def test_a_held_step_is_never_seen(ask, schedule):
    schedule(PlannedStep(held="no modality"))

    assert steps_in(ask()) == []
    assert steps_in(ask({"ScheduledProcedureStepStatus": "SCHEDULED"})) == []


@pytest.mark.parametrize(
    ("asked", "returned"), [("CT1", "CT1"), ("MR1", None), ("NEW", "NEW"), ("", "CALLER"), ("C*", "CALLER")]
)
def test_an_open_step_names_the_station_that_asked(ask, schedule, asked, returned):
    schedule(PlannedStep(modality="CT"))

    answers = ask({"ScheduledStationAETitle": asked}, ae_title="CALLER")

    titles = [item.ScheduledProcedureStepSequence[0].ScheduledStationAETitle for _, item in answers[:-1] if item]
    assert titles == ([returned] if returned else [])


def test_an_unknown_value_is_found_by_the_universal_key_only(ask, schedule):
    schedule(PlannedStep())

    assert steps_in(ask({"ScheduledPerformingPhysicianName": ""})) == ["S1"]
    assert steps_in(ask({"ScheduledPerformingPhysicianName": "*"})) == ["S1"]
    assert steps_in(ask({"ScheduledPerformingPhysicianName": "?*"})) == []


def test_a_key_that_is_not_supported_filters_nothing_and_is_told(ask, schedule):
    schedule(PlannedStep())

    answers = ask(EthnicGroup="X")

    assert steps_in(answers) == ["S1"]
    assert answers[0][0] == 0xFF01


def test_more_than_one_page_comes_complete_and_in_order(ask, schedule):
    schedule(*(PlannedStep(step_id=f"S{n:03}", start_at=f"202603021015{n % 60:02}") for n in range(250)))

    found = steps_in(ask())

    assert len(found) == len(set(found)) == 250
    assert found == sorted(found, key=lambda name: (int(name[1:]) % 60, name))


def test_a_query_that_is_cancelled_ends_and_the_next_one_is_answered(door, schedule):
    schedule(*(PlannedStep(step_id=f"S{n:03}") for n in range(400)))
    with RawPeer(door.port).associate() as scanner:
        # In one write: what has been answered before a cancel comes cannot be taken back.
        scanner.send(find_rq(9) + cancel_rq(9))

        assert scanner.status() == 0xFE00
        scanner.send(find_rq(9))
        assert scanner.status() == 0x0000


@pytest.mark.parametrize(
    ("step", "tag"),
    [
        ({"ScheduledProcedureStepStartDate": "yesterday"}, 0x00400002),
        ({"ScheduledProcedureStepStartTime": "2560"}, 0x00400003),
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_key_that_means_nothing_is_refused_by_name(door, step, tag):
    ae = AE("CT1")
    ae.add_requested_context(ModalityWorklistInformationFind)
    association = ae.associate("127.0.0.1", door.port)

    [(status, item)] = association.send_c_find(query_of(step), ModalityWorklistInformationFind)

    assert (status.Status, item) == (0xA900, None)
    assert status.OffendingElement == tag
    assert status.ErrorComment
    association.release()


def test_two_steps_in_one_query_are_refused(door):
    asked = query_of({"Modality": "CT"})
    asked.ScheduledProcedureStepSequence.append(Dataset())
    asked.ScheduledProcedureStepSequence[1].Modality = "MR"
    ae = AE("CT1")
    ae.add_requested_context(ModalityWorklistInformationFind)
    association = ae.associate("127.0.0.1", door.port)

    [(status, _)] = association.send_c_find(asked, ModalityWorklistInformationFind)

    assert (status.Status, status.OffendingElement) == (0xA900, 0x00400100)
    association.release()


def test_a_lost_database_is_out_of_resources(ask, database, databases, schedule):
    schedule(PlannedStep())

    with lost(database, databases):
        [(status, item)] = ask()
    again = ask()

    assert (status, item) == (0xA700, None)
    assert steps_in(again) == ["S1"]


@contextmanager
def lost(database: Database, databases: Databases) -> Iterator[None]:
    """The database is away for a while."""
    if database.dialect == "postgresql":
        with databases.stopped_postgresql():
            yield
        return
    path = Path(str(database.backend.readers.url.database))
    away = path.with_suffix(".away")
    database.backend.readers.dispose()
    path.rename(away)
    path.mkdir()
    yield
    path.rmdir()
    away.rename(path)


def test_nothing_of_a_query_is_logged(ask, schedule, capfd):
    schedule(*PLANNED)

    ask(PatientName="Müller*", PatientID="P1", charset="ISO_IR 192")

    told = capfd.readouterr()
    assert "dicom.worklist" in told.out + told.err
    assert "ller" not in told.out + told.err


def test_other_services_do_not_answer_on_the_worklist(door):
    ae = AE("CT1")
    ae.add_requested_context(ModalityPerformedProcedureStep)
    association = ae.associate("127.0.0.1", door.port)

    dataset = Dataset()
    dataset.Modality = "CT"
    status, _ = association.send_n_create(dataset, ModalityPerformedProcedureStep, "1.2.3")

    assert status.Status == 0x0122
    association.release()
