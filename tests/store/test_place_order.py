"""Placing orders on both databases: what was decided is what is loaded again, whoever else writes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from broker.domain.order import AliasKind, Forest, StepState
from broker.domain.request import MessageAnswer, Outcome, PlaceOrder, ReceivedMessage
from broker.hl7v2.reader import read
from broker.mapping.messages.readers import READERS
from broker.mapping.splice import value_of
from broker.site.profile import Site, load
from broker.store.database import Database, open_database
from broker.store.forest import load_forest
from broker.store.lookup import find_orders
from broker.store.tables import scheduled_steps
from broker.store.writer import Writer
from broker.workflow.place_order import place_order_verb
from broker.workflow.reencode_steps import reencode_open_steps
from tests.kit.clock import SettableClock
from tests.kit.messages import Case

WAIT = 20.0


class Desk:
    """Places orders through the one writer, as the HL7 door does."""

    def __init__(self, database: Database, clock: SettableClock, site: Site | None = None) -> None:
        self.database, self.clock = database, clock
        self.site = site or load(None)
        self.writer = Writer(database)
        self.verb = place_order_verb(self.site, database.ids, clock)
        self.writer.start()

    def read(self, raw: bytes) -> PlaceOrder:
        message = read(raw)
        received = ReceivedMessage(
            raw, "127.0.0.1:9", self.clock.now(), self.site.sender("OF", "HOSP"), "", "", "ORM", "O01",
            control_id=message.header.field(10), digest=str(hash(raw)),
        )  # fmt: skip
        request = READERS["ORM", "O01"](message, received, self.site)
        assert isinstance(request, PlaceOrder)
        return request

    def place(self, raw: bytes) -> MessageAnswer:
        answer = self.writer.ask(self.verb, self.read(raw), len(raw), WAIT)
        assert isinstance(answer, MessageAnswer)
        return answer

    def forest(self, case: Case) -> Forest:
        with self.database.read() as tx:
            found = find_orders(tx, [(AliasKind.PLACER, case.placer)])
        with self.database.write() as tx:
            return load_forest(tx, next(iter(found.values()), set()))

    def elements(self) -> list[bytes]:
        with self.database.read() as tx:
            return list(
                tx.execute(
                    scheduled_steps.select().order_by("id").with_only_columns(scheduled_steps.c.elements)
                ).scalars()
            )


@pytest.fixture
def desk(database: Database, clock: SettableClock) -> Iterator[Desk]:
    made = Desk(database, clock)
    yield made
    made.writer.stop(5.0)


def test_everything_that_was_decided_is_loaded_again(desk):
    case = Case()

    desk.place(case.order(device="CTAE", accession="", study_uid="", procedure_id="", step_id=""))
    desk.place(case.order(control="XO", device="CTAE"))

    forest = desk.forest(case)
    (order,), (procedure,), (step,) = forest.orders.values(), forest.procedures.values(), forest.steps.values()
    (patient,) = forest.patients.values()
    assert (patient.primary.value, patient.primary.issuer.namespace) == (case.patient_id, "HOSP")
    assert (order.placer.value, order.placer.issuer.namespace) == (case.placer, "OP")
    assert (procedure.accession.value, procedure.study_uid) == (case.accession, case.study_uid)
    assert (step.step_id, step.stations, step.start_at, step.modality) == (
        case.step_id, ("CTAE",), "20260302101500", "CT",
    )  # fmt: skip
    assert (procedure.generated, step.generated) == (frozenset(), frozenset())
    assert {alias.kind for alias in forest.aliases} == {
        AliasKind.ACCESSION, AliasKind.STUDY_UID, AliasKind.PROCEDURE_ID, AliasKind.STEP_ID,
    }  # fmt: skip
    assert patient.values["PatientName"] == "Doe^Jane^A"


def test_stations_keep_the_senders_order_and_change_with_it(desk):
    case = Case()

    desk.place(case.order(device="CT9"))
    desk.place(case.order(control="XO", device="CT1"))

    (step,) = desk.forest(case).steps.values()
    assert step.stations == ("CT1",)


def test_a_new_name_is_in_every_open_steps_elements_at_once(desk):
    first, second = Case(), Case()
    patient = {"patient": first.patient_id}
    desk.place(first.order(header=patient))

    desk.place(second.order(header={**patient, "name": "Doe^Janet"}))

    names = [value_of(desk.site.rows, elements, "PatientName") for elements in desk.elements()]
    assert names == ["Doe^Janet", "Doe^Janet"]


def test_the_second_message_of_a_batch_sees_the_first(desk):
    case = Case()
    requests = [desk.read(case.order(control=control)) for control in ("NW", "XO", "CA", "NW")]
    requests = [replace(r, message=replace(r.message, control_id=str(i))) for i, r in enumerate(requests)]
    gate = threading.Event()
    blocked = replace(desk.verb, load=lambda tx, rs: (gate.wait(WAIT), desk.verb.load(tx, rs))[1])

    # The first request holds the writer while the others gather into one batch behind it.
    futures = [desk.writer.submit(blocked, desk.read(Case().order()), 1)]
    futures += [desk.writer.submit(desk.verb, request, 1) for request in requests]
    gate.set()

    outcomes = [future.result(WAIT).outcome for future in futures[1:]]
    assert outcomes == [Outcome.CREATED, Outcome.UNCHANGED, Outcome.CANCELLED, Outcome.SUPERSEDED]
    (step,) = desk.forest(case).steps.values()
    assert step.state is StepState.CANCELED


def test_two_processes_that_place_the_same_order_at_once_make_one_order(database, database_url, clock, tmp_path):
    other_database = open_database(database_url, tmp_path, migrate=False, lock_seconds=10.0)
    desks = [Desk(database, clock), Desk(other_database, clock)]
    cases = [Case() for _ in range(12)]
    try:
        placed = [
            [desk.writer.submit(desk.verb, desk.read(case.order(header={"control_id": f"{n}-{case.number}"})), 1)
             for case in cases]
            for n, desk in enumerate(desks)
        ]  # fmt: skip
        outcomes = [[future.result(WAIT).outcome for future in futures] for futures in placed]
        for one, other in zip(*outcomes, strict=True):
            assert {one, other} == {Outcome.CREATED, Outcome.UNCHANGED}
        assert all(len(desks[0].forest(case).orders) == 1 for case in cases)
    finally:
        for desk in desks:
            desk.writer.stop(5.0)
        other_database.close()


def test_values_at_their_longest_are_kept_on_both_databases(desk):
    case = Case()
    longest = {"accession": "A" * 16, "procedure_id": "R" * 16, "step_id": "S" * 16, "device": "D" * 16}
    header = {"patient": "P" * 64 + "^^^HOSP", "name": "N" * 64, "application": "X" * 180, "facility": "Y" * 180}

    answer = desk.place(case.order(placer="O" * 64, filler="F" * 64, header=header, **longest))

    assert answer.refusal is None
    assert (
        desk.place(case.order(control="CA", placer="O" * 64, filler="F" * 64, header=header, **longest)).refusal is None
    )


def test_open_steps_are_read_anew_from_their_messages_when_a_row_is_added(desk, database, clock, tmp_path):
    weight, weightless = Case(), Case()
    desk.place(weight.order(extra=("OBX|1|NM|99-1^Local thing^X||seven",)))
    desk.place(weightless.order())
    profile = tmp_path / "site.toml"
    profile.write_text(
        '[rows.PatientComments]\nsource = [\'OBX[3.1="99-1"]-5\']\nmatch = "none"\nreturn = "3"\ntitle = "x"\n'
    )
    site = load(profile)

    count = reencode_open_steps(database, site, clock)

    assert count == 2
    assert [value_of(site.rows, e, "PatientComments") for e in desk.elements()] == ["seven", None]
    assert reencode_open_steps(database, site, clock) == 0


def test_a_held_step_is_released_when_the_profile_learns_its_modality(desk, database, clock, tmp_path):
    case = Case()
    desk.place(case.order(modality=""))
    (held,) = desk.forest(case).steps.values()
    profile = tmp_path / "site.toml"
    rule = '[[modality_rules]]\nwhen = { "RequestedProcedureCodeSequence.CodeValue" = "CT*" }\nmodality = "CT"\n'
    profile.write_text(rule)

    reencode_open_steps(database, load(profile), clock)

    (step,) = desk.forest(case).steps.values()
    assert (held.held, step.held, step.modality) == ("no modality", None, "CT")


def test_reading_anew_keeps_the_order_in_which_messages_took_effect(desk, database, clock, tmp_path):
    case = Case()
    desk.place(case.order(reason="^first"))
    clock.set(datetime(2026, 3, 2, 13, tzinfo=UTC))
    desk.place(case.order(control="XO", reason="^second"))
    desk.place(case.order(control="XO", reason=""))
    profile = tmp_path / "site.toml"
    profile.write_text(
        '[rows.AdmittingDiagnosesDescription]\nsource = ["OBR-31.2"]\nmatch = "none"\nreturn = "3"\ntitle = "x"\n'
    )

    site = load(profile)
    reencode_open_steps(database, site, clock)

    assert [value_of(site.rows, e, "AdmittingDiagnosesDescription") for e in desk.elements()] == [["second"]]
