"""The data folder: held by one process, freed by any death of it, and what it tells of ports."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from broker.data_folder import DYING_SECONDS, DataFolder
from broker.errors import AlreadyRunning, SettingsError

HOLD = "import sys, time; from pathlib import Path; from broker.data_folder import DataFolder\n" \
       "folder = DataFolder(Path(sys.argv[1])); folder.take(); print('held', flush=True); time.sleep(60)"  # fmt: skip

LEND = "import os, subprocess, sys; from pathlib import Path; from broker.data_folder import DataFolder\n" \
       "folder = DataFolder(Path(sys.argv[1])); folder.take()\n" \
       "subprocess.Popen(['cat'], pass_fds=[folder.descriptor]); os.kill(os.getpid(), 9)"  # fmt: skip


def test_the_folder_is_made_with_its_parents(tmp_path: Path) -> None:
    DataFolder(tmp_path / "a" / "b").take()

    assert (tmp_path / "a" / "b").is_dir()


def test_a_second_holder_is_told_which_process_is_the_first(tmp_path: Path) -> None:
    first = DataFolder(tmp_path)
    first.take()

    with pytest.raises(AlreadyRunning) as caught:
        DataFolder(tmp_path).take()

    assert caught.value.facts["process"] == str(os.getpid())


def test_a_refused_holder_leaves_the_first_ones_ports_alone(tmp_path: Path) -> None:
    first = DataFolder(tmp_path)
    first.take()
    first.tell_ports({"hl7": 1})

    with pytest.raises(AlreadyRunning):
        DataFolder(tmp_path).take()

    assert json.loads((tmp_path / "ports.json").read_text()) == {"hl7": 1}


def test_what_was_given_back_can_be_taken_again(tmp_path: Path) -> None:
    first = DataFolder(tmp_path)
    first.take()
    first.give_back()

    DataFolder(tmp_path).take()


def test_kill_9_leaves_no_lock_behind_and_no_stale_ports(tmp_path: Path) -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    (tmp_path / "ports.json").write_text("{}")
    with pytest.raises(AlreadyRunning):
        DataFolder(tmp_path).take()

    holder.kill()
    holder.wait()
    holder.stdout.close()
    DataFolder(tmp_path).take()

    assert not (tmp_path / "ports.json").exists()


def test_ports_are_told_in_one_piece_and_forgotten(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)
    folder.take()

    folder.tell_ports({"hl7": 1, "dicom": 2, "http": 3})

    assert json.loads((tmp_path / "ports.json").read_text()) == {"hl7": 1, "dicom": 2, "http": 3}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ports.json", "serve.lock"]
    folder.forget_ports()
    folder.forget_ports()
    assert not (tmp_path / "ports.json").exists()


def test_a_folder_that_is_a_file_is_a_wrong_setting(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")

    with pytest.raises(SettingsError, match="data folder cannot be used"):
        DataFolder(tmp_path / "data").take()


def test_processes_that_outlive_a_killed_holder_are_waited_for(tmp_path: Path) -> None:
    """They hold what they inherited until they have seen that it died; here: until their input ends."""
    reading, writing = os.pipe()
    subprocess.run([sys.executable, "-c", LEND, str(tmp_path)], stdin=reading, check=False)
    os.close(reading)
    folder = DataFolder(tmp_path)
    taking = threading.Thread(target=folder.take)

    taking.start()
    taking.join(0.2)
    waited = taking.is_alive()
    os.close(writing)
    taking.join(DYING_SECONDS)

    assert waited
    assert not taking.is_alive()
    assert folder.descriptor
    folder.give_back()
