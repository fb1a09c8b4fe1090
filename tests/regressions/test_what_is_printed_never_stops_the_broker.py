"""serve with any standard output, signal or proxy around it: it serves, says what is wrong, and ends as it should."""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import time

import pytest

from tests.kit.messages import Case
from tests.kit.processes import ServedBroker

PIPE_BYTES = 4096


@pytest.fixture
def broker(tmp_path):
    """Not yet started."""
    made = ServedBroker(tmp_path / "data", f"sqlite:///{tmp_path}/data/broker.db", "--log", "json")
    yield made
    made.kill()


@pytest.mark.parametrize("to", [">/dev/full", ">&-", ">&- 2>&-", ">&- 2>&- <&-"])
def test_output_that_is_full_or_closed_is_told_to_the_log_and_serves(broker, to):
    broker.through_shell(f'exec "$@" {to}')
    broker.start()

    assert broker.send(Case().order()).code == "AA"
    if "2>" not in to:
        assert len(broker.logged("process.output_not_written")) == 1
    assert broker.stop() < 5.0
    assert broker.process.returncode == 0


def test_output_into_a_pipe_that_is_full_serves_and_ends(broker, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    held = os.open(tmp_path / "pipe", os.O_RDWR)
    fcntl.fcntl(held, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    os.write(held, bytes(PIPE_BYTES))
    broker.through_shell(f'exec "$@" >{tmp_path}/pipe')
    broker.start()

    assert broker.send(Case().order()).code == "AA"
    assert broker.stop() < 5.0
    assert broker.process.returncode == 0
    os.close(held)


def test_a_folder_whose_name_the_encoding_lacks_is_printed_as_an_escape(tmp_path):
    data = tmp_path / "Krankenhaus Süd \u202e"
    broker = ServedBroker(data, f"sqlite:///{data}/broker.db")
    broker.through_shell('LC_ALL=C PYTHONIOENCODING=ascii exec "$@"')
    with broker:
        assert rf"{tmp_path}/Krankenhaus S\xfcd \u202e" in broker.printed()


def test_the_end_of_its_terminal_stops_it_as_sigterm_does(broker):
    broker.start()

    broker.process.send_signal(signal.SIGHUP)

    assert broker.process.wait(5.0) == 0
    assert "Stopped." in broker.printed()


def test_one_that_was_started_to_outlive_its_terminal_does(broker):
    broker.through_shell('trap "" HUP; exec "$@"')
    broker.start()

    broker.process.send_signal(signal.SIGHUP)
    time.sleep(0.5)

    assert broker.process.poll() is None
    assert broker.send(Case().order()).code == "AA"


def test_ports_that_cannot_be_told_are_told_to_the_log(tmp_path):
    data = tmp_path / "data"
    broker = ServedBroker(data, f"sqlite:///{data}/broker.db", "--log", "json")
    (data / "ports.json.part").mkdir()  # what is written before it gets its name
    broker.spawn()
    give_up_at = time.monotonic() + 30
    while not (told := broker.logged("app.ports_not_told")) and time.monotonic() < give_up_at:
        time.sleep(0.1)
    broker.ports = {name: told[0][name] for name in ("hl7", "dicom", "http")}

    assert broker.send(Case().order()).code == "AA"
    assert "Warning: ports.json cannot be written" in broker.printed()
    assert broker.stop() < 5.0


def test_the_doctor_asks_the_broker_and_no_proxy(broker, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as refusing:
        proxy = f"http://127.0.0.1:{refusing.getsockname()[1]}"
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy)
        monkeypatch.delenv("no_proxy", raising=False)
        broker.start()

        findings = {one["check"]: one["status"] for one in broker.json("doctor")["findings"]}

        assert findings["readiness"] == "ok"
        refusing.settimeout(0.0)
        with pytest.raises(BlockingIOError):
            refusing.accept()
