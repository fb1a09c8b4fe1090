"""The column that says whether a step is listed follows its state and its hold, whatever moves it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import Row, select

from broker.domain.linking import LinkKeys
from broker.domain.order import LISTED, StepState
from broker.domain.performed import PerformedCreate, PerformedMessage, PerformedSet, PerformedState, Progress
from broker.site.profile import load
from broker.store.database import Database
from broker.store.tables import scheduled_steps
from broker.workflow.import_folder import ImportOrder, ImportReport, files_in, import_folder
from broker.workflow.record_performed import record_performed_verb
from broker.workflow.reencode_steps import reencode_open_steps
from tests.kit.clock import SettableClock
from tests.kit.messages import Case
from tests.kit.worklist_files import item, put
from tests.store.test_place_order import WAIT, Desk

BEGAN = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
ORDERS = {
    "place": ("NW", "", "CT"),
    "place without modality": ("NW", "", ""),
    "change": ("XO", "", "CT"),
    "change without modality": ("XO", "", ""),
    "start": ("XO", "IP", "CT"),
    "complete": ("SC", "CM", "CT"),
    "started elsewhere": ("SC", "IP", "CT"),
    "cancelled elsewhere": ("SC", "CA", "CT"),
    "discontinue": ("DC", "", "CT"),
    "cancel": ("CA", "", "CT"),
}
"""What a sender does: ORC-1, ORC-5 and the modality."""

ENDS = {"end work": PerformedState.COMPLETED, "give up work": PerformedState.DISCONTINUED}
MOVES = (*ORDERS, "begin work", *ENDS)


class Walk:
    """One order with one step, moved by all doors."""

    def __init__(self, desk: Desk) -> None:
        self.case = Case()
        self._desk = desk
        self._performing = record_performed_verb(desk.site, desk.database.ids)
        self._moves = 0
        self._works = 0

    def move(self, name: str) -> None:
        """The way it is answered is not looked at: what is refused moves nothing."""
        self._moves += 1
        if name == "begin work":
            self._works += 1
            keys = LinkKeys(
                self.case.patient_id, modality="CT", station="CT1", step_id=self.case.step_id,
                requested_procedure_id=self.case.procedure_id, accession=self.case.accession,
            )  # fmt: skip
            self._perform(
                PerformedCreate(
                    self._message(b"created"),
                    PerformedState.IN_PROGRESS,
                    "PPS",
                    self.case.patient_id,
                    "",
                    "CT",
                    "CT1",
                    "20260302091500",
                    Progress(series_count=0, image_count=0),
                    (keys,),
                )  # fmt: skip
            )
        elif name in ENDS:
            self._perform(PerformedSet(self._message(b"changed"), ENDS[name], Progress()))
        else:
            control, status, modality = ORDERS[name]
            stamp = f"{BEGAN + timedelta(minutes=self._moves):%Y%m%d%H%M%S}"
            raw = self.case.order(
                control=control, status=status, modality=modality, order_time=stamp, header={"message_time": stamp}
            )
            self._desk.place(raw)

    def step(self) -> Row[Any] | None:
        """The step as it is kept; None while there is none."""
        return next((row for row in steps(self._desk.database) if row.step_id == self.case.step_id), None)

    def _message(self, dataset: bytes) -> PerformedMessage:
        uid = f"2.25.9.{self.case.number}.{self._works}"
        return PerformedMessage(uid, dataset, "1.2.840.10008.1.2", "CT1", BEGAN + timedelta(minutes=self._moves))

    def _perform(self, request: PerformedCreate | PerformedSet) -> None:
        self._desk.writer.ask(self._performing, request, 100, WAIT)


@pytest.fixture
def desk(database: Database, clock: SettableClock) -> Iterator[Desk]:
    made = Desk(database, clock)
    yield made
    made.writer.stop(5.0)


def steps(database: Database) -> Sequence[Row[Any]]:
    with database.read() as tx:
        return tx.execute(select(scheduled_steps).order_by(scheduled_steps.c.id)).all()


def wrongly_listed(database: Database) -> list[tuple[str, str | None, bool]]:
    """State, hold and what is said of them, where they do not agree."""
    return [
        (step.state, step.held, step.listed)
        for step in steps(database)
        if step.listed != (step.held is None and StepState(step.state) in LISTED)
    ]


@pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("moves", "told"),
    [
        ("place, cancel, place", "SCHEDULED yes, CANCELED no, SCHEDULED yes"),
        ("place without modality, change", "SCHEDULED held, SCHEDULED yes"),
        ("place without modality, cancel, place", "SCHEDULED held, CANCELED held, SCHEDULED yes"),
        ("place, begin work, end work, begin work", "SCHEDULED yes, STARTED yes, COMPLETED no, STARTED yes"),
        ("place, begin work, give up work, begin work", "SCHEDULED yes, STARTED yes, DISCONTINUED no, STARTED yes"),
        ("place, start, complete", "SCHEDULED yes, STARTED yes, COMPLETED no"),
        ("place, complete, begin work", "SCHEDULED yes, COMPLETED no, STARTED yes"),
        ("place, start, discontinue", "SCHEDULED yes, STARTED yes, DISCONTINUED no"),
        ("place without modality, begin work, end work", "SCHEDULED held, STARTED held, COMPLETED held"),
    ],
)
def test_a_step_is_listed_until_it_ends_and_unless_it_is_held(desk: Desk, moves: str, told: str) -> None:
    walk = Walk(desk)

    seen = []
    for move in moves.split(", "):
        walk.move(move)
        step = walk.step()
        assert step is not None
        seen.append(f"{step.state} {'held' if step.held else 'yes' if step.listed else 'no'}")

    assert ", ".join(seen) == told
    assert wrongly_listed(desk.database) == []


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=15)
@given(moves=st.lists(st.sampled_from(MOVES), min_size=1, max_size=10))
@example(moves=["place without modality", "begin work", "change", "end work", "begin work", "give up work"])
@example(moves=["place", "cancel", "begin work", "end work", "change without modality", "place", "begin work"])
@example(moves=["place", "start", "begin work", "complete", "end work", "discontinue", "begin work", "cancel"])
def test_whatever_the_doors_do_the_column_follows(desk: Desk, moves: list[str]) -> None:
    walk = Walk(desk)

    for move in moves:
        walk.move(move)

        assert wrongly_listed(desk.database) == [], move


def test_moves_of_one_batch_leave_the_column_right(desk: Desk) -> None:
    case = Case()
    stamps = [f"2026030109{minute:02d}00" for minute in range(5)]
    raws = [
        case.order(control=control, modality=modality, order_time=stamp, header={"message_time": stamp})
        for stamp, (control, modality) in zip(
            stamps, [("NW", ""), ("XO", "CT"), ("CA", "CT"), ("NW", ""), ("XO", "CT")], strict=True
        )
    ]
    requests = [desk.read(raw) for raw in raws]

    futures = desk.writer.submit_together(desk.verb, requests, 1000)
    for future in futures:
        future.result(WAIT)

    assert [(step.state, step.held, step.listed) for step in steps(desk.database)] == [("SCHEDULED", None, True)]


def test_a_step_that_the_profile_releases_is_listed(desk: Desk, tmp_path: Path) -> None:
    desk.place(Case().order(modality=""))
    (before,) = steps(desk.database)
    profile = tmp_path / "site.toml"
    profile.write_text(
        '[[modality_rules]]\nwhen = { "RequestedProcedureCodeSequence.CodeValue" = "CT*" }\nmodality = "CT"\n'
    )

    reencode_open_steps(desk.database, load(profile), desk.clock)

    (after,) = steps(desk.database)
    assert (before.held, before.listed) == ("no modality", False)
    assert (after.held, after.listed) == (None, True)


def test_an_imported_step_is_listed_by_the_state_that_it_comes_with(desk: Desk, tmp_path: Path) -> None:
    """Each state, and each state after each other one."""
    folder = tmp_path / "lists"
    folder.mkdir()
    pairs = list(product(StepState, StepState))

    for at in (0, 1):
        for number, pair in enumerate(pairs):
            planned = item(number, step={"ScheduledProcedureStepStatus": pair[at].value})
            put(folder, f"{number}", planned, "part10")
        sender = desk.site.sender("import", "")
        order = ImportOrder(folder, files_in(folder), sender, False)
        import_folder(desk.database, desk.site, desk.clock, order, ImportReport(), lambda: None)

        assert {step.state for step in steps(desk.database)} == {state.value for state in StepState}
        assert wrongly_listed(desk.database) == []
