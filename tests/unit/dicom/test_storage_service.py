"""C-STORE: the service translates; each end has its status."""

from __future__ import annotations

from io import BytesIO

import pytest

from broker.dicom.contract import Command, Context, Peer, Request
from broker.dicom.dispatch import answer
from broker.dicom.storage import StorageService
from broker.errors import Busy, DatabaseUnavailable, Stopping, StorageFull, UnreadableDataset
from broker.workflow.take_instance import ClassMismatch

CT, MR = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4"
EXPLICIT = "1.2.840.10008.1.2.1"


class Takes:
    """Stands where the intake stands: notes what it is given, and ends as it is told."""

    def __init__(self, error=None):
        self.error = error
        self.taken = []

    def take(self, meta, dataset):
        self.taken.append((meta, dataset.read()))
        if self.error:
            raise self.error


def store(takes, uid="1.2.3", sop_class=CT, content=b"x"):
    request = Request(
        Peer("CT1", "BROKER", "127.0.0.1"), Context(CT, EXPLICIT), Command.C_STORE, 1, sop_class, uid,
        None if content is None else BytesIO(content), lambda: False,
    )  # fmt: skip
    [reply] = answer({CT: StorageService(takes)}, request)
    return reply


def test_an_object_is_handed_on_as_it_came():
    takes = Takes()

    reply = store(takes, content=b"bytes")

    [(meta, content)] = takes.taken
    assert (reply.status, reply.sop_instance_uid, content) == (0x0000, "1.2.3", b"bytes")
    assert (meta.sop_class_uid, meta.sop_instance_uid, meta.transfer_syntax_uid, meta.peer) == (
        CT, "1.2.3", EXPLICIT, "CT1",
    )  # fmt: skip


@pytest.mark.parametrize("uid", ["", "../../etc/passwd", "1.2/3", "1.2\x00", "1" * 65, "..."])
def test_a_uid_that_is_none_is_refused_before_anything_is_written(uid):
    takes = Takes()

    assert store(takes, uid).status == 0x0117
    assert takes.taken == []


def test_a_class_that_is_not_the_contexts_is_refused():
    assert store(Takes(), sop_class=MR).status == 0xA900


@pytest.mark.parametrize(("error", "status"), [
    (ClassMismatch("x"), 0xA900), (UnreadableDataset("x"), 0xC000), (StorageFull("x"), 0xA700),
    (DatabaseUnavailable("x"), 0xA700), (Busy("x"), 0xA700), (Stopping("x"), 0xA700),
])  # fmt: skip
def test_each_failure_has_its_status(error, status):
    assert store(Takes(error)).status == status


def test_a_request_without_a_dataset_is_an_empty_one():
    takes = Takes()

    store(takes, content=None)

    assert takes.taken[0][1] == b""
