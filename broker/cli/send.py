"""hl7 send: files of HL7 messages to a receiver, with its answers."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from broker.cli.output import cell, console, counted, print_json, remark
from broker.errors import BrokerError, PeerFailed, UnreadableMessage
from broker.hl7.sender import ANSWER_SECONDS, Answer, send, split_messages
from broker.hl7v2.charset import decode
from broker.hl7v2.reader import read
from broker.settings import Settings

commands = typer.Typer(no_args_is_help=True, help="HL7 messages.")


@commands.callback()
def group() -> None:
    """Keeps `send` a command of its own although it is the only one."""


@commands.command("send")
def send_files(
    files: Annotated[list[Path], typer.Argument(exists=True, dir_okay=False, help="Files of one or more messages.")],
    host: Annotated[str | None, typer.Option(help="Receiver; default: this machine, or BROKER_HOST.")] = None,
    port: Annotated[int | None, typer.Option(min=1, max=65_535, help="Default: 2575, or BROKER_HL7_PORT.")] = None,
    repeat: Annotated[int, typer.Option(min=1, help="Send everything this many times.")] = 1,
    seconds: Annotated[float, typer.Option(min=0.1, max=3_600, help="Longest wait for an answer.")] = ANSWER_SECONDS,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Send the messages of FILES over MLLP, one connection, each after the answer to the one before.

    Ends with 1 when a message was not accepted (AA or CA).
    """
    messages = [(file.name, message) for file in files for message in _messages_in(file)]
    settings = Settings.load(os.environ, {"host": host, "hl7_port": port})
    receiver = "127.0.0.1" if settings.host in ("0.0.0.0", "::") else settings.host
    every = [one for _ in range(repeat) for one in messages]
    answers: list[tuple[str, Answer]] = []
    failure: BrokerError | None = None
    try:
        for (name, _), answer in zip(every, send(receiver, settings.hl7_port, _only(every), seconds), strict=True):
            answers.append((name, answer))
            if not json and repeat == 1:
                _print(name, answer)
    except PeerFailed as error:
        failure = error
    if json:
        print_json([_facts(name, answer) for name, answer in answers])
    _summarise([answer for _, answer in answers])
    if failure is not None:
        raise failure
    if not all(answer.accepted for _, answer in answers):
        raise typer.Exit(1)


def _messages_in(file: Path) -> list[bytes]:
    found = split_messages(file.read_bytes())
    if not found:
        raise UnreadableMessage("the file holds no HL7 message; one begins with MSH", file=file)
    return found


def _only(named: list[tuple[str, bytes]]) -> Iterator[bytes]:
    return (message for _, message in named)


def _lines(answer: Answer) -> list[str]:
    try:
        names = read(answer.raw).charset.split("~")
    except UnreadableMessage:
        names = []
    text, _ = decode(answer.raw, names)
    return [cell(line) for line in text.replace("\n", "\r").split("\r") if line]


def _print(name: str, answer: Answer) -> None:
    out = console()
    code = cell(answer.code) or "no acknowledgement"
    out.print(f"{cell(name)}: {code} in {answer.seconds * 1000:.0f} ms", style="bold")
    for line in _lines(answer):
        out.print("  " + line, soft_wrap=True)


def _facts(name: str, answer: Answer) -> dict[str, object]:
    return {
        "file": name,
        "code": answer.code,
        "accepted": answer.accepted,
        "control_id": answer.control_id,
        "seconds": round(answer.seconds, 4),
        "answer": _lines(answer),
    }


def _summarise(answers: list[Answer]) -> None:
    codes = Counter(cell(answer.code) or "no acknowledgement" for answer in answers)
    by_code = ", ".join(f"{count} {code}" for code, count in sorted(codes.items())) or "none answered"
    remark(f"{counted(len(answers), 'message')}: {by_code}.")
