"""Recording performed steps: what is kept, what it moves, and that one batch sees its own requests."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import event, select

from broker.domain.linking import LinkKeys
from broker.domain.order import StepState
from broker.domain.performed import (
    PerformedCreate,
    PerformedMessage,
    PerformedSet,
    PerformedState,
    Progress,
    Verdict,
)
from broker.domain.request import Issuer
from broker.site.profile import load
from broker.store.alarms import list_alarms
from broker.store.performed import messages_of_performed, performed_by_uid
from broker.store.tables import aliases, performed_links, performed_steps, scheduled_steps, step_events
from broker.store.writer import Writer
from broker.workflow.record_performed import record_performed_verb
from tests.kit.planted import AT, plant

RUNNING, DONE, GIVEN_UP = PerformedState.IN_PROGRESS, PerformedState.COMPLETED, PerformedState.DISCONTINUED
IMPLICIT = "1.2.840.10008.1.2"


@pytest.fixture(scope="module")
def site():
    return load(None)


@pytest.fixture
def verb(site, database):
    return record_performed_verb(site, database.ids)


@pytest.fixture
def record(writer, verb):
    def ask(request):
        return writer.ask(verb, request, 100, 20.0)

    return ask


@pytest.fixture
def record_at_once(database, verb):
    """Hands all requests over before the writer starts, so that they are one batch."""

    def ask(*requests):
        writer = Writer(database)
        futures = [writer.submit(verb, request, 100) for request in requests]
        writer.start()
        answers = [future.result(20.0) for future in futures]
        writer.stop(5.0)
        return answers

    return ask


def create(uid, *items, patient="P1", start="20260302091500"):
    keys = tuple(replace(item, patient_id=patient, modality="CT", station="CT1", when=start) for item in items)
    return PerformedCreate(
        PerformedMessage(uid, b"created", IMPLICIT, "CT1", AT), RUNNING, "PPS1", patient, "", "CT", "CT1", start,
        Progress(series_count=0, image_count=0), keys,
    )  # fmt: skip


def change(uid, state=None, **progress):
    message = PerformedMessage(uid, b"changed", IMPLICIT, "CT1", AT + timedelta(minutes=5))
    return PerformedSet(message, state, Progress(**progress))


def by_ids(number=1, step=1):
    return LinkKeys("", step_id=f"S{number}-{step}", requested_procedure_id=f"RP{number}", accession=f"A{number}")


def states(database):
    with database.read() as tx:
        query = select(scheduled_steps.c.state).order_by(scheduled_steps.c.id)
        return [StepState(state) for state in tx.execute(query).scalars()]


def rows(database, table, *names):
    with database.read() as tx:
        return [tuple(row) for row in tx.execute(select(*(table.c[name] for name in names)).order_by(table.c.id))]


def alarms(database):
    with database.read() as tx:
        return [(alarm.kind, alarm.subject, alarm.order_id) for alarm in list_alarms(tx, limit=10)]


def test_a_performed_step_starts_and_ends_its_scheduled_step(database, site, record):
    plant(database, site, 1)

    created = record(create("1.9", by_ids()))
    running = states(database)
    ended = record(change("1.9", DONE, ended_at="20260302093000", series_count=2, image_count=40))

    with database.read() as tx:
        step, links = performed_by_uid(tx, ["1.9"])["1.9"]
    assert (created.verdict, ended.verdict) == (Verdict.RECORDED, Verdict.RECORDED)
    assert (running, states(database)) == ([StepState.STARTED], [StepState.COMPLETED])
    assert (step.state, step.ended_at, step.series_count, step.image_count) == (DONE, "20260302093000", 2, 40)
    assert [(one.order_id, one.step_id) for one in links] == [(1, 11)]


def test_every_message_is_kept_as_received(database, site, record):
    plant(database, site, 1)
    answer = record(create("1.9", by_ids()))

    record(change("1.9"))
    record(change("1.9", GIVEN_UP))

    with database.read() as tx:
        kept = messages_of_performed(tx, answer.performed_step_id)
    assert [(one.command, one.dataset, one.peer) for one in kept] == [
        ("N-CREATE", b"created", "CT1"), ("N-SET", b"changed", "CT1"), ("N-SET", b"changed", "CT1"),
    ]  # fmt: skip


def test_the_timeline_names_cause_and_actor(database, site, record):
    plant(database, site, 1)
    record(create("1.9", by_ids()))

    record(change("1.9", DONE))

    told = rows(database, step_events, "kind", "step_id", "before", "after", "actor")
    assert told == [
        ("linked", 11, None, None, "dicom:CT1"),
        ("performed", 11, None, "IN PROGRESS", "dicom:CT1"),
        ("state", 11, "SCHEDULED", "STARTED", "dicom:CT1"),
        ("performed", 11, "IN PROGRESS", "COMPLETED", "dicom:CT1"),
        ("state", 11, "STARTED", "COMPLETED", "dicom:CT1"),
    ]


def test_values_that_a_set_leaves_out_stay(database, site, record):
    plant(database, site, 1)
    record(create("1.9", by_ids()))
    record(change("1.9", series_count=3, image_count=30))

    record(change("1.9", GIVEN_UP, reason="110513 DCM unspecified"))

    with database.read() as tx:
        step, _ = performed_by_uid(tx, ["1.9"])["1.9"]
    assert (step.series_count, step.image_count, step.reason) == (3, 30, "110513 DCM unspecified")


def test_the_second_request_of_a_batch_sees_the_first(database, site, record_at_once):
    plant(database, site, 1)

    answers = record_at_once(
        create("1.9", by_ids()), create("1.9", by_ids()), change("1.9", DONE), change("1.9", GIVEN_UP), change("1.8")
    )

    assert [answer.verdict for answer in answers] == [
        Verdict.RECORDED, Verdict.DUPLICATE, Verdict.RECORDED, Verdict.FINAL, Verdict.UNKNOWN,
    ]  # fmt: skip
    assert states(database) == [StepState.COMPLETED]
    assert rows(database, performed_steps, "state") == [("COMPLETED",)]


def test_the_same_requests_one_by_one_give_the_same(database, site, record):
    plant(database, site, 1)

    answers = [record(one) for one in (
        create("1.9", by_ids()), create("1.9", by_ids()), change("1.9", DONE), change("1.9", GIVEN_UP), change("1.8"),
    )]  # fmt: skip

    assert [answer.verdict for answer in answers] == [
        Verdict.RECORDED, Verdict.DUPLICATE, Verdict.RECORDED, Verdict.FINAL, Verdict.UNKNOWN,
    ]  # fmt: skip


def test_one_performed_step_moves_all_steps_it_names(database, site, record):
    plant(database, site, 1, "CT", "MR")
    plant(database, site, 2)
    record(create("1.9", by_ids(1, 1), by_ids(1, 2), by_ids(1, 2)))
    running = states(database)

    record(change("1.9", DONE))

    assert running == [StepState.STARTED, StepState.STARTED, StepState.SCHEDULED]
    assert states(database) == [StepState.COMPLETED, StepState.COMPLETED, StepState.SCHEDULED]
    assert len(rows(database, performed_links, "id")) == 2


def test_a_step_ends_with_the_last_of_its_performed_steps(database, site, record, record_at_once):
    plant(database, site, 1)
    record_at_once(create("1.8", by_ids()), create("1.9", by_ids()))
    record(change("1.8", DONE))
    between = states(database)

    record(change("1.9", GIVEN_UP))

    assert (between, states(database)) == ([StepState.STARTED], [StepState.COMPLETED])


def test_a_further_performed_step_opens_a_finished_step_again(database, site, record_at_once):
    plant(database, site, 1)

    record_at_once(create("1.8", by_ids()), change("1.8", DONE), create("1.9", by_ids()))

    assert states(database) == [StepState.STARTED]


def test_evidence_made_later_for_the_study_leaves_a_finished_step(database, site, record_at_once):
    plant(database, site, 1)

    record_at_once(create("1.8", by_ids()), change("1.8", DONE), create("1.9", LinkKeys("", study_uid="1.2.1")))

    assert states(database) == [StepState.COMPLETED]


def test_work_on_a_cancelled_step_is_told_and_moves_nothing(database, site, record):
    plant(database, site, 1)
    with database.write() as tx:
        tx.execute(scheduled_steps.update().values(state="CANCELED"))

    record(create("1.9", by_ids()))
    record(change("1.9", DONE))

    assert states(database) == [StepState.CANCELED]
    assert alarms(database) == [("performed-on-cancelled", "1.9", 1)]


@pytest.mark.parametrize("item", [by_ids(), LinkKeys("", study_uid="1.2.1"), LinkKeys("", accession="A1")])
@pytest.mark.parametrize("patient", ["P2", ""])
def test_another_patient_is_kept_not_linked_and_alarmed(database, site, record, item, patient):
    plant(database, site, 1)

    answer = record(create("1.9", item, patient=patient))

    assert answer.verdict is Verdict.RECORDED
    assert rows(database, performed_steps, "sop_instance_uid") == [("1.9",)]
    assert (rows(database, performed_links, "id"), states(database)) == ([], [StepState.SCHEDULED])
    assert alarms(database) == [("other-patient", "1.9", 1)]


def test_the_same_patient_under_another_name_is_linked_and_flagged(database, site, record):
    plant(database, site, 1)
    request = create("1.9", by_ids())

    record(replace(request, items=tuple(replace(item, patient_name="ROE^RICHARD") for item in request.items)))

    assert states(database) == [StepState.STARTED]
    assert alarms(database) == [("patient-flagged", "1.9", 1)]


def test_an_issuer_is_compared_by_its_namespace_where_the_object_names_no_more(database, site, record):
    plant(database, site, 1)
    request = create("1.9", by_ids())

    record(replace(request, items=tuple(replace(item, patient_issuer=Issuer("HOSP")) for item in request.items)))

    assert states(database) == [StepState.STARTED]


def test_unscheduled_work_is_kept_and_moves_nothing(database, site, record):
    plant(database, site, 1)

    answer = record(create("1.9", LinkKeys("", study_uid="2.25.77"), patient="NOBODY"))
    ended = record(change("1.9", DONE))

    assert (answer.verdict, ended.verdict) == (Verdict.RECORDED, Verdict.RECORDED)
    assert (states(database), alarms(database)) == ([StepState.SCHEDULED], [])


def test_work_that_only_resembles_a_step_is_proposed_and_moves_nothing(database, site, record):
    plant(database, site, 1)

    record(create("1.9", LinkKeys("", study_uid="2.25.77")))
    record(change("1.9", DONE))

    assert rows(database, performed_links, "step_id", "how", "sure") == [(11, "proposal", "proposal")]
    assert states(database) == [StepState.SCHEDULED]


def test_a_study_uid_made_by_the_modality_becomes_another_name_of_the_procedure(database, site, record_at_once):
    plant(database, site, 1)
    own = replace(by_ids(), study_uid="2.25.5")

    record_at_once(create("1.9", own), create("1.10", LinkKeys("", study_uid="2.25.5")))

    assert rows(database, aliases, "kind", "value", "procedure_id") == [("study_uid", "2.25.5", 1)]
    assert [how for (how,) in rows(database, performed_links, "how")] == ["step-id", "study-uid"]


def test_a_study_uid_of_another_patient_never_becomes_a_name(database, site, record):
    plant(database, site, 1)
    plant(database, site, 2)

    record(create("1.9", replace(by_ids(), study_uid="1.2.2")))

    assert rows(database, aliases, "value") == []
    assert states(database) == [StepState.STARTED, StepState.SCHEDULED]


def test_the_first_start_becomes_the_study_date_of_the_worklist_item(database, site, record):
    plant(database, site, 1, "CT", "MR")
    before = rows(database, scheduled_steps, "elements")

    record(create("1.9", by_ids(1, 1), start="20260301235900"))

    after = rows(database, scheduled_steps, "elements")
    assert all(b"20260301" in elements for (elements,) in after)
    assert not any(b"20260301" in elements for (elements,) in before)


def test_a_batch_of_any_size_reads_with_the_same_number_of_statements(database, site, verb):
    counts = []
    for number in range(1, 41):
        database.ids.top_up()
        plant(database, site, number)
    statements = []
    with database.write() as tx:
        event.listen(tx, "before_cursor_execute", lambda *details: statements.append(details[2]))
        for size in (2, 40):
            statements.clear()
            requests = [create(f"1.9.{n}", by_ids(n), patient=f"P{n}") for n in range(1, size + 1)]
            verb.load(tx, requests)
            counts.append(len(statements))

    assert counts[0] == counts[1]
