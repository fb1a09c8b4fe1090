"""A broker as a process of its own, on free ports with a folder of its own, as the simulators meet it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from http.client import HTTPException
from pathlib import Path

from broker.health_client import health

COMMAND = (sys.executable, "-m", "broker.cli.main")
START_SECONDS = 60.0
STOP_SECONDS = 10.0
POLL_SECONDS = 0.05
HEALTH_SECONDS = 5.0


class ProcessError(Exception):
    """The broker did not start, did not stop, or a command of it failed."""


class BrokerProcess:
    """`mwl-broker serve` in a folder; used in a `with` statement it is stopped at the end.

    data     the data folder; serve.out and serve.err there hold what the process printed
    options  further flags of `serve`
    before   words before the command, as `nohup` is one
    ports    {"hl7": n, "dicom": n, "http": n} once started
    """

    def __init__(self, data: Path, options: Sequence[str] = ()) -> None:
        self.data = data
        self.options = list(options)
        self.before: list[str] = []
        self.ports: dict[str, int] = {}
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> BrokerProcess:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start it and wait until it is ready.

        raises  ProcessError when it ends early or is not ready within START_SECONDS
        """
        self.spawn()
        limit = time.monotonic() + START_SECONDS
        while not self._is_ready():
            if self.process is None or self.process.poll() is not None:
                raise ProcessError(f"the broker ended at start: {self.printed()[-2000:]}")
            if time.monotonic() > limit:
                self.kill()
                raise ProcessError(f"the broker was not ready after {START_SECONDS:g} seconds")
            time.sleep(POLL_SECONDS)

    def spawn(self) -> None:
        """Start it and do not wait."""
        self.data.mkdir(parents=True, exist_ok=True)
        self._ports_file.unlink(missing_ok=True)
        free = ["--hl7-port", "0", "--dicom-port", "0", "--http-port", "0"]
        with (self.data / "serve.out").open("ab") as out, (self.data / "serve.err").open("ab") as err:
            self.process = subprocess.Popen(
                [*self.before, *COMMAND, "serve", "--data", str(self.data), *free, *self.options],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env=_environment(),
            )

    def stop(self) -> float:
        """End it as a service manager does (SIGTERM); the seconds that took. Killed when it takes too long."""
        if self.process is None:
            return 0.0
        began = time.monotonic()
        self.process.terminate()
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            raise ProcessError(f"the broker did not stop within {STOP_SECONDS:g} seconds") from None
        return time.monotonic() - began

    def kill(self) -> None:
        """End it without a word (SIGKILL)."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def printed(self) -> str:
        """All that the process wrote on its standard output and its log."""
        files = (self.data / "serve.out", self.data / "serve.err")
        return "".join(file.read_text("utf-8", "replace") for file in files if file.exists())

    def command(self, *arguments: str, timeout_seconds: float = 60.0) -> subprocess.CompletedProcess[str]:
        """Run another command of the broker on the same folder."""
        return subprocess.run(
            [*COMMAND, *arguments],
            capture_output=True,
            text=True,
            timeout=timeout_seconds,
            check=False,
            env={**_environment(), **self._where()},
        )

    def health(self, which: str = "ready") -> int:
        """HTTP status of /health/ready or /health/live; 0 when nobody answers."""
        try:
            return health("127.0.0.1", self.ports["http"], which, HEALTH_SECONDS)
        except (OSError, HTTPException):
            return 0

    def _where(self) -> dict[str, str]:
        where = {"BROKER_DATA": str(self.data)}
        if "--database" in self.options:
            where["BROKER_DATABASE"] = self.options[self.options.index("--database") + 1]
        return where

    @property
    def _ports_file(self) -> Path:
        return self.data / "ports.json"

    def _is_ready(self) -> bool:
        try:
            self.ports = json.loads(self._ports_file.read_text("utf-8"))
        except (OSError, ValueError):
            return False
        return self.health() == 200


def _environment() -> dict[str, str]:
    """Ours without settings of the broker, which would reach into the simulated one."""
    return {name: value for name, value in os.environ.items() if not name.upper().startswith("BROKER_")}
