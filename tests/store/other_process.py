"""What a second process does in the tests of this folder; run as `python -m tests.store.other_process`."""

from __future__ import annotations

import sys
from pathlib import Path

from sqlalchemy import insert

from broker.store.database import Database, open_database
from broker.store.tables import id_blocks


def write_without_pause(database: Database) -> None:
    """Small transactions, one after the other, until killed."""
    for number in range(1_000_000_000):
        with database.write() as tx:
            tx.execute(insert(id_blocks), {"name": f"other{number}", "next": 1})
        if number == 0:
            _say("writing")


def hold_the_write_lock(database: Database) -> None:
    """One transaction that ends only with the process."""
    with database.write() as tx:
        tx.execute(insert(id_blocks), {"name": "held", "next": 1})
        _say("held")
        sys.stdin.read()


def take_numbers(database: Database) -> None:
    """A thousand numbers, printed."""
    _say(",".join(str(database.ids.take("orders")) for _ in range(1000)))


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    what, url = sys.argv[1:]
    work = {"write": write_without_pause, "hold": hold_the_write_lock, "take": take_numbers}[what]
    work(open_database(url, Path.cwd(), migrate=False))
