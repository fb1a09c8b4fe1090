"""The acceptor's side of an association as one table of states and events (PS3.8 9.2). No socket, no clock.

The channel tells what occurred and does what is asked: write `outgoing`, wait no longer than ARTIM, close. A request
that we refuse ourselves (AE-6, not acceptable) takes the way of AE-8: the same PDU, the same next state.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

from broker.dicom.engine.pdu import RELEASE_RP_PDU, RELEASE_RQ_PDU, AbortReason, PduType, abort_pdu

BY_USER, BY_PROVIDER = 0, 2
"""Source of an A-ABORT (PS3.8 9.3.8)."""


class State(Enum):
    """States that an acceptor knows (PS3.8 9.2.2, Tables 9-1 to 9-5)."""

    IDLE = "Sta1"
    AWAITING_REQUEST = "Sta2"
    AWAITING_RESPONSE = "Sta3"  # ours, to the A-ASSOCIATE-RQ
    ESTABLISHED = "Sta6"
    RELEASING = "Sta7"  # we asked; awaiting A-RELEASE-RP
    RELEASE_ASKED = "Sta8"  # the peer asked; awaiting our response
    COLLISION = "Sta10"  # both asked; as acceptor we await A-RELEASE-RP first
    COLLISION_ANSWERED = "Sta12"  # it came; awaiting our response
    CLOSING = "Sta13"  # awaiting the close of the connection


class Event(Enum):
    """What may occur to an acceptor (PS3.8 9.2.1, Table 9-10)."""

    ACCEPT_RECEIVED = "Evt3"
    REJECT_RECEIVED = "Evt4"
    CONNECTED = "Evt5"
    REQUEST_RECEIVED = "Evt6"
    ACCEPT = "Evt7"
    REJECT = "Evt8"
    SEND_DATA = "Evt9"
    DATA_RECEIVED = "Evt10"
    RELEASE = "Evt11"
    RELEASE_RECEIVED = "Evt12"
    RELEASE_REPLY_RECEIVED = "Evt13"
    RELEASE_REPLY = "Evt14"
    ABORT = "Evt15"
    ABORT_RECEIVED = "Evt16"
    DISCONNECTED = "Evt17"
    ARTIM_EXPIRED = "Evt18"
    INVALID_RECEIVED = "Evt19"


class Action(Enum):
    """What is done then (PS3.8 9.2.3, Tables 9-6 to 9-9)."""

    AE_5 = "AE-5"  # start ARTIM
    AE_6 = "AE-6"  # stop ARTIM, tell of the request
    AE_7 = "AE-7"  # send A-ASSOCIATE-AC
    AE_8 = "AE-8"  # send A-ASSOCIATE-RJ, start ARTIM
    DT_1 = "DT-1"  # send P-DATA-TF
    DT_2 = "DT-2"  # tell of data
    AR_1 = "AR-1"  # send A-RELEASE-RQ
    AR_2 = "AR-2"  # tell of the wish to release
    AR_3 = "AR-3"  # released: close
    AR_4 = "AR-4"  # send A-RELEASE-RP, start ARTIM
    AR_5 = "AR-5"  # stop ARTIM
    AR_6 = "AR-6"  # tell of data
    AR_7 = "AR-7"  # send P-DATA-TF
    AR_8 = "AR-8"  # tell of the collision
    AR_10 = "AR-10"  # tell that the peer agrees to the release
    AA_1 = "AA-1"  # send A-ABORT of the user, start ARTIM
    AA_2 = "AA-2"  # stop ARTIM, close
    AA_3 = "AA-3"  # tell of the abort, close
    AA_4 = "AA-4"  # tell that the connection broke
    AA_5 = "AA-5"  # stop ARTIM
    AA_6 = "AA-6"  # ignore
    AA_7 = "AA-7"  # send A-ABORT again
    AA_8 = "AA-8"  # send A-ABORT of the provider, tell of it, start ARTIM


def _open(in_request: str, in_response: str, in_open: str, in_closing: str) -> dict[State, Action]:
    """A row of the table: Sta2, Sta3, all states of an open association alike, Sta13."""
    return {
        State.AWAITING_REQUEST: Action(in_request),
        State.AWAITING_RESPONSE: Action(in_response),
        State.ESTABLISHED: Action(in_open),
        State.RELEASING: Action(in_open),
        State.RELEASE_ASKED: Action(in_open),
        State.COLLISION: Action(in_open),
        State.COLLISION_ANSWERED: Action(in_open),
        State.CLOSING: Action(in_closing),
    }


_IN_HAND = (
    State.AWAITING_RESPONSE,
    State.ESTABLISHED,
    State.RELEASING,
    State.RELEASE_ASKED,
    State.COLLISION,
    State.COLLISION_ANSWERED,
)
_UNEXPECTED = _open("AA-1", "AA-8", "AA-8", "AA-6")

TABLE: Mapping[Event, Mapping[State, Action]] = {
    Event.ACCEPT_RECEIVED: _UNEXPECTED,
    Event.REJECT_RECEIVED: _UNEXPECTED,
    Event.CONNECTED: {State.IDLE: Action.AE_5},
    Event.REQUEST_RECEIVED: _open("AE-6", "AA-8", "AA-8", "AA-7"),
    Event.ACCEPT: {State.AWAITING_RESPONSE: Action.AE_7},
    Event.REJECT: {State.AWAITING_RESPONSE: Action.AE_8},
    Event.SEND_DATA: {State.ESTABLISHED: Action.DT_1, State.RELEASE_ASKED: Action.AR_7},
    Event.DATA_RECEIVED: {**_UNEXPECTED, State.ESTABLISHED: Action.DT_2, State.RELEASING: Action.AR_6},
    Event.RELEASE: {State.ESTABLISHED: Action.AR_1},
    Event.RELEASE_RECEIVED: {**_UNEXPECTED, State.ESTABLISHED: Action.AR_2, State.RELEASING: Action.AR_8},
    Event.RELEASE_REPLY_RECEIVED: {**_UNEXPECTED, State.RELEASING: Action.AR_3, State.COLLISION: Action.AR_10},
    Event.RELEASE_REPLY: {State.RELEASE_ASKED: Action.AR_4, State.COLLISION_ANSWERED: Action.AR_4},
    Event.ABORT: dict.fromkeys(_IN_HAND, Action.AA_1),
    Event.ABORT_RECEIVED: _open("AA-2", "AA-3", "AA-3", "AA-2"),
    Event.DISCONNECTED: _open("AA-5", "AA-4", "AA-4", "AR-5"),
    Event.ARTIM_EXPIRED: {State.AWAITING_REQUEST: Action.AA_2, State.CLOSING: Action.AA_2},
    Event.INVALID_RECEIVED: _open("AA-1", "AA-8", "AA-8", "AA-7"),
}
"""PS3.8 Table 9-10, acceptor; an event that is missing for a state cannot occur in it."""

NEXT: Mapping[Action, State] = {
    Action.AE_5: State.AWAITING_REQUEST,
    Action.AE_6: State.AWAITING_RESPONSE,
    Action.AE_7: State.ESTABLISHED,
    Action.AE_8: State.CLOSING,
    Action.DT_1: State.ESTABLISHED,
    Action.DT_2: State.ESTABLISHED,
    Action.AR_1: State.RELEASING,
    Action.AR_2: State.RELEASE_ASKED,
    Action.AR_3: State.IDLE,
    Action.AR_4: State.CLOSING,
    Action.AR_5: State.IDLE,
    Action.AR_6: State.RELEASING,
    Action.AR_7: State.RELEASE_ASKED,
    Action.AR_8: State.COLLISION,
    Action.AR_10: State.COLLISION_ANSWERED,
    Action.AA_1: State.CLOSING,
    Action.AA_2: State.IDLE,
    Action.AA_3: State.IDLE,
    Action.AA_4: State.IDLE,
    Action.AA_5: State.IDLE,
    Action.AA_6: State.CLOSING,
    Action.AA_7: State.CLOSING,
    Action.AA_8: State.CLOSING,
}

EVENT_OF: Mapping[PduType, Event] = {
    PduType.ASSOCIATE_RQ: Event.REQUEST_RECEIVED,
    PduType.ASSOCIATE_AC: Event.ACCEPT_RECEIVED,
    PduType.ASSOCIATE_RJ: Event.REJECT_RECEIVED,
    PduType.P_DATA: Event.DATA_RECEIVED,
    PduType.RELEASE_RQ: Event.RELEASE_RECEIVED,
    PduType.RELEASE_RP: Event.RELEASE_REPLY_RECEIVED,
    PduType.ABORT: Event.ABORT_RECEIVED,
}

HANDED_IN = frozenset({Action.AE_7, Action.AE_8, Action.DT_1, Action.AR_7})
"""Actions that send what the caller made."""

MADE_HERE: Mapping[Action, bytes] = {
    Action.AR_1: RELEASE_RQ_PDU,
    Action.AR_4: RELEASE_RP_PDU,
    Action.AA_1: abort_pdu(BY_USER, 0),
}


class ImpossibleEvent(Exception):
    """An event that the standard's table has no cell for: a mistake of the caller, never of the peer."""


