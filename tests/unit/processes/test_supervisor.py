"""Real processes of the DICOM door, kept by this one: they serve one port, come back when they die, and end in time."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from broker.data_folder import DataFolder
from broker.dicom.census import Snapshot
from broker.errors import AlreadyRunning, BrokerError
from broker.processes.keeper import lines_of
from broker.processes.supervisor import DicomProcesses
from broker.settings import Settings
from broker.site.profile import load
from broker.store.database import open_database
from tests.kit.scanner import Scanner

WAIT_SECONDS = 20.0


def settings(data: Path, **changed: object) -> Settings:
    return Settings.load({}, {"data": data, "dicom_port": 0, "dicom_processes": 2, **changed})


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[DataFolder]:
    """A held data folder with a migrated database."""
    held = DataFolder(tmp_path / "data")
    held.take()
    open_database(None, held.path, migrate=True).close()
    yield held
    held.give_back()


@pytest.fixture
def door(folder: DataFolder) -> Iterator[DicomProcesses]:
    processes = DicomProcesses(settings(folder.path), load(None), folder.descriptor)
    processes.start()
    yield processes
    processes.stop(1.0)


def counted(door: DicomProcesses, wanted: Callable[[Snapshot], bool]) -> Snapshot:
    """The first snapshot that is as wanted, else the last: processes report once a second."""
    return until(lambda: door.snapshot() or Snapshot(0, 0, (), {}, {}, {}), wanted)


def until(ask: Callable[[], Any], wanted: Callable[[Any], bool]) -> Any:
    give_up_at = time.monotonic() + WAIT_SECONDS
    while not wanted(answer := ask()) and time.monotonic() < give_up_at:
        time.sleep(0.02)
    return answer


def test_what_all_processes_see_is_one_census(door: DicomProcesses) -> None:
    assert door.ready()
    assert len(set(door.pids().values()) - {None, os.getpid()}) == 2

    one, other = Scanner(door.ports["dicom"], "CT1"), Scanner(door.ports["dicom"], "MR1")
    with one.association(), one.association(), other.association():
        seen = counted(door, lambda one: one.open == 3)

    assert seen.open == 3
    assert {(peer.calling_ae_title, peer.open) for peer in seen.peers} == {("CT1", 2), ("MR1", 1)}
    assert seen.associations["accepted"] == 3
    assert counted(door, lambda one: one.associations.get("released") == 3).open == 0


def test_a_process_that_dies_comes_back_and_what_was_counted_stays(door: DicomProcesses) -> None:
    for title in ("CT1", "CT2"):
        assert Scanner(door.ports["dicom"], title).echo() == 0
    counted(door, lambda one: one.associations.get("released") == 2)
    before = door.pids()

    assert before[1] is not None
    os.kill(before[1], signal.SIGKILL)

    after = until(door.pids, lambda pids: pids[1] not in (None, before[1]))
    assert until(door.ready, bool)
    assert after[2] == before[2]
    assert Scanner(door.ports["dicom"], "CT3").echo() == 0
    seen = counted(door, lambda one: one.associations.get("released") == 3)
    assert seen.associations == {"accepted": 3, "released": 3}
    assert {peer.calling_ae_title for peer in seen.peers} == {"CT1", "CT2", "CT3"}


def test_while_one_is_away_it_is_not_ready_and_says_which(door: DicomProcesses) -> None:
    pid = door.pids()[2]
    assert pid is not None
    probes = door.parts()

    os.kill(pid, signal.SIGKILL)

    assert not until(probes["dicom process 2"], lambda ready: not ready)
    assert not door.ready()
    assert probes["dicom process 1"]()
    assert until(door.ready, bool)


def test_the_port_is_ours_alone(door: DicomProcesses, folder: DataFolder) -> None:
    other = DicomProcesses(settings(folder.path, dicom_port=door.ports["dicom"]), load(None), folder.descriptor)

    with pytest.raises(AlreadyRunning, match="port is in use") as caught:
        other.start()
    other.stop(0.0)

    assert caught.value.facts["port"] == door.ports["dicom"]
    with socket.socket() as sharing:
        sharing.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        with pytest.raises(OSError, match="in use"):
            sharing.bind(("127.0.0.1", door.ports["dicom"]))
    assert Scanner(door.ports["dicom"]).echo() == 0


def test_stopped_it_is_closed_and_may_be_stopped_again(door: DicomProcesses, folder: DataFolder) -> None:
    with Scanner(door.ports["dicom"]).association():
        began = time.monotonic()
        door.stop(2.5)
        took = time.monotonic() - began
    door.stop(2.5)

    assert took < 3.0
    assert not door.ready()
    assert door.snapshot() is None
    assert set(door.pids().values()) == {None}
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", door.ports["dicom"])) != 0


def test_a_process_that_cannot_start_stops_the_start_and_says_why(folder: DataFolder) -> None:
    chosen = settings(folder.path, database=f"sqlite:///{folder.path}/never_migrated.db")
    door = DicomProcesses(chosen, load(None), folder.descriptor)

    with pytest.raises(BrokerError, match="did not start") as caught:
        door.start()
    door.stop(1.0)

    assert "lacks" in str(caught.value) or "old" in str(caught.value)
    assert set(door.pids().values()) == {None}


def test_what_was_never_started_can_be_stopped(folder: DataFolder) -> None:
    DicomProcesses(settings(folder.path), load(None), folder.descriptor).stop(1.0)


def test_lines_end_with_the_pipe_or_with_too_long_a_silence() -> None:
    reading, writing = os.pipe()
    os.write(writing, b"one\ntwo\nhalf")

    silent = list(lines_of(reading, 5.0, 0.01))
    os.write(writing, b"late\n")
    os.close(writing)
    ended = list(lines_of(reading, 5.0, 5.0))
    os.close(reading)

    assert silent == [b"one", b"two"]
    assert ended == [b"late"]
