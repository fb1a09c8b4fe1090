"""DCMTK's clients, unmodified, on the engine's door: C-ECHO, C-FIND, C-STORE, with TLS and without."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from broker.dicom.listener import DicomListener
from broker.tls import TlsFiles
from tests.kit.certificates import Authority
from tests.kit.dcmtk import run
from tests.wire.engine.conftest import SmallServices

OpenDoor = Callable[..., DicomListener]
IMAGE = Path(__file__).parents[3] / "samples" / "dicom" / "brook_ct.dcm"


@pytest.fixture(params=["plain", "tls"])
def call(
    request: pytest.FixtureRequest, open_door: OpenDoor, tls_files: TlsFiles, authority: Authority
) -> Callable[..., str]:
    """Runs a tool against a fresh door and returns what it said; it must succeed."""
    own = authority.issue("scanner")
    secured = request.param == "tls"
    door = open_door(replace(tls_files, client_certificates="required") if secured else None)

    def calls(tool: str, *options: str, files: tuple[Path, ...] = ()) -> str:
        tls = ("+tls", own.key, own.certificate, "+cf", authority.certificate, "-ic") if secured else ()
        ended = run(tool, "-v", *tls, "-aec", "BROKER", *options, "127.0.0.1", str(door.port), *files)
        assert ended.returncode == 0, ended.stdout
        return ended.stdout

    return calls


def test_echoscu_is_answered(call: Callable[..., str]) -> None:
    assert "Received Echo Response (Success)" in call("echoscu", "--repeat", "5", "-to", "5")


def test_findscu_gets_every_answer(call: Callable[..., str], services: SmallServices) -> None:
    services.answers = 200

    said = call("findscu", "-W", "-k", "AccessionNumber", "-k", "PatientName", "-to", "5")

    assert said.count("Find Response") >= 200


def test_findscu_may_cancel(call: Callable[..., str], services: SmallServices) -> None:
    services.answers = 1_000_000

    call("findscu", "-W", "-k", "AccessionNumber", "--cancel", "3", "-to", "5")

    assert services.cancelled.wait(10)


@pytest.mark.parametrize("length", ["4096", "131072"])
def test_storescu_stores_an_image(call: Callable[..., str], services: SmallServices, length: str) -> None:
    call("storescu", "--max-pdu", length, files=(IMAGE,))

    assert services.stored
    assert services.stored[0] > 500
