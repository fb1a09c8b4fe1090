"""The tour of the README, command by command, against a running broker."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

from broker.simulators.process import COMMAND
from tests.kit import dcmtk
from tests.kit.processes import ServedBroker

ROOT = Path(__file__).parents[2]
STOP = re.compile(r"^<!-- tour -->\n```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def test_every_command_of_the_tour_works_as_written(databases, tmp_path):
    commands = [line for stop in STOP.findall((ROOT / "README.md").read_text("utf-8")) for line in stop.splitlines()]
    with databases.fresh("sqlite", tmp_path) as url, ServedBroker(tmp_path / "data", url) as broker:
        told = {line: _run(line, broker, url) for line in commands}

    said = "\n".join(told.values())
    assert len(commands) >= 10
    assert "AA" in told[commands[0]]
    assert "[Brook^Clara" in told[commands[1]]
    assert "[20260303" in said
    assert "PO1005" in said
    assert "CANCELED" in said
    assert "duplicate" in said


def _run(line: str, broker: ServedBroker, url: str) -> str:
    """Run a command with the ports and the folder of this broker in place of the defaults."""
    words = shlex.split(line)
    if words[0] == ".venv/bin/mwl-broker":
        words[0:1] = COMMAND
    else:
        words[0] = dcmtk.tool(words[0])
        words = [str(broker.ports["dicom"]) if word == "11112" else word for word in words]
    where = {
        "BROKER_DATA": str(broker.data),
        "BROKER_DATABASE": url,
        "BROKER_HL7_PORT": str(broker.ports["hl7"]),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    done = subprocess.run(
        words, cwd=ROOT, env={**os.environ, **where}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, errors="replace", timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{line}\n{done.stdout}"
    return done.stdout
