"""The life of the process: one broker to a folder and a port, an end in time, a database that comes and goes."""

from __future__ import annotations

import resource
from contextlib import contextmanager

import pytest

from broker.simulators.process import STOP_SECONDS
from tests.kit.messages import Case
from tests.kit.mllp import START, Sender
from tests.kit.processes import ServedBroker, unavailable

REFUSED_STORE, NO_RESOURCES = 0xA700, 0x0213


def test_serve_says_what_listens_where_and_is_ready(served):
    printed = served.printed()

    for port in served.ports.values():
        assert str(port) in printed
    assert set(served.ports) == {"hl7", "dicom", "http"}
    assert served.health("live") == 200
    assert served.health("ready") == 200


def test_a_second_broker_on_the_same_folder_is_told_so(served):
    free = ("--hl7-port", "0", "--dicom-port", "0", "--http-port", "0")

    second = served.command("serve", *free)

    assert second.returncode == 1
    assert "another broker runs on this data folder" in second.stderr
    assert served.health() == 200


def test_a_second_broker_on_the_same_port_is_told_so(databases, tmp_path):
    with (
        databases.fresh("sqlite", tmp_path / "first") as url,
        databases.fresh("sqlite", tmp_path / "second") as other_url,
        ServedBroker(tmp_path / "first", url) as served,
    ):
        for door, port in served.ports.items():
            ports = {**dict.fromkeys(served.ports, 0), door: port}
            flags = [part for name, number in ports.items() for part in (f"--{name}-port", str(number))]

            second = served.command("serve", "--data", str(tmp_path / "second"), "--database", other_url, *flags)

            assert second.returncode == 1
            assert str(port) in second.stderr


def test_sigterm_ends_it_in_under_five_seconds_whatever_is_connected(served, case):
    assert served.send(case.order()).code == "AA"
    with Sender(served.ports["hl7"]), Sender(served.ports["hl7"]) as half, served.scanner().association():
        half.write(START + case.order()[:100])

        seconds = served.stop()

    assert seconds < min(5.0, STOP_SECONDS)
    assert served.process is not None
    assert served.process.returncode == 0
    assert not (served.data / "ports.json").exists()


def test_it_starts_again_on_the_same_folder_with_everything(served, case):
    served.send(case.order())
    served.stop()

    served.start()

    assert served.item(case).AccessionNumber == case.accession
    assert served.send(case.order(control="CA")).code == "AA"


def test_without_its_database_it_accepts_nothing_and_recovers_by_itself(database_url, tmp_path, case):
    later = Case()
    with ServedBroker(tmp_path / "data", database_url, "--lock-seconds", "1", "--writer-wait-seconds", "4") as broker:
        scanner = broker.scanner()
        broker.send(case.order())
        item = broker.item(case)
        image = scanner.take(item)

        with unavailable(database_url):
            refused = broker.send(later.order())
            uid, not_started = scanner.start(item)
            not_stored = scanner.store(image)
            ready = broker.health()

        accepted = _until(lambda: broker.send(later.order()), lambda answer: answer.code == "AA")

        assert (refused.code, refused.error) == ("AR", "207")
        assert not_started == NO_RESOURCES
        assert not_stored == [REFUSED_STORE]
        assert ready == 503
        assert accepted.code == "AA"
        assert scanner.start(item, uid)[1] == 0x0000
        assert scanner.store(image) == [0x0000]
        assert broker.health() == 200
        assert len(broker.json("orders", "list")) == 2


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="only Linux can limit the files of a running process")
def test_a_full_disk_is_no_acknowledgement_and_no_end(databases, tmp_path, case):
    """No file may grow beyond 64 KiB, which is how a full disk looks to the database and to an image."""
    with (
        databases.fresh("sqlite", tmp_path) as url,
        ServedBroker(tmp_path / "data", url, "--writer-wait-seconds", "4") as broker,
    ):
        scanner = broker.scanner()
        broker.send(case.order())
        item = broker.item(case)
        for _ in range(5):
            broker.send(Case().order())
        later = Case()
        big = scanner.take(item, PixelData=bytes(400 * 400), Rows=400, Columns=400)

        with _files_no_longer_than(broker, 65_536):
            refused = broker.send(later.order())
            not_started = scanner.start(item)[1]
            not_stored = scanner.store(big)
        accepted = _until(lambda: broker.send(later.order()), lambda answer: answer.code == "AA")

        assert (refused.code, refused.error) == ("AR", "207")
        assert not_started == NO_RESOURCES
        assert not_stored == [REFUSED_STORE]
        assert accepted.code == "AA"
        assert scanner.store(big) == [0x0000]
        assert list((broker.data / "objects").rglob("*.part")) == []


@contextmanager
def _files_no_longer_than(broker, length_bytes):
    pid, infinite = broker.process.pid, resource.RLIM_INFINITY
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (length_bytes, infinite))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (infinite, infinite))


def _until(action, wanted, attempts=10):
    """The first result that is wanted, at most `attempts` tries; each try waits for its own answer."""
    for _ in range(attempts):
        result = action()
        if wanted(result):
            break
    return result
