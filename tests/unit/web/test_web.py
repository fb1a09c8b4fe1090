"""The HTTP door: health, problem details, a taken port, and patience with an end."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from http.client import HTTPConnection

import pytest

from broker.errors import AlreadyRunning, BrokerError
from broker.web import app as web
from broker.web.app import WebServer, web_app


@pytest.fixture
def parts() -> dict[str, bool]:
    return {"database": True, "hl7": True}


@pytest.fixture
def server(parts: dict[str, bool]) -> Iterator[WebServer]:
    probes = {name: lambda name=name: parts[name] for name in parts}
    serving = WebServer(web_app(probes), "127.0.0.1", 0)
    serving.start()
    yield serving
    serving.stop(1.0)


def ask(server: WebServer, path: str, method: str = "GET") -> tuple[int, str, dict[str, object]]:
    connection = HTTPConnection("127.0.0.1", server.port, timeout=5)
    connection.request(method, path)
    answer = connection.getresponse()
    return answer.status, answer.headers["Content-Type"], json.loads(answer.read())


def test_a_broker_whose_parts_all_work_is_ready(server: WebServer) -> None:
    status, _, body = ask(server, "/health/ready")

    assert (status, body) == (200, {"status": "ready", "parts": {"database": True, "hl7": True}})


def test_one_part_that_does_not_work_makes_the_broker_not_ready_and_is_named(
    server: WebServer, parts: dict[str, bool]
) -> None:
    parts["database"] = False

    status, _, body = ask(server, "/health/ready")

    assert (status, body) == (503, {"status": "not ready", "parts": {"database": False, "hl7": True}})


def test_a_broker_that_is_not_ready_is_still_alive(server: WebServer, parts: dict[str, bool]) -> None:
    parts["hl7"] = False

    assert ask(server, "/health/live")[0] == 200


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/nothing", 404), ("POST", "/health/live", 405)])
def test_what_is_not_served_is_answered_by_problem_details(
    server: WebServer, method: str, path: str, status: int
) -> None:
    found, content_type, body = ask(server, path, method)

    assert (found, content_type, body["status"]) == (status, "application/problem+json", status)


def test_a_taken_port_is_named(server: WebServer) -> None:
    second = WebServer(web_app({}), "127.0.0.1", server.port)

    with pytest.raises(AlreadyRunning) as caught:
        second.start()
    second.stop(1.0)

    assert str(server.port) in str(caught.value)


def test_an_address_that_is_not_ours_is_said_so() -> None:
    with pytest.raises(BrokerError, match="cannot listen for HTTP"):
        WebServer(web_app({}), "192.0.2.1", 0).start()


@pytest.mark.parametrize("sent", [b"", b"GET /health/live HTTP/1.1\r\nHos"])
def test_a_request_that_never_ends_is_hung_up_on(
    monkeypatch: pytest.MonkeyPatch, server: WebServer, sent: bytes
) -> None:
    monkeypatch.setattr(web, "REQUEST_SECONDS", 0.2)
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as silent:
        silent.sendall(sent)

        assert silent.recv(100) == b""


def test_the_stop_is_quick_also_with_a_silent_connection(server: WebServer) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=5):
        assert ask(server, "/health/live")[0] == 200
        began = time.monotonic()
        server.stop(2.0)

    assert time.monotonic() - began < 1.0
    assert not server.ready()


def test_slow_probes_keep_nobody_from_live_and_share_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, release = [], threading.Event()

    def slow() -> bool:
        asked.append(threading.active_count())
        return release.wait(10)

    serving = WebServer(web_app({"slow": slow}), "127.0.0.1", 0)
    serving.start()
    try:
        waiting = [socket.create_connection(("127.0.0.1", serving.port), timeout=10) for _ in range(60)]
        for one in waiting:
            one.sendall(b"GET /health/ready HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        while not asked:
            time.sleep(0.01)

        assert ask(serving, "/health/live")[0] == 200
        time.sleep(0.1)  # by now all of them wait
        release.set()
        answers = [one.recv(20) for one in waiting]
    finally:
        release.set()
        serving.stop(1.0)

    assert {answer[:12] for answer in answers} == {b"HTTP/1.1 200"}
    assert len(asked) <= 3


def test_more_than_a_hundred_waiting_for_readiness_are_told_to_come_again() -> None:
    release = threading.Event()
    serving = WebServer(web_app({"slow": lambda: release.wait(10)}), "127.0.0.1", 0)
    serving.start()
    try:
        waiting = [socket.create_connection(("127.0.0.1", serving.port), timeout=10) for _ in range(130)]
        for one in waiting:
            one.sendall(b"GET /health/ready HTTP/1.1\r\nHost: x\r\n\r\n")

        assert ask(serving, "/health/ready")[0] == 503
        assert ask(serving, "/health/live")[0] == 200
    finally:
        release.set()
        serving.stop(1.0)
