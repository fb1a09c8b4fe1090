"""What is built from a plain copy of the project, without version control, serves."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = ("broker", "schema", "pyproject.toml", "README.md", "LICENSE")
START_SECONDS = 30.0


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built by pip from an exported tree, with the build backend that is installed here."""
    tree = tmp_path_factory.mktemp("exported")
    for name in SOURCES:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, tree / name)
    pip("wheel", "--no-build-isolation", "--no-deps", "--wheel-dir", str(tree / "dist"), str(tree))
    (made,) = (tree / "dist").glob("*.whl")
    return made


def pip(*words: str) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_wheel_carries_the_schema_inside_the_package_and_claims_no_other_name(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()

    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"broker"}
    assert "broker/_schema/migrations/env.py" in names
    assert "broker/_schema/current.sql" in names
    assert "broker/site/default.toml" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)


@pytest.mark.slow
def test_the_installed_command_serves_and_stops(wheel: Path, tmp_path: Path) -> None:
    pip("install", "--no-deps", "--no-index", "--target", str(tmp_path / "site"), str(wheel))
    environment = {key: value for key, value in os.environ.items() if not key.startswith("BROKER_")}
    environment["PYTHONPATH"] = str(tmp_path / "site")
    data = tmp_path / "data"
    ports = ["--hl7-port", "0", "--dicom-port", "0", "--http-port", "0"]

    serving = subprocess.Popen(
        [sys.executable, str(tmp_path / "site" / "bin" / "mwl-broker"), "serve", "--data", str(data), *ports],
        cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        give_up_at = time.monotonic() + START_SECONDS
        while not (data / "ports.json").exists() and serving.poll() is None and time.monotonic() < give_up_at:
            time.sleep(0.05)
        opened = json.loads((data / "ports.json").read_text()) if (data / "ports.json").exists() else {}
        serving.send_signal(signal.SIGTERM)
        out, err = serving.communicate(timeout=10)
    finally:
        serving.kill()

    assert serving.returncode == 0, err
    assert sorted(opened) == ["dicom", "hl7", "http"]
    assert "Ready." in out
    assert (data / "broker.db").exists()
