"""The broker as a real process, and ways to make its database unavailable while it runs."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import ProxyHandler, build_opener

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from broker.simulators.process import BrokerProcess
from tests.kit.brokers import PROFILE
from tests.kit.messages import Case
from tests.kit.mllp import Answer, send
from tests.kit.scanner import Scanner

HEALTH_SECONDS = 20.0
MOMENT_SECONDS = 0.05
"""Lines are written by a thread of their own: a moment after the answer that they tell of."""


class ServedBroker(BrokerProcess):
    """`mwl-broker serve` with what tests ask of it; everything goes through its ports and its command line."""

    def __init__(self, data: Path, database_url: str, *options: str, profile: str = PROFILE) -> None:
        super().__init__(data, ("--database", database_url, *options))
        data.mkdir(parents=True, exist_ok=True)
        (data / "site.toml").write_text(profile, encoding="utf-8")

    def through_shell(self, line: str) -> None:
        """Have the process started by a line of the shell in which "$@" is its command: exec "$@" 2>/dev/full"""
        self.before = ["sh", "-c", line, "sh"]

    def wait_for_health(self, status: int) -> None:
        """Wait until readiness says so; processes report once a second."""
        give_up_at = time.monotonic() + HEALTH_SECONDS
        while self.health() != status:
            assert time.monotonic() < give_up_at, f"{status} did not come"
            time.sleep(0.1)

    def metric(self, name: str) -> float:
        """A figure of /metrics that has no labels."""
        address = f"http://127.0.0.1:{self.ports['http']}/metrics"
        with build_opener(ProxyHandler({})).open(address, timeout=10) as told:
            lines = told.read().decode().splitlines()
        return next(float(line.split()[1]) for line in lines if line.startswith(f"mwl_broker_{name} "))

    def send(self, message: bytes) -> Answer:
        return send(self.ports["hl7"], message)

    def scanner(self, ae_title: str = "CTAE") -> Scanner:
        return Scanner(self.ports["dicom"], ae_title)

    def item(self, case: Case) -> Any:
        return self.scanner().item(PatientID=case.patient_id)

    def door_pids(self) -> dict[int, int]:
        """Process ids of the DICOM door's own processes, by their numbers: those that began to serve last."""
        return {line["process"]: line["pid"] for line in self.logged("dicom.process_serves")}

    def logged(self, event: str) -> list[dict[str, Any]]:
        """All lines of one event in the log."""
        time.sleep(MOMENT_SECONDS)
        text = (self.data / "serve.err").read_text("utf-8")
        lines = [json.loads(line) for line in text.splitlines() if line.startswith("{") and line.endswith("}")]
        return [line for line in lines if line["event"] == event]

    def json(self, *command: str) -> Any:
        """What a command prints with --json."""
        result = self.command(*command, "--json")
        assert result.returncode == 0, result.stderr
        return json.loads(result.stdout)


@contextmanager
def unavailable(database_url: str) -> Iterator[None]:
    """Meanwhile nobody can write to the database: SQLite is locked, PostgreSQL takes no connection and cuts all."""
    if database_url.startswith("sqlite"):
        with _locked(Path(database_url.removeprefix("sqlite:///"))):
            yield
    else:
        with _closed(database_url):
            yield


@contextmanager
def _locked(file: Path) -> Iterator[None]:
    connection = sqlite3.connect(file, isolation_level=None, timeout=10)
    try:
        connection.execute("BEGIN EXCLUSIVE")
        yield
        connection.execute("ROLLBACK")
    finally:
        connection.close()


@contextmanager
def _closed(database_url: str) -> Iterator[None]:
    plain = database_url.replace("postgresql+psycopg://", "postgresql://")
    name = str(conninfo_to_dict(plain)["dbname"])
    with psycopg.connect(make_conninfo(plain, dbname="postgres"), autocommit=True) as administrator:
        administrator.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
        try:
            administrator.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
            yield
        finally:
            administrator.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')
