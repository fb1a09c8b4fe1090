"""messages list|show: the journal of HL7 messages and imported worklist files."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from broker.cli.flags import STORE, takes_settings
from broker.cli.output import cell, plain, print_json, print_table, remark, short
from broker.cli.reading import ANY_WORD, opened, row_id
from broker.domain.request import Cause, Outcome
from broker.hl7.answers import ANSWERS
from broker.hl7v2.charset import decode
from broker.mapping.worklist_file import lines_of
from broker.mapping.worklist_item import MESSAGE_TYPE
from broker.settings import Settings
from broker.store.shown import ShownMessage, list_messages, message

commands = typer.Typer(no_args_is_help=True, help="The journal of HL7 messages.")
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Limit = Annotated[int, typer.Option(min=1, max=100_000, help="At most this many, newest first.")]


@commands.command("list")
@takes_settings(*STORE)
def show_messages(
    settings: Settings,
    limit: Limit = 50,
    outcome: Annotated[Outcome | None, typer.Option(help="Only messages that ended so.")] = None,
    json: Json = False,
) -> None:
    """List the latest messages and how they ended."""
    with opened(settings) as database, database.read() as tx:
        found = list_messages(tx, limit, outcome.value if outcome else None)
    if json:
        print_json([_without_bytes(one) for one in found])
    elif not found:
        remark("No messages.")
    else:
        columns = ("Id", "Received (UTC)", "Sender", "Type", "Control id", "Outcome", "Answer", "Reason")
        rows = [
            (m.id, m.received_at, m.sender, m.message_type, m.control_id, m.outcome, _answer(m), m.reason)
            for m in found
        ]
        print_table("", columns, rows)


@commands.command("show", context_settings=ANY_WORD)
@takes_settings(*STORE)
def show_message(
    settings: Settings,
    message_id: Annotated[str, typer.Argument(metavar="ID", help="Id of the message in the journal.")],
    json: Json = False,
) -> None:
    """Show one message: how it ended, and its text."""
    wanted = row_id(message_id)
    with opened(settings) as database, database.read() as tx:
        found = None if wanted is None else message(tx, wanted)
    if found is None:
        remark(f"No message has the id {short(message_id)}.")
        raise typer.Exit(1)
    lines = _lines(found)
    facts = _without_bytes(found)
    if json:
        print_json(facts | {"text": "\r".join(lines)})
        return
    print_table(f"Message {found.id}", ("What", "Value"), list(facts.items()))
    for line in lines:
        if line:
            print(cell(line))  # no box, no wrapping: to be copied


def _lines(found: ShownMessage) -> list[str]:
    """The segments of a message; the elements of an imported worklist file."""
    if found.message_type == "^".join(MESSAGE_TYPE):
        return lines_of(found.raw or b"")
    text, _ = decode(found.raw or b"", found.charset.split("~"))
    return text.replace("\n", "\r").split("\r")


def _without_bytes(found: ShownMessage) -> dict[str, Any]:
    facts: dict[str, Any] = plain(found)
    del facts["raw"]
    return facts | {"answer": _answer(found)}


def _answer(found: ShownMessage) -> str:
    """MSA-1 of the answer, of a refusal with the code of ERR; a repeat got the first one's."""
    if found.cause is None:
        return "AA"
    reply = ANSWERS[Cause[found.cause]]
    return f"{reply.code} {reply.error}"
