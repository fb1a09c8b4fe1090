"""The acceptor's table, cell by cell, against the standard's and against pynetdicom's; and long walks through it."""

from __future__ import annotations

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pynetdicom.fsm import ACTIONS, TRANSITION_TABLE

from broker.dicom.engine.association import (
    BY_PROVIDER,
    BY_USER,
    NEXT,
    TABLE,
    Action,
    Association,
    Event,
    ImpossibleEvent,
    State,
)
from broker.dicom.engine.pdu import RELEASE_RP_PDU, RELEASE_RQ_PDU, AbortReason, abort_pdu

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "2000"))

STATES = ("Sta1", "Sta2", "Sta3", "Sta6", "Sta7", "Sta8", "Sta10", "Sta12", "Sta13")
STANDARD = {
    #        Sta1    Sta2    Sta3    Sta6    Sta7    Sta8    Sta10    Sta12   Sta13
    "Evt3": ("", "AA-1", "AA-8", "AA-8", "AA-8", "AA-8", "AA-8", "AA-8", "AA-6"),
    "Evt4": ("", "AA-1", "AA-8", "AA-8", "AA-8", "AA-8", "AA-8", "AA-8", "AA-6"),
    "Evt5": ("AE-5", "", "", "", "", "", "", "", ""),
    "Evt6": ("", "AE-6", "AA-8", "AA-8", "AA-8", "AA-8", "AA-8", "AA-8", "AA-7"),
    "Evt7": ("", "", "AE-7", "", "", "", "", "", ""),
    "Evt8": ("", "", "AE-8", "", "", "", "", "", ""),
    "Evt9": ("", "", "", "DT-1", "", "AR-7", "", "", ""),
    "Evt10": ("", "AA-1", "AA-8", "DT-2", "AR-6", "AA-8", "AA-8", "AA-8", "AA-6"),
    "Evt11": ("", "", "", "AR-1", "", "", "", "", ""),
    "Evt12": ("", "AA-1", "AA-8", "AR-2", "AR-8", "AA-8", "AA-8", "AA-8", "AA-6"),
    "Evt13": ("", "AA-1", "AA-8", "AA-8", "AR-3", "AA-8", "AR-10", "AA-8", "AA-6"),
    "Evt14": ("", "", "", "", "", "AR-4", "", "AR-4", ""),
    "Evt15": ("", "", "AA-1", "AA-1", "AA-1", "AA-1", "AA-1", "AA-1", ""),
    "Evt16": ("", "AA-2", "AA-3", "AA-3", "AA-3", "AA-3", "AA-3", "AA-3", "AA-2"),
    "Evt17": ("", "AA-5", "AA-4", "AA-4", "AA-4", "AA-4", "AA-4", "AA-4", "AR-5"),
    "Evt18": ("", "AA-2", "", "", "", "", "", "", "AA-2"),
    "Evt19": ("", "AA-1", "AA-8", "AA-8", "AA-8", "AA-8", "AA-8", "AA-8", "AA-7"),
}
"""PS3.8 Table 9-10, the states of an acceptor; "" is a blank cell."""

NEXT_STATE = {
    "AE-5": "Sta2", "AE-6": "Sta3", "AE-7": "Sta6", "AE-8": "Sta13", "DT-1": "Sta6", "DT-2": "Sta6", "AR-1": "Sta7",
    "AR-2": "Sta8", "AR-3": "Sta1", "AR-4": "Sta13", "AR-5": "Sta1", "AR-6": "Sta7", "AR-7": "Sta8", "AR-8": "Sta10",
    "AR-10": "Sta12", "AA-1": "Sta13", "AA-2": "Sta1", "AA-3": "Sta1", "AA-4": "Sta1", "AA-5": "Sta1", "AA-6": "Sta13",
    "AA-7": "Sta13", "AA-8": "Sta13",
}  # fmt: skip
"""PS3.8 Tables 9-6 to 9-9."""

