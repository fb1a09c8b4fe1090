"""What people are shown is the same on every database."""

from __future__ import annotations

from sqlalchemy import insert

from broker.store import tables as t
from broker.store.database import Database
from broker.store.shown import find_order, list_messages, list_orders, list_steps, message
from broker.store.story import order_story
from tests.unit.cli.conftest import RAW, STUDY, a_message, plant_order, plant_what_was_done


def test_an_order_and_its_story_are_found_by_each_number(database: Database) -> None:
    with database.write() as tx:
        plant_order(tx)
        plant_what_was_done(tx)

    with database.read() as tx:
        found = [find_order(tx, number) for number in ("A1", "PO1", "FO1", "B0000001", STUDY, "P1", "")]
        story = order_story(tx, found[0][0])

    assert [len(orders) for orders in found] == [1, 1, 1, 1, 1, 0, 0]
    assert (story.order.status, story.order.accession_numbers, story.order.steps) == ("STARTED", ("A1",), 3)
    assert [step.step_id for step in story.steps] == ["S1", "S2", "S3"]
    assert [event.kind for event in story.events] == ["created", "state"]
    assert [(step.performed_id, step.step_id) for step in story.performed_steps] == [("PPS1", "S1")]
    assert [(study.series, study.images, set(study.how)) for study in story.studies] == [
        (1, 2, {"step id", "study uid"})
    ]
    assert [alarm.kind for alarm in story.alarms] == ["other-patient"]
    assert not story.cut


def test_a_story_longer_than_the_limit_is_cut_and_says_so(database: Database) -> None:
    with database.write() as tx:
        plant_order(tx)
        plant_what_was_done(tx)

    with database.read() as tx:
        story = order_story(tx, find_order(tx, "A1")[0], limit=1)

    assert (len(story.events), story.cut) == (1, True)


def test_lists_keep_to_their_limit(database: Database) -> None:
    with database.write() as tx:
        plant_order(tx)
        tx.execute(insert(t.messages), [a_message(number) for number in range(1, 6)])

    with database.read() as tx:
        assert [one.id for one in list_messages(tx, 2)] == [5, 4]
        assert [one.step_id for one in list_steps(tx, 1)] == ["S1"]
        assert len(list_orders(tx, 10)) == 1


def test_a_message_keeps_its_bytes(database: Database) -> None:
    with database.write() as tx:
        tx.execute(insert(t.messages), a_message(1))

    with database.read() as tx:
        found, missing = message(tx, 1), message(tx, 2)

    assert found is not None
    assert found.raw == RAW
    assert missing is None
