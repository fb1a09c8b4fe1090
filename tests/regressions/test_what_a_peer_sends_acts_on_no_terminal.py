"""Control and direction characters of peers reach terminals, log lines and metric labels as escapes only."""

from __future__ import annotations

import json
import time
import unicodedata
from urllib.request import ProxyHandler, build_opener

import pytest

from broker.cli import main as cli
from tests.kit.messages import Case
from tests.kit.processes import ServedBroker
from tests.kit.raw_dicom import RawPeer, associate_rq, echo_rq

EVIL = "\x1b]0;x\a\x9b2J\u202e\u2066\u200f\u2028"
MARKUP = "[red]X[/red][bold]"
ACTING = {"Cc", "Cf", "Cs", "Zl", "Zp"}


@pytest.fixture(params=["text", "json"])
def broker(request, database_url, tmp_path):
    with ServedBroker(tmp_path / "data", database_url, "--log", request.param, "--dicom-processes", "2") as served:
        yield served


def acting(text):
    """The characters of a text, line ends aside, that would act on a terminal."""
    return {letter for letter in text if unicodedata.category(letter) in ACTING and letter != "\n"}


def associated_as(broker, title):
    """An association with a calling AE title of these bytes, and an echo on it."""
    request = bytearray(associate_rq())
    request[26:42] = title.ljust(16)
    with RawPeer(broker.ports["dicom"]) as peer:
        peer.send(bytes(request))
        assert peer.pdu()[:1] == b"\x02"
        peer.send(echo_rq())
        peer.pdu()


@pytest.fixture
def printed(broker, monkeypatch, capsys):
    """What a command prints, on standard output and on standard error."""

    def run(*words):
        where = ("--data", str(broker.data), "--database", broker.options[broker.options.index("--database") + 1])
        monkeypatch.setattr("sys.argv", ["mwl-broker", *words, *where])
        with pytest.raises(SystemExit):
            cli.main()
        return capsys.readouterr()

    return run


def test_in_commands(broker, printed):
    case = Case()
    evil = {"application": f"A{EVIL}", "facility": MARKUP, "control_id": f"C{EVIL[:8]}", "charset": "UNICODE UTF-8"}
    broker.send(case.order(header={**evil, "name": f"Doe{EVIL}{MARKUP}^Jane", "version": "2.5"}))
    broker.send(Case().order(header={"application": f"B{EVIL}", "name": EVIL}))
    broker.send(f"MSH|^~\\&|A{EVIL}|H|||||XXX^{EVIL}|C{EVIL}|P|2.5\r".encode())

    listed = json.loads(printed("messages", "list", "--json").out)
    shown = [("messages", "show", str(one["id"])) for one in listed]
    for command in [("messages", "list"), ("orders", "list"), ("worklist", "list"), ("alarms", "list", "--all"), *shown,
                    ("orders", "show", case.accession), ("orders", "show", f"X{EVIL}"), ("doctor",)]:  # fmt: skip
        for form in ((), ("--json",)):
            ran = printed(*command, *form)
            assert acting(ran.out + ran.err) == set(), command
            if form and ran.out:
                json.loads(ran.out)
    assert MARKUP in printed("orders", "list").out
    assert any("\u202e" in one["sender"] for one in listed)
    assert acting(broker.printed()) == set()


def test_in_log_lines_and_labels(broker):
    for title in (b"A\x1b[2J\x07\x9b", rb"A\x1b[2J\x07\x9b", b"\x1b]0;evil\x07", b"A\r\nfake line"):
        associated_as(broker, title)
    time.sleep(1.5)  # a report of each process
    with build_opener(ProxyHandler({})).open(f"http://127.0.0.1:{broker.ports['http']}/metrics", timeout=10) as told:
        metrics = told.read().decode()

    assert acting(broker.printed()) == set()
    assert "fake line" not in {line.strip() for line in broker.printed().splitlines()}
    assert acting(metrics) == set()
    series = [line.rpartition(" ")[0] for line in metrics.splitlines() if not line.startswith("#")]
    assert len(series) == len(set(series))
    assert r"A\\\\r\\\\nfake line" in metrics or r"A\\r\\nfake line" in metrics
