"""Commands whose output nobody takes: they do their work, and say at the end what became of the words."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from sqlalchemy import insert

from broker.simulators.process import COMMAND
from broker.store import tables as t
from broker.store.database import Database
from tests.unit.cli.conftest import a_message

NO_SPACE = "mwl-broker: the output could not be written: No space left on device"


def shell(line: str, *words: object, **variables: str) -> subprocess.CompletedProcess[bytes]:
    """A line of the shell in which "$@" is the command with these words."""
    command = ["sh", "-c", line, "sh", *COMMAND, *map(str, words)]
    return subprocess.run(command, capture_output=True, timeout=60, check=False, env={**os.environ, **variables})


@pytest.fixture
def many(stocked: Path, opened: Database) -> Path:
    """A data folder with more messages than a pipe holds lines."""
    with opened.write() as tx:
        tx.execute(insert(t.messages), [a_message(number, reason="x" * 100) for number in range(2, 1_500)])
    return stocked


@pytest.mark.parametrize("form", [(), ("--json",)], ids=["table", "json"])
def test_a_reader_that_has_had_enough_ends_a_command_quietly(many: Path, form: tuple[str, ...]) -> None:
    ran = shell('{ "$@"; echo $? >&2; } | head -n 1', "messages", "list", "--limit", "5000", "--data", many, *form)

    assert ran.stdout.count(b"\n") == 1
    assert ran.stderr.decode() == "0\n"


@pytest.mark.parametrize("words", [("messages", "list"), ("messages", "list", "--json"), ("--version",), ("--help",)])
def test_a_full_disk_is_said_and_ends_with_1(stocked: Path, words: tuple[str, ...]) -> None:
    where = ("--data", stocked) if words[0] == "messages" else ()

    ran = shell('"$@" >/dev/full', *words, *where)

    assert ran.returncode == 1
    assert ran.stderr.decode().splitlines() == [NO_SPACE]


def test_closed_output_is_said_and_ends_with_1(stocked: Path) -> None:
    ran = shell('"$@" >&-', "messages", "list", "--data", stocked)

    assert ran.returncode == 1
    assert "the output could not be written: Bad file descriptor" in ran.stderr.decode()


@pytest.mark.parametrize("to", ["2>&-", "2>/dev/full", "2>&- >&- <&-"])
def test_remarks_that_nobody_takes_change_no_exit_code(data: Path, to: str) -> None:
    assert shell(f'"$@" {to}', "messages", "show", "7", "--data", data).returncode == 1
    assert shell(f'"$@" {to}', "serve", "--hl7-port", "70000").returncode == 2
    assert shell(f'"$@" {to}', "orders", "list", "--data", data).returncode == 0


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
@pytest.mark.parametrize("form", [(), ("--json",)], ids=["table", "json"])
def test_names_that_the_encoding_lacks_are_escaped(
    stocked: Path, opened: Database, encoding: str, form: tuple[str, ...]
) -> None:
    with opened.write() as tx:
        tx.execute(insert(t.messages), a_message(2, sender="ŻÓŁĆ 山田"))

    ran = shell('"$@"', "messages", "list", "--data", stocked, *form, PYTHONIOENCODING=encoding, LC_ALL="C")

    assert ran.returncode == 0
    out = ran.stdout.decode(encoding)
    if form:
        assert json.loads(out)[0]["sender"] == "ŻÓŁĆ 山田"
    else:
        assert ("ŻÓŁĆ 山田" if encoding == "utf-8" else r"\u5c71\u7530") in out