SENT = {
    "AE-7": [b"made by the caller"],
    "AE-8": [b"made by the caller"],
    "DT-1": [b"made by the caller"],
    "AR-7": [b"made by the caller"],
    "AR-1": [RELEASE_RQ_PDU],
    "AR-4": [RELEASE_RP_PDU],
    "AA-1": [abort_pdu(BY_USER, 0)],
    "AA-7": [abort_pdu(BY_PROVIDER, 2)],
    "AA-8": [abort_pdu(BY_PROVIDER, 2)],
}

CELLS = [(event, state, action) for event, row in STANDARD.items() for state, action in zip(STATES, row, strict=True)]
LEGAL = [cell for cell in CELLS if cell[2]]
BLANK = [cell for cell in CELLS if not cell[2]]


def in_state(state: str) -> Association:
    association = Association()
    association.state = State(state)
    return association


def test_every_state_and_event_of_an_acceptor_is_in_the_table() -> None:
    assert {state.value for state in State} == set(STATES)
    assert {event.value for event in Event} == set(STANDARD) == {event.value for event in TABLE}
    assert {action.value for action in NEXT} == set(NEXT_STATE) == {action.value for action in Action}


@pytest.mark.parametrize(("event", "state", "action"), LEGAL)
def test_each_event_does_what_the_standard_says(event: str, state: str, action: str) -> None:
    association = in_state(state)

    done = association.occurs(Event(event), [b"made by the caller"])

    assert done.value == action
    assert association.state.value == NEXT_STATE[action]
    assert association.outgoing == SENT.get(action, [])


@pytest.mark.parametrize(("event", "state", "action"), BLANK)
def test_an_event_without_a_cell_is_our_own_mistake_and_changes_nothing(event: str, state: str, action: str) -> None:
    association = in_state(state)

    with pytest.raises(ImpossibleEvent):
        association.occurs(Event(event), [b"made by the caller"])

    assert (association.state.value, association.outgoing) == (state, [])


@pytest.mark.parametrize(("event", "state", "action"), CELLS)
def test_the_table_is_pynetdicoms(event: str, state: str, action: str) -> None:
    assert TRANSITION_TABLE.get((event, state), "") == action
    if action:
        told = ACTIONS[action][2]
        states = {told} if isinstance(told, str) else set(told)
        assert NEXT_STATE[action] in {name for one in states for name in one.replace(" or ", ",").split(",")}


def test_the_reason_of_an_abort_is_what_was_wrong() -> None:
    association = in_state("Sta6")

    association.occurs(Event.INVALID_RECEIVED, reason=AbortReason.UNRECOGNIZED_PDU)

    assert association.outgoing == [abort_pdu(BY_PROVIDER, 1)]


def test_a_release_collision_ends_with_both_answers() -> None:
    association = in_state("Sta6")

    for event in (Event.RELEASE, Event.RELEASE_RECEIVED, Event.RELEASE_REPLY_RECEIVED, Event.RELEASE_REPLY):
        association.occurs(event)

    assert association.outgoing == [RELEASE_RQ_PDU, RELEASE_RP_PDU]
    assert association.state is State.CLOSING


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.lists(st.sampled_from(Event), max_size=30))
def test_whatever_happens_nothing_is_sent_after_the_end_but_aborts(events: list[Event]) -> None:
    association = Association()
    association.occurs(Event.CONNECTED)

    for event in events:
        before = association.state
        association.outgoing.clear()
        try:
            association.occurs(event, [b"made by the caller"])
        except ImpossibleEvent:
            assert association.state is before
        if before is State.IDLE:
            assert association.outgoing == []
        if before is State.CLOSING:
            assert association.state in (State.CLOSING, State.IDLE)
            assert all(sent[0] == 7 for sent in association.outgoing)
        assert not (association.is_open and association.is_over)
        assert before is not State.IDLE or event is Event.CONNECTED or association.state is State.IDLE
