"""SIGTERM ends the process in under five seconds also while it starts: there, a lock or a migration may take longer."""

from __future__ import annotations

import sqlite3
import time

from broker.simulators.process import BrokerProcess

BEGUN_SECONDS = 30.0


def test_a_start_that_waits_for_the_database_ends_in_time_when_told_to(databases, tmp_path):
    with databases.fresh("sqlite", tmp_path) as url:
        other = sqlite3.connect(tmp_path / "broker.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        starting = BrokerProcess(tmp_path / "data", ("--database", url, "--lock-seconds", "20"))
        starting.spawn()
        _wait_until_it_holds_its_folder(starting)

        seconds = starting.stop()

        other.close()
        assert seconds < 5.0
        assert starting.process is not None
        assert starting.process.returncode == 0


def _wait_until_it_holds_its_folder(starting: BrokerProcess) -> None:
    lock, limit = starting.data / "serve.lock", time.monotonic() + BEGUN_SECONDS
    while not (lock.exists() and lock.read_text()):
        assert time.monotonic() < limit, starting.printed()
        time.sleep(0.02)
