"""The house: opened in order, closed in reverse, and closed again when one part cannot start."""

from __future__ import annotations

import json
import socket
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from broker.app import ANSWER_SECONDS, Broker
from broker.data_folder import DataFolder, site_file
from broker.errors import AlreadyRunning, SettingsError
from broker.service import stop_together
from broker.settings import Settings
from broker.web.asking import SharedProbe
from tests.kit.certificates import Authority

FREE = {"hl7_port": 0, "dicom_port": 0, "http_port": 0}


def settings(data: Path, **changed: object) -> Settings:
    return Settings.load({}, {"data": data, **FREE, **changed})


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Broker]:
    broker = Broker(settings(tmp_path / "data"))
    broker.start()
    yield broker
    broker.stop()


def is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_a_started_house_tells_its_ports_and_is_ready(house: Broker) -> None:
    told = json.loads((house.settings.data / "ports.json").read_text())
    with urllib.request.urlopen(f"http://127.0.0.1:{told['http']}/health/ready", timeout=5) as answer:
        body = json.loads(answer.read())

    assert told == house.ports
    assert sorted(told) == ["dicom", "hl7", "http"]
    assert body["parts"] == {"writer": True, "hl7": True, "dicom": True, "database": True}


def test_processes_of_the_dicom_door_are_named_among_the_parts(tmp_path: Path) -> None:
    broker = Broker(settings(tmp_path / "data", dicom_processes=1))
    broker.start()
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{broker.ports['http']}/health/ready", timeout=5) as answer:
            parts = json.loads(answer.read())["parts"]
    finally:
        broker.stop()

    assert parts == {"writer": True, "hl7": True, "dicom": True, "dicom process 1": True, "database": True}
    assert "1 process" in broker.facts["DICOM"]
    assert not is_open(broker.ports["dicom"])


def test_a_stopped_house_is_closed_and_may_be_stopped_again(house: Broker) -> None:
    house.stop()
    house.stop()

    assert [is_open(port) for port in house.ports.values()] == [False, False, False]
    assert not (house.settings.data / "ports.json").exists()
    DataFolder(house.settings.data).take()


def test_a_second_house_on_the_same_folder_is_refused_and_the_first_goes_on(house: Broker) -> None:
    with pytest.raises(AlreadyRunning, match="another broker runs on this data folder"):
        Broker(settings(house.settings.data)).start()

    assert all(is_open(port) for port in house.ports.values())


@pytest.mark.parametrize("door", ["hl7", "dicom", "http"])
def test_a_taken_port_closes_what_was_open_already(house: Broker, tmp_path: Path, door: str) -> None:
    second = Broker(settings(tmp_path / "second", **{f"{door}_port": house.ports[door]}))

    with pytest.raises(AlreadyRunning) as caught:
        second.start()

    assert caught.value.facts["port"] == house.ports[door]
    assert not any(is_open(port) for name, port in second.ports.items() if name != door)
    DataFolder(tmp_path / "second").take()


def test_a_wrong_profile_stops_the_start_and_frees_the_folder(tmp_path: Path) -> None:
    (tmp_path / "site.toml").write_text("no_such_key = 1\n")

    with pytest.raises(SettingsError, match="site.toml"):
        Broker(settings(tmp_path)).start()

    DataFolder(tmp_path).take()


def test_the_named_profile_wins_over_the_folders_own_and_that_over_the_built_in(tmp_path: Path) -> None:
    assert site_file(settings(tmp_path)) is None

    (tmp_path / "site.toml").write_text("")

    assert site_file(settings(tmp_path)) == tmp_path / "site.toml"
    assert site_file(settings(tmp_path, site="other.toml")) == Path("other.toml")


def test_a_door_that_does_not_close_keeps_nobody_waiting_beyond_the_grace_time() -> None:
    released = threading.Event()

    class Stuck:
        name = "stuck"

        def start(self) -> None: ...

        def stop(self, grace_seconds: float) -> None:
            released.wait(20)

        def ready(self) -> bool:
            return True

    began = time.monotonic()
    stop_together([Stuck(), Stuck()], 0.1)
    took = time.monotonic() - began
    released.set()

    assert took < 1.5


def test_a_probe_is_never_run_twice_at_a_time_however_many_ask() -> None:
    busy, overlaps = threading.Lock(), []

    def probe() -> bool:
        overlaps.append(not busy.acquire(blocking=False))
        time.sleep(0.02)  # the work of the probe
        busy.release()
        return True

    ask = SharedProbe(probe, ANSWER_SECONDS)
    threads = [threading.Thread(target=ask) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert not any(overlaps)


def test_a_probes_answer_is_never_older_than_the_question() -> None:
    answers = iter([True, False, True])
    ask = SharedProbe(lambda: next(answers), ANSWER_SECONDS)

    assert [ask(), ask(), ask()] == [True, False, True]


def test_tls_ports_are_opened_and_told_beside_the_plain_ones(tmp_path: Path) -> None:
    own = Authority(tmp_path).issue("broker")
    tls = {
        f"{door}_tls_{part}": value
        for door in ("hl7", "dicom")
        for part, value in (("port", 0), ("certificate", own.certificate), ("key", own.key))
    }
    broker = Broker(settings(tmp_path / "data", **tls))

    broker.start()
    told = json.loads((tmp_path / "data" / "ports.json").read_text())
    open_ports = [is_open(port) for port in told.values()]
    broker.stop()

    assert sorted(told) == ["dicom", "dicom_tls", "hl7", "hl7_tls", "http"]
    assert all(open_ports)


def test_a_start_with_a_tls_file_that_cannot_be_read_is_refused_and_leaves_nothing_open(tmp_path: Path) -> None:
    missing = {"hl7_tls_port": 0, "hl7_tls_certificate": tmp_path / "no.pem", "hl7_tls_key": tmp_path / "no.key"}

    with pytest.raises(SettingsError, match="no.pem"):
        Broker(settings(tmp_path / "data", **missing)).start()

    assert not (tmp_path / "data" / "ports.json").exists()
