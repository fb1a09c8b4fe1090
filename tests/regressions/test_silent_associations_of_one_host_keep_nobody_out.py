"""Places at the DICOM door: associations that never ask for anything give way, before those that did."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.kit.brokers import RunningBroker, running
from tests.kit.processes import ServedBroker
from tests.kit.raw_dicom import RawPeer, abort

SETTLED_SECONDS = 1.2
OTHER_HOST = "127.0.0.2"


@pytest.fixture
def broker(tmp_path) -> Iterator[RunningBroker]:
    url = f"sqlite:///{tmp_path}/data/broker.db"
    with running(tmp_path / "data", url, dicom_associations=20) as started:
        yield started


def associated(stack: ExitStack, port: int, count: int, source: str = "127.0.0.1") -> list[RawPeer]:
    return [stack.enter_context(RawPeer(port, source=source)).associate() for _ in range(count)]


def test_silent_associations_give_way_to_another_host_and_the_one_that_asked_stays(broker):
    with ExitStack() as held:
        (known,) = associated(held, broker.dicom_port, 1)
        assert known.echo() == 0
        silent = associated(held, broker.dicom_port, 19)
        time.sleep(SETTLED_SECONDS)

        others = associated(held, broker.dicom_port, 8, OTHER_HOST)

        assert {one.echo() for one in others} == {0}
        assert known.echo() == 0
        assert silent[0].rest()[:1] == abort(0)[:1]
        assert silent[-1].echo() == 0


def test_an_association_that_has_begun_a_request_is_not_aborted(broker):
    with ExitStack() as held:
        begun = associated(held, broker.dicom_port, 20)
        for one in begun:
            one.send(b"\x04\x00\x00\x00\x00\x50")  # the head of a P-DATA-TF
        time.sleep(SETTLED_SECONDS)

        newcomer = held.enter_context(RawPeer(broker.dicom_port, source=OTHER_HOST))

        with pytest.raises(AssertionError):
            newcomer.associate()


def test_the_same_with_processes_of_the_door(database_url, tmp_path):
    options = ("--dicom-processes", "2", "--dicom-associations", "20")
    with ServedBroker(tmp_path / "data", database_url, *options) as broker, ExitStack() as held:
        port = broker.ports["dicom"]
        for _ in range(60):  # as many as both processes take, however the system shares them out
            peer = held.enter_context(RawPeer(port))
            try:
                peer.associate()
            except AssertionError:  # this process is full
                continue
        time.sleep(SETTLED_SECONDS)

        others = associated(held, port, 4, OTHER_HOST)

        assert {one.echo() for one in others} == {0}
