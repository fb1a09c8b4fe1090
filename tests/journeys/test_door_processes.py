"""A DICOM door of several processes: both answer, a killed one comes back and costs its neighbours nothing, all end."""

from __future__ import annotations

import os
import signal
import socket
import time

import pytest

from broker.data_folder import DataFolder
from tests.kit.exactly_once import expect_each_once
from tests.kit.load import loaded
from tests.kit.messages import Case
from tests.kit.processes import ServedBroker

BACK_SECONDS = 15.0  # a second or two on a machine that has nothing else to do
LIMIT_SECONDS = 60.0
SUCCESS = 0x0000


@pytest.fixture
def door(database_url, tmp_path):
    """A broker whose DICOM door is two processes, on each kind of database."""
    with ServedBroker(tmp_path / "data", database_url, "--dicom-processes", "2", "--log", "json") as broker:
        yield broker


def test_both_processes_answer_and_list_what_was_just_placed(door):
    for number in range(8):
        case = Case()
        door.send(case.order())

        assert door.scanner(f"CT{number}").item(PatientID=case.patient_id).AccessionNumber == case.accession

    served = {line["process"] for line in door.logged("dicom.worklist")}
    assert served == set(door.door_pids()) == {1, 2}
    assert os.getpid() not in door.door_pids().values()


def test_a_killed_process_comes_back_and_the_associations_of_the_other_live_on(door):
    with door.scanner("CT1").association() as one, door.scanner("CT2").association() as two:
        assert (one.send_c_echo().Status, two.send_c_echo().Status) == (SUCCESS, SUCCESS)
        pids = door.door_pids()
        served_by = {line["calling_ae_title"]: line["process"] for line in door.logged("dicom.association")}
        assert {served_by["CT1"], served_by["CT2"]} == {1, 2}

        os.kill(pids[served_by["CT1"]], signal.SIGKILL)

        assert _until(lambda: not one.is_established)
        assert two.send_c_echo().Status == SUCCESS
        assert _until(lambda: door.door_pids() != pids and door.health() == 200)
        assert two.send_c_echo().Status == SUCCESS
        assert door.scanner("CT3").echo() == SUCCESS


def test_whoever_calls_while_no_process_lives_is_answered_by_the_next(door, case):
    door.send(case.order())

    for pid in door.door_pids().values():
        os.kill(pid, signal.SIGKILL)
    assert _until(lambda: len(door.logged("dicom.process_ended")) == 2)

    assert door.item(case).AccessionNumber == case.accession


def test_kills_of_its_processes_under_load_lose_nothing_and_double_nothing(door, database_url):
    first = Case()
    door.send(first.order())
    with loaded(lambda: door.ports, door.item(first)) as load:
        for number in (1, 2, 1):
            assert load.wait_for(20, 3, LIMIT_SECONDS)
            pids = door.door_pids()
            os.kill(pids[number], signal.SIGKILL)
            assert _until(lambda before=pids: door.door_pids() != before)
        assert load.wait_for(20, 5, LIMIT_SECONDS)

    assert load.problems == []
    door.stop()
    door.start()  # which sweeps what the kills have left half stored
    expect_each_once(database_url, door.data, load)


def test_sigterm_under_load_ends_all_in_under_five_seconds_and_keeps_what_was_acknowledged(door, database_url):
    first = Case()
    door.send(first.order())
    with loaded(lambda: door.ports, door.item(first)) as load, door.scanner("IDLE").association():
        assert load.wait_for(20, 3, LIMIT_SECONDS)

        seconds = door.stop()

        load.stopping.set()
    assert seconds < 5.0
    assert door.process.returncode == 0
    assert [line["killed"] for line in door.logged("dicom.processes_stopped")] == [[]]
    _expect_nobody_serves(door)
    door.start()
    expect_each_once(database_url, door.data, load)


def test_when_the_main_process_is_killed_the_others_end_at_once_and_it_starts_again(door, case):
    door.send(case.order())
    ports = dict(door.ports)

    with door.scanner().association():
        door.kill()
        _expect_nobody_serves(door, ports)
    door.options += ["--dicom-port", str(ports["dicom"])]
    door.start()

    assert door.ports["dicom"] == ports["dicom"]
    assert door.item(case).AccessionNumber == case.accession


def _expect_nobody_serves(door, ports=None):
    """The folder is free only when the last process that held it has ended."""
    folder = DataFolder(door.data)
    folder.take()
    folder.give_back()
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", (ports or door.ports)["dicom"])) != 0


def _until(wanted):
    """Ask again until it is so, or for BACK_SECONDS."""
    give_up_at = time.monotonic() + BACK_SECONDS
    while not (met := wanted()) and time.monotonic() < give_up_at:
        time.sleep(0.02)
    return met
