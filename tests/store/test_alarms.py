"""Alarms: one open row for each kind and subject, counted, closed by a person, opened anew."""

from __future__ import annotations

from broker.domain.order import Alarm
from broker.store.alarms import StoredAlarm, acknowledge, alarms_of_order, list_alarms, raise_alarms
from broker.store.database import Database
from tests.kit.clock import SettableClock

OTHER_PATIENT = Alarm("other-patient", "study 1.2.3", detail="first")


def raised(database: Database, clock: SettableClock, *alarms: Alarm) -> None:
    with database.write() as tx:
        raise_alarms(tx, alarms, clock.now())


def shown(database: Database, *, acknowledged: bool = False) -> list[StoredAlarm]:
    with database.read() as tx:
        return list_alarms(tx, acknowledged=acknowledged)


def closed(database: Database, clock: SettableClock, alarm_id: int) -> bool:
    with database.write() as tx:
        return acknowledge(tx, alarm_id, "ann", clock.now())


def test_an_alarm_is_listed_with_its_facts(database: Database, clock: SettableClock) -> None:
    raised(database, clock, OTHER_PATIENT)

    (alarm,) = shown(database)
    assert (alarm.kind, alarm.subject, alarm.detail, alarm.count) == ("other-patient", "study 1.2.3", "first", 1)
    assert alarm.first_at == alarm.last_at == clock.now()
    assert alarm.acknowledged_at is None


def test_a_repeat_raises_the_count_and_moves_the_last_time(database: Database, clock: SettableClock) -> None:
    begun_at = clock.now()
    raised(database, clock, OTHER_PATIENT)
    clock.advance(minutes=5)
    raised(database, clock, Alarm("other-patient", "study 1.2.3", detail="second"))

    (alarm,) = shown(database)
    assert (alarm.count, alarm.detail) == (2, "second")
    assert (alarm.first_at, alarm.last_at) == (begun_at, clock.now())


def test_repeats_inside_one_transaction_are_one_alarm(database: Database, clock: SettableClock) -> None:
    raised(database, clock, OTHER_PATIENT, Alarm("other-patient", "study 4.5.6"), OTHER_PATIENT, OTHER_PATIENT)

    assert {(alarm.subject, alarm.count) for alarm in shown(database)} == {("study 1.2.3", 3), ("study 4.5.6", 1)}


def test_an_acknowledged_alarm_is_closed_in_somebodys_name(database: Database, clock: SettableClock) -> None:
    raised(database, clock, OTHER_PATIENT)
    (alarm,) = shown(database)

    assert closed(database, clock, alarm.id)

    assert shown(database) == []
    (kept,) = shown(database, acknowledged=True)
    assert (kept.acknowledged_by, kept.acknowledged_at) == ("ann", clock.now())


def test_what_happens_again_after_that_is_a_new_alarm(database: Database, clock: SettableClock) -> None:
    raised(database, clock, OTHER_PATIENT)
    (first,) = shown(database)
    closed(database, clock, first.id)
    clock.advance(minutes=1)

    raised(database, clock, OTHER_PATIENT)

    (second,) = shown(database)
    assert second.id != first.id
    assert second.count == 1
    assert [alarm.id for alarm in shown(database, acknowledged=True)] == [second.id, first.id]


def test_an_alarm_is_acknowledged_once(database: Database, clock: SettableClock) -> None:
    raised(database, clock, OTHER_PATIENT)
    (alarm,) = shown(database)

    assert closed(database, clock, alarm.id)
    assert not closed(database, clock, alarm.id)
    assert not closed(database, clock, 999)


def test_an_order_without_alarms_has_none(database: Database, clock: SettableClock) -> None:
    raised(database, clock, OTHER_PATIENT)

    with database.read() as tx:
        assert alarms_of_order(tx, 1) == []
