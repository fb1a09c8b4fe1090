"""DCMTK's tools as strangers at the door; tests that need them are skipped with a word on how to get them."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

INSTALL = "DCMTK is not installed; on Debian or Ubuntu: apt-get install dcmtk, on macOS: brew install dcmtk"
LIMIT_SECONDS = 30
EXAMPLES = ("/usr/share/doc/dcmtk/examples", "/usr/local/share/doc/dcmtk/examples", "/usr/share/doc/dcmtk-doc/examples")
NO_EXAMPLES = "DCMTK's example worklists are missing; DCMTK_EXAMPLES=DIR says where (Debian: doc of the package dcmtk)"
START_SECONDS = 20.0


@cache
def find(tool: str) -> str | None:
    """Path of DCMTK's own tool; pynetdicom installs scripts of the same names, which do not count."""
    for folder in os.get_exec_path():
        candidate = shutil.which(tool, path=folder)
        if candidate and _is_dcmtk(candidate):
            return candidate
    return None


def tool(name: str) -> str:
    """Path of the tool; skips the test when it is missing."""
    path = find(name)
    if path is None:
        pytest.skip(INSTALL)
    return path


def run(name: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a tool to its end and return what it said; both streams are in stdout."""
    return subprocess.run(
        [tool(name), *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        timeout=LIMIT_SECONDS,
        check=False,
    )


def find_worklist(port: int, *keys: str, calling: str = "CTAE") -> list[str]:
    """`findscu -W` with keys; the accession numbers of the answers, sorted."""
    arguments: list[str] = ["-v", "-W", "-aet", calling, "-aec", "MWLBROKER", "-k", "AccessionNumber"]
    for key in keys:
        arguments += ["-k", key]
    result = run("findscu", *arguments, "127.0.0.1", str(port))
    assert result.returncode == 0, result.stdout
    responses = result.stdout.split("Find Response")[1:]
    found = [re.search(r"\(0008,0050\) SH \[([^\]]*)\]", response) for response in responses]
    return sorted(match.group(1).strip() for match in found if match)


def examples(name: str) -> Path:
    """A folder of DCMTK's examples ("wlistdb/OFFIS", "wlistqry"); skips the test when they are missing."""
    places = (os.environ.get("DCMTK_EXAMPLES", ""), *EXAMPLES)
    found = next((Path(place) / name for place in places if place and (Path(place) / name).is_dir()), None)
    if found is None:
        pytest.skip(NO_EXAMPLES)
    return found


@contextmanager
def serving_worklist(folder: Path) -> Iterator[int]:
    """DCMTK's worklist server on a folder that holds a folder for each called AE title; gives its port."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = int(probe.getsockname()[1])
    command = [tool("wlmscpfs"), "-dfp", str(folder), str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            _wait_until_open(port, process)
            yield port
        finally:
            process.kill()


def _wait_until_open(port: int, process: subprocess.Popen[bytes]) -> None:
    give_up_at = time.monotonic() + START_SECONDS
    while time.monotonic() < give_up_at and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError("wlmscpfs did not open its port")


def find_datasets(port: int, called: str, folder: Path, *arguments: str | Path) -> list[Dataset]:
    """`findscu -W` with arguments; the answers as it writes them into the folder."""
    folder.mkdir(parents=True)
    result = run("findscu", "-W", "-X", "-od", folder, "-aec", called, "127.0.0.1", str(port), *arguments)
    assert result.returncode == 0, result.stdout
    return [dcmread(file, force=True) for file in sorted(folder.glob("*.dcm"))]


def _is_dcmtk(path: str) -> bool:
    try:
        said = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.SubprocessError):
        return False
    return "dcmtk" in said.stdout.lower()
