"""Orthanc as a client of the engine's door: C-ECHO, C-FIND of the worklist and C-STORE, with TLS and without."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from broker.dicom.listener import DicomListener
from broker.tls import TlsFiles
from tests.kit.certificates import Authority
from tests.wire.engine.conftest import SmallServices

OpenDoor = Callable[..., DicomListener]
IMAGE = Path(__file__).parents[3] / "samples" / "dicom" / "brook_ct.dcm"
INSTALL = "Orthanc is not installed; on Debian or Ubuntu: apt-get install orthanc"
START_SECONDS = 30.0


class Orthanc:
    """An Orthanc process that knows our door by the name `broker`."""

    def __init__(self, program: str, folder: Path, port: int, tls: dict[str, Any]) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        settings = {
            "StorageDirectory": str(folder / "storage"),
            "IndexDirectory": str(folder / "storage"),
            "HttpPort": self.port,
            "DicomServerEnabled": False,
            "AuthenticationEnabled": False,
            "RemoteAccessAllowed": False,
            "DicomModalities": {"broker": {"AET": "BROKER", "Host": "127.0.0.1", "Port": port, **tls.pop("peer", {})}},
            **tls,
        }
        (folder / "orthanc.json").write_text(json.dumps(settings))
        self._process = subprocess.Popen(
            [program, str(folder / "orthanc.json")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    def wait(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                self.ask("/system")
                return
            except OSError:
                assert self._process.poll() is None, "Orthanc ended at once"
                assert time.monotonic() < deadline
                time.sleep(0.05)

    def ask(self, path: str, body: bytes | None = None) -> Any:
        """GET, or POST when there is a body."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", body, timeout=30) as answer:
            return json.loads(answer.read())

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(20)


@pytest.fixture(params=["plain", "tls"])
def orthanc(
    request: pytest.FixtureRequest, open_door: OpenDoor, tls_files: TlsFiles, authority: Authority, tmp_path: Path
) -> Iterator[Orthanc]:
    program = shutil.which("Orthanc", path=os.pathsep.join([*os.get_exec_path(), "/usr/sbin"]))
    if program is None:
        pytest.skip(INSTALL)
    tls: dict[str, Any] = {}
    if request.param == "tls":
        own = authority.issue("orthanc")
        tls = {
            "DicomTlsEnabled": False,
            "DicomTlsCertificate": str(own.certificate),
            "DicomTlsPrivateKey": str(own.key),
            "DicomTlsTrustedCertificates": str(authority.certificate),
            "peer": {"UseDicomTls": True},
        }
    door = open_door(replace(tls_files, client_certificates="required") if tls else None)
    process = Orthanc(program, tmp_path, door.port, tls)
    try:
        process.wait()
        yield process
    finally:
        process.stop()


def test_orthanc_is_answered(orthanc: Orthanc, services: SmallServices) -> None:
    services.answers = 150

    assert orthanc.ask("/modalities/broker/echo", b"{}") == {}
    found = orthanc.ask("/modalities/broker/find-worklist", json.dumps({"AccessionNumber": ""}).encode())
    stored = orthanc.ask("/instances", IMAGE.read_bytes())
    sent = orthanc.ask("/modalities/broker/store", stored["ID"].encode())

    assert len(found) == 150
    assert sent["FailedInstancesCount"] == 0
    assert len(services.stored) == 1