class Association:
    """The state of one association.

    state     where it stands
    outgoing  what must be written to the peer, in order; the channel empties it
    """

    def __init__(self) -> None:
        self.state = State.IDLE
        self.outgoing: list[bytes] = []

    @property
    def is_open(self) -> bool:
        """True while messages may be exchanged or are awaited: neither before the answer nor after the end."""
        return self.state not in (State.IDLE, State.AWAITING_REQUEST, State.AWAITING_RESPONSE, State.CLOSING)

    @property
    def is_over(self) -> bool:
        """True once nothing but the close of the connection is left."""
        return self.state in (State.IDLE, State.CLOSING)

    @property
    def awaits_our_release(self) -> bool:
        """True when the peer waits for our A-RELEASE-RP."""
        return self.state in (State.RELEASE_ASKED, State.COLLISION_ANSWERED)

    def occurs(
        self, event: Event, sends: list[bytes] | None = None, reason: AbortReason = AbortReason.UNEXPECTED_PDU
    ) -> Action:
        """Take an event: change the state, put what is to be sent into `outgoing`.

        sends   the PDUs of Evt7, Evt8 and Evt9
        reason  of the A-ABORT that AA-7 and AA-8 send
        raises  ImpossibleEvent
        """
        action = TABLE[event].get(self.state)
        if action is None:
            raise ImpossibleEvent(f"{event.name} in {self.state.name}")
        self.state = NEXT[action]
        if action in HANDED_IN:
            self.outgoing += sends or ()
        elif action in MADE_HERE:
            self.outgoing.append(MADE_HERE[action])
        elif action is Action.AA_8 or action is Action.AA_7:
            self.outgoing.append(abort_pdu(BY_PROVIDER, reason))
        return action
