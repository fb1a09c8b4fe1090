"""Every error has a status in every service, and no answer says more than it may."""

from __future__ import annotations

import inspect

import pytest

from broker import errors
from broker.dicom.contract import Command
from broker.dicom.status import FAILURE, STATUS_FOR, Status, comment_of, failure, is_pending, reply_for
from broker.errors import BrokerError, Busy, DatabaseUnavailable, NotFound, Stopping, StorageFull, UnreadableDataset

ERRORS = [
    kind
    for _, kind in inspect.getmembers(errors, inspect.isclass)
    if issubclass(kind, BrokerError) and kind is not BrokerError
]


@pytest.mark.parametrize("command", list(Command))
@pytest.mark.parametrize("kind", ERRORS)
def test_every_error_has_a_status_in_every_service(kind, command):
    assert kind in STATUS_FOR[command]


@pytest.mark.parametrize("command", list(Command))
def test_every_service_has_a_status_for_what_nobody_foresaw(command):
    assert failure(command).status == FAILURE[command]
    assert reply_for(BrokerError("unknown cause"), command).status == FAILURE[command]


@pytest.mark.parametrize(
    ("kind", "command", "status"),
    [
        (UnreadableDataset, Command.C_FIND, 0xA900),
        (UnreadableDataset, Command.C_STORE, 0xC000),
        (UnreadableDataset, Command.N_CREATE, 0x0110),
        (DatabaseUnavailable, Command.C_FIND, 0xA700),
        (DatabaseUnavailable, Command.C_STORE, 0xA700),
        (DatabaseUnavailable, Command.N_SET, 0x0213),
        (Busy, Command.N_CREATE, 0x0213),
        (Stopping, Command.C_STORE, 0xA700),
        (StorageFull, Command.C_STORE, 0xA700),
        (NotFound, Command.N_SET, 0x0112),
    ],
)
def test_a_cause_is_told_in_the_terms_of_its_service(kind, command, status):
    assert reply_for(kind("something"), command).status == status


def test_a_subclass_is_answered_like_its_parent():
    class LockedForTooLong(DatabaseUnavailable):
        pass

    assert reply_for(LockedForTooLong("locked"), Command.C_FIND).status == Status.OUT_OF_RESOURCES


def test_a_reply_names_offending_elements_and_tells_no_facts():
    reply = reply_for(UnreadableDataset("a key is no date", tags=(0x00400002,), value="DOE^ANN"), Command.C_FIND)

    assert reply.offending == (0x00400002,)
    assert reply.comment == "a key is no date"


def test_a_comment_fits_its_vr():
    assert comment_of("Müller\\" + "x" * 100) == "M?ller/" + "x" * 57


def test_only_two_statuses_are_pending():
    assert [status for status in Status if is_pending(status)] == [Status.PENDING, Status.PENDING_WARNING]
