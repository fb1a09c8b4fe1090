"""Times of what happened to an order: they never run backwards, whatever the clock does."""

from __future__ import annotations

from datetime import datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from broker.domain.draft import Draft
from broker.domain.order import Event, Forest, Order, Patient, PatientIdentifier
from broker.domain.timeline import TICK, in_sequence, next_moment
from tests.unit.domain.orders import NOON

HOUR = timedelta(hours=1)
NUMBERS = (PatientIdentifier("P1"),)


def event(order_id: int, at: datetime) -> Event:
    return Event(at, order_id, "updated", "hl7:RIS|HOSP")


def order(number: int = 1, patient_id: int = 1, last_event_at: datetime | None = None) -> Order:
    return Order(number, patient_id, "RIS|HOSP", None, None, last_event_at=last_event_at)


def patient(number: int = 1, heard_at: datetime | None = None) -> Patient:
    return Patient(number, NUMBERS, heard_at=heard_at)


def test_a_time_is_kept_unless_a_later_one_is_known() -> None:
    assert next_moment(NOON) == NOON
    assert next_moment(NOON, None, NOON - HOUR) == NOON
    assert next_moment(NOON, NOON) == NOON
    assert next_moment(NOON, NOON + TICK, None) == NOON + 2 * TICK


def test_events_come_after_the_last_one_of_their_order_and_after_what_its_patient_was_heard_of() -> None:
    orders = {1: order(1, last_event_at=NOON + HOUR), 2: order(2, patient_id=2, last_event_at=NOON)}
    patients = {1: patient(1), 2: patient(2, heard_at=NOON + 2 * HOUR)}
    events = [event(1, NOON), event(2, NOON), event(1, NOON), event(1, NOON + 3 * HOUR)]

    told, latest = in_sequence(events, orders.__getitem__, patients.__getitem__)

    assert [one.at - NOON for one in told] == [HOUR + TICK, 2 * HOUR + TICK, HOUR + 2 * TICK, 3 * HOUR]
    assert latest.of_order(orders[1], NOON) == NOON + 3 * HOUR
    assert latest.of_patient(patients[2], NOON) == NOON + 2 * HOUR + TICK


def test_orders_of_one_patient_follow_each_other_within_a_batch() -> None:
    orders = {1: order(1, last_event_at=NOON + HOUR), 2: order(2)}

    told, latest = in_sequence([event(1, NOON), event(2, NOON)], orders.__getitem__, lambda number: patient())

    assert [one.at - NOON for one in told] == [HOUR + TICK, HOUR + 2 * TICK]
    assert latest.of_patient(patient(), NOON) == NOON + HOUR + 2 * TICK


def test_what_had_no_event_is_written_at_no_earlier_time_either() -> None:
    told, latest = in_sequence([], {}.__getitem__, {}.__getitem__)

    assert told == []
    assert latest.of_order(order(last_event_at=NOON + HOUR), NOON) == NOON + HOUR + TICK
    assert latest.of_order(order(), NOON) == NOON
    assert latest.of_patient(patient(heard_at=NOON + HOUR), NOON) == NOON + HOUR + TICK


def test_what_is_decided_now_about_several_orders_comes_after_the_last_of_all() -> None:
    orders = {1: order(1, last_event_at=NOON + HOUR), 2: order(2, patient_id=2, last_event_at=NOON)}
    draft = Draft(Forest({1: patient(1), 2: patient(2, heard_at=NOON + 2 * HOUR)}, orders))

    assert draft.moment(NOON, []) == NOON
    assert draft.moment(NOON, [1]) == NOON + HOUR + TICK
    assert draft.moment(NOON, [1, 2]) == NOON + 2 * HOUR + TICK
    assert draft.moment(NOON + 3 * HOUR, [1, 2]) == NOON + 3 * HOUR


@given(st.lists(st.tuples(st.integers(1, 3), st.integers(-600, 600)), max_size=20))
def test_times_rise_with_arrival_for_each_patient(arrivals: list[tuple[int, int]]) -> None:
    orders = {1: order(1), 2: order(2), 3: order(3, patient_id=2)}
    events = [event(number, NOON + timedelta(minutes=minutes)) for number, minutes in arrivals]

    told, _ = in_sequence(events, orders.__getitem__, patient)

    for patient_id in (1, 2):
        times = [one.at for one in told if orders[one.order_id].patient_id == patient_id]
        assert times == sorted(times)
    assert all(one.at >= sent.at for one, sent in zip(told, events, strict=True))
