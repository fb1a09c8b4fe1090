"""Who starts the broker wrongly reads what is wrong and what helps, and finds no half-made folder afterwards."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from broker.app import Broker
from broker.errors import AlreadyRunning, BrokerError, DatabaseUnavailable, SettingsError
from broker.settings import Settings
from broker.store.database import open_database

FREE = {"hl7_port": 0, "dicom_port": 0, "http_port": 0}


def refused(data: Path, **changed: Any) -> BrokerError:
    with pytest.raises(BrokerError) as caught:
        Broker(Settings.load({}, {"data": data, **FREE, **changed})).start()
    return caught.value


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


@pytest.mark.parametrize("door", ["hl7", "dicom", "http"])
def test_a_taken_port_names_its_flag_and_makes_no_folder(tmp_path: Path, taken: int, door: str) -> None:
    error = refused(tmp_path / "new", **{f"{door}_port": taken})

    assert isinstance(error, AlreadyRunning)
    assert f"port={taken}" in str(error)
    assert f"choose another --{door}-port; 0 takes a free one" in str(error)
    assert not (tmp_path / "new").exists()


def test_two_doors_on_one_port_name_both_settings(tmp_path: Path) -> None:
    error = refused(tmp_path / "new", hl7_port=11112, dicom_port=11112)

    assert isinstance(error, SettingsError)
    assert "--hl7-port and --dicom-port" in str(error)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("host", "words"),
    [("203.0.113.1", "this machine has no such address"), ("a..b", "no machine has this name")],
)
def test_an_address_that_is_not_ours_is_explained(tmp_path: Path, host: str, words: str) -> None:
    error = refused(tmp_path / "new", host=host)

    assert isinstance(error, SettingsError)
    assert words in str(error)
    assert not (tmp_path / "new").exists()


def test_a_data_folder_that_is_a_file_is_said_to_be_one(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    assert "is a file, not a folder" in str(refused(tmp_path / "file"))


def test_a_second_broker_on_the_same_folder_is_told_what_to_do(tmp_path: Path) -> None:
    first = Broker(Settings.load({}, {"data": tmp_path, **FREE}))
    first.start()
    try:
        error = refused(tmp_path, hl7_port=first.ports["hl7"])
    finally:
        first.stop()

    assert "another broker runs on this data folder" in str(error)
    assert "stop it, or take another --data" in str(error)


def test_an_unreachable_postgresql_is_named_without_its_password(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    url = f"postgresql://me:geheim@127.0.0.1:{port}/broker"

    with pytest.raises(DatabaseUnavailable) as caught:
        open_database(url, tmp_path, migrate=True, lock_seconds=2.0)

    assert f"host=127.0.0.1, port={port}" in str(caught.value)
    assert "geheim" not in str(caught.value)
