"""DCMTK's tools as strangers at the door; tests that need them are skipped with a word on how to get them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path

import pytest

INSTALL = "DCMTK is not installed; on Debian or Ubuntu: apt-get install dcmtk, on macOS: brew install dcmtk"
LIMIT_SECONDS = 30


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


def _is_dcmtk(path: str) -> bool:
    try:
        said = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.SubprocessError):
        return False
    return "dcmtk" in said.stdout.lower()
