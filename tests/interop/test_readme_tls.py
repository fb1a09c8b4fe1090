"""What the README says of TLS, command by command: certificates by openssl, DCMTK and s_client as peers."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kit import dcmtk
from tests.kit.databases import Databases
from tests.kit.processes import ServedBroker

ROOT = Path(__file__).parents[2]


def block(name: str) -> list[str]:
    """The commands of a marked block of the README."""
    found = re.search(rf"^<!-- tls: {name} -->\n```sh\n(.*?)^```$", (ROOT / "README.md").read_text(), re.M | re.S)
    assert found, name
    return found[1].splitlines()


def run(command: str, folder: Path) -> str:
    done = subprocess.run(
        command, shell=True, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        errors="replace", timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{command}\n{done.stdout}"
    return done.stdout


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the certificates that the README makes, and the samples."""
    folder = tmp_path_factory.mktemp("readme")
    (folder / "samples").symlink_to(ROOT / "samples")
    for command in block("make"):
        run(command, folder)
    return folder


@pytest.fixture(scope="module")
def secured(databases: Databases, place: Path) -> Iterator[ServedBroker]:
    """A broker with the flags that the README names, on free ports."""
    (serve,) = block("serve")
    options = [str(place / word) if word.startswith("tls/") else word for word in shlex.split(serve)[2:]]
    options = ["0" if word.isdigit() else word for word in options]
    with databases.fresh("sqlite", place) as url, ServedBroker(place / "data", url, *options) as process:
        yield process


def test_every_command_works_as_written(secured: ServedBroker, place: Path) -> None:
    dcmtk.tool("echoscu")
    ports = {"2762": secured.ports["dicom_tls"], "2576": secured.ports["hl7_tls"]}
    commands = [re.sub("2762|2576", lambda found: str(ports[found[0]]), line) for line in block("try")]

    echo, find, order = (run(command, place) for command in commands)
    listed = run(commands[1], place)

    assert "Received Echo Response (Success)" in echo
    assert "Received Final Find Response (Success)" in find
    assert "MSA|AA" in order
    assert "Brook" not in find
    assert "Brook^Clara" in listed


def test_doctor_tells_when_the_certificate_expires(secured: ServedBroker, place: Path) -> None:
    (serve,) = block("serve")
    options = [str(place / word) if word.startswith("tls/") else word for word in shlex.split(serve)[2:]]

    told = secured.command("doctor", "--log", "json", "--data", str(secured.data), *options)

    assert "valid until" in told.stdout
    assert "opened by the running broker" in told.stdout
