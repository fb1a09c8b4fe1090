"""Worklist questions to the store, on both databases: SQL, the Python tree and a naive matcher find the same steps."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.uid import ImplicitVRLittleEndian
from sqlalchemy import update

from broker.domain.matching import All, Equals, Like, NameLike, Station, matches, with_known_stations
from broker.domain.order import LISTED, StepState
from broker.domain.rules import Station as KnownStation
from broker.mapping.query import read_query
from broker.site.profile import load
from broker.store.tables import scheduled_steps
from broker.store.worklist import page_of_steps
from tests.kit.naive_matching import answers
from tests.kit.steps import STEP, PlannedStep, forget_steps, put_steps

SITE = load(None)
KNOWN = {"CT1": KnownStation("CT1", ("CT",)), "MR1": KnownStation("MR1", ("MR", "US")), "ANY": KnownStation("ANY")}
KNOWN_MODALITIES = {title: station.modalities for title, station in KNOWN.items()}

NAMES = (
    "DOE^ANN", "DOE_1^ANN", "DOEX1^ANN", "Müller^Jürgen", "MULLER", "Strauß^A%B", "Yamada^Tarou=山田^太郎=やまだ",
    "Иванов^Пётр", "O'NEIL", "Łukasz", "=山田", "d^o^e",
)  # fmt: skip
NAME_KEYS = (
    "doe*", "DOE_1*", "D?E^*", "*ann", "muller*", "MÜLLER^JURGEN", "strauss*", "*%*", "山田*", "*=山*", "=山田*",
    "иванов*", "yamada^tarou", "*^*", "lukasz", "?*", "*", "", "doe", "yam*=山田*", "*a*", "ö", "d*\\m*", "o'n*",
)  # fmt: skip
TEXTS = ("A1", "a1", "A_1", "A%1", "A*1", "AX1", "B", "1.2", "12", "A1 B", "\U0010ffff")
TEXT_KEYS = (
    "A1", "a1", "A_1", "A%1", "A?1", "A*", "*1", "?", "??", "*", "", " A1 ", "A*\\B", "[A]1", "1.2", "?_1", "?%1",
    "\U0010ffff*",
)  # fmt: skip
UIDS = ("1.2", "1.2.3", "1.2.30", "2.25.1")
UID_KEYS = ("1.2", "1.2.3\\2.25.1", "9.9", "", "1.2\\1.2.30\\1.2")
MODALITIES = ("CT", "MR", "US")
STATIONS = ("CT1", "CT2", "MR1", "CT_", "ANY")
STATION_KEYS = ("CT1", "MR1", "ANY", "NOBODY", "CT?", "CT*", "*", "", "CT1\\MR1", "CT_", "ct1")
STARTS = ("20260301235959", "20260302000000", "20260302101500", "20260302101530", "20260302223000", "20260305000000")
DATE_KEYS = ("", "20260302", "20260301-20260302", "-20260302", "20260303-", "20260302-20260305", "20260305-20260302")
TIME_KEYS = ("", "1015", "101500", "10", "100000-180000", "-1015", "1015-", "22-23", "000000", "2230-2359")
PHYSICIANS = ("SMITH^BOB", "Ångström", "")


@st.composite
def planned_steps(draw) -> PlannedStep:
    def one(choices):
        return draw(st.sampled_from(choices))

    values = {
        f"{STEP}.ScheduledPerformingPhysicianName": one(PHYSICIANS),
        f"{STEP}.ScheduledProcedureStepDescription": one(("", *TEXTS)),
    }
    return PlannedStep(
        name=one(NAMES),
        patient_id=one(TEXTS),
        accession=one(TEXTS),
        procedure_id=one(TEXTS),
        study_uid=one(UIDS),
        step_id=one(TEXTS),
        modality=one(MODALITIES),
        stations=tuple(draw(st.lists(st.sampled_from(STATIONS), max_size=2, unique=True))),
        start_at=one(STARTS),
        state=one([state.value for state in StepState]),
        held=one((None, None, None, "no modality")),
        values=values,
    )


CHOICES = {
    "PatientName": NAME_KEYS,
    "PatientID": TEXT_KEYS,
    "AccessionNumber": TEXT_KEYS,
    "RequestedProcedureID": TEXT_KEYS,
    "StudyInstanceUID": UID_KEYS,
    f"{STEP}.ScheduledProcedureStepID": TEXT_KEYS,
    f"{STEP}.Modality": ("CT", "MR", "C*", "", "*", "ct", "CT\\US"),
    f"{STEP}.ScheduledStationAETitle": STATION_KEYS,
    f"{STEP}.ScheduledProcedureStepStartDate": DATE_KEYS,
    f"{STEP}.ScheduledProcedureStepStartTime": TIME_KEYS,
    f"{STEP}.ScheduledProcedureStepStatus": ("", "*", "SCHEDULED", "COMPLETED", "*ED", "STARTED\\CANCELED"),
    f"{STEP}.ScheduledPerformingPhysicianName": ("smith*", "ANGSTROM", "*", "?*"),
    f"{STEP}.ScheduledProcedureStepDescription": TEXT_KEYS,
}


@st.composite
def queries(draw) -> dict[str, str]:
    keys = draw(st.lists(st.sampled_from(list(CHOICES)), max_size=4, unique=True))
    return {key: draw(st.sampled_from(CHOICES[key])) for key in keys}


def identifier_of(keys: dict[str, str]) -> bytes:
    """Keys as an encoded identifier, in Implicit VR Little Endian and UTF-8."""
    asked, item = Dataset(), Dataset()
    asked.SpecificCharacterSet = "ISO_IR 192"
    for key, value in keys.items():
        target = item if key.startswith(STEP) else asked
        setattr(target, key.rpartition(".")[2], value)
    asked.ScheduledProcedureStepSequence = [item]
    buffer = DicomBytesIO()
    buffer.is_implicit_VR, buffer.is_little_endian = True, True
    write_dataset(buffer, asked)
    return buffer.getvalue()


class View:
    """A planned step as matching sees it."""

    def __init__(self, step: PlannedStep) -> None:
        self._values = {**step.all_values(), "start": step.start_at}
        self.stations = step.stations
        self.modality = step.modality

    def value(self, key: str):
        return self._values.get(key) or None


def found_in(database, tree, states, planned: list[PlannedStep], page_size: int) -> list[int]:
    """Ids of the steps that SQL and the part left over for Python find, page by page."""
    ids: list[int] = []
    last = None
    while True:
        with database.read() as tx:
            page = page_of_steps(tx, tree, states, last, page_size)
        ids += [step.id for step in page.steps if matches(page.left_over, View(planned[step.id - 1]))]
        if not page.full:
            return ids
        last = page.steps[-1]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(planned=st.lists(planned_steps(), min_size=1, max_size=12), asked=st.lists(queries(), min_size=1, max_size=12))
@example(planned=[PlannedStep(name=name) for name in NAMES], asked=[{"PatientName": key} for key in NAME_KEYS])
@example(planned=[PlannedStep(accession=text) for text in TEXTS], asked=[{"AccessionNumber": key} for key in TEXT_KEYS])
@example(
    planned=[PlannedStep(start_at=start) for start in STARTS],
    asked=[
        {f"{STEP}.ScheduledProcedureStepStartDate": day, f"{STEP}.ScheduledProcedureStepStartTime": at}
        for day in DATE_KEYS
        for at in TIME_KEYS
    ],
)
def test_three_matchers_find_the_same_steps(database, planned, asked):
    forget_steps(database)
    put_steps(database, SITE.rows, planned)

    for keys in asked:
        query = read_query(SITE.rows, identifier_of(keys), ImplicitVRLittleEndian, "CT9")
        tree = with_known_stations(query.tree, KNOWN)
        states = None if query.names_status else LISTED

        stored = found_in(database, tree, states, planned, page_size=5)

        naive = {number for number, step in enumerate(planned, 1) if answers(step, keys, KNOWN_MODALITIES)}
        shown = {
            number
            for number, step in enumerate(planned, 1)
            if step.held is None and (states is None or StepState(step.state) in states)
        }
        python = {number for number in shown if matches(tree, View(planned[number - 1]))}
        assert set(stored) == naive, keys
        assert python == naive, keys
        assert stored == sorted(stored, key=lambda number: (planned[number - 1].start_at, number))


def listed(database, tree, states=LISTED, after=None, limit=100):
    with database.read() as tx:
        return page_of_steps(tx, tree, states, after, limit)


def test_a_page_ends_where_the_next_begins(database):
    put_steps(database, SITE.rows, [PlannedStep(step_id=f"S{n}", start_at=f"2026030210150{n % 3}") for n in range(7)])

    first = listed(database, All(), limit=3)
    second = listed(database, All(), after=first.steps[-1], limit=3)
    third = listed(database, All(), after=second.steps[-1], limit=3)

    assert [first.full, second.full, third.full] == [True, True, False]
    assert [step.id for page in (first, second, third) for step in page.steps] == [1, 4, 7, 2, 5, 3, 6]


def test_held_steps_are_never_listed(database):
    put_steps(database, SITE.rows, [PlannedStep(held="no modality"), PlannedStep(step_id="S2")])

    assert [step.id for step in listed(database, All(), states=None).steps] == [2]


def test_a_step_with_two_stations_is_found_once(database):
    put_steps(database, SITE.rows, [PlannedStep(stations=("CT1", "CT2"))])

    assert len(listed(database, Station("CT*")).steps) == 1


@pytest.mark.parametrize(
    ("predicate", "exact"),
    [
        (Equals("PatientID", "P1"), True),
        (Like("AccessionNumber", "A?"), True),
        (NameLike("PatientName", "doe*"), True),
        (NameLike("PatientName", "doe^ann"), True),
        (NameLike("PatientName", "*ann"), False),
        (NameLike("PatientName", "山*"), False),
        (Equals("PatientSex", "F"), False),
    ],
)
def test_what_a_column_answers_is_not_checked_again(database, predicate, exact):
    assert listed(database, All((predicate,))).left_over == All(() if exact else (predicate,))


def test_a_key_cannot_break_out_of_its_parameter(database):
    put_steps(database, SITE.rows, [PlannedStep()])

    assert listed(database, Equals("PatientID", "P1' OR '1'='1")).steps == []
    assert listed(database, Like("PatientID", "\\*")).steps == []


def test_five_thousand_uids_are_one_question(database):
    uids = "\\".join(f"2.25.{number}" for number in range(5000))
    put_steps(
        database, SITE.rows, [PlannedStep(study_uid="2.25.4999"), PlannedStep(step_id="S2", study_uid="2.25.5000")]
    )
    query = read_query(SITE.rows, identifier_of({"StudyInstanceUID": uids}), ImplicitVRLittleEndian, "CT9")

    assert [step.id for step in listed(database, query.tree).steps] == [1]


def test_a_prefix_ends_at_the_last_character_of_all(database):
    put_steps(database, SITE.rows, [PlannedStep(accession="A\U0010ffffB"), PlannedStep(step_id="S2", accession="B")])

    assert [step.id for step in listed(database, Like("AccessionNumber", "A\U0010ffff*")).steps] == [1]


def test_a_step_that_changes_meanwhile_is_read_as_it_is_now(database):
    put_steps(database, SITE.rows, [PlannedStep(), PlannedStep(step_id="S2", start_at="20260303101500")])
    first = listed(database, All(), limit=1)
    with database.write() as tx:
        tx.execute(
            update(scheduled_steps)
            .where(scheduled_steps.c.id == 2)
            .values(state="CANCELED", updated_at=datetime(2026, 3, 2, tzinfo=UTC))
        )

    assert listed(database, All(), after=first.steps[-1]).steps == []
