"""alarms list|ack: what a person must look at."""

from __future__ import annotations

import getpass
from typing import Annotated

import typer

from broker.cli.flags import STORE, takes_settings
from broker.cli.output import plain, print_json, print_table, remark, short
from broker.cli.reading import ANY_WORD, opened, row_id
from broker.clock import SystemClock
from broker.domain.alarms import KINDS
from broker.settings import Settings
from broker.store.alarms import StoredAlarm, acknowledge, list_alarms
from broker.visible import visible

commands = typer.Typer(no_args_is_help=True, help="What a person must look at.")
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Limit = Annotated[int, typer.Option(min=1, max=100_000, help="At most this many, last raised first.")]


@commands.command("list")
@takes_settings(*STORE)
def show_alarms(
    settings: Settings,
    everything: Annotated[bool, typer.Option("--all", help="Acknowledged ones too.")] = False,
    limit: Limit = 100,
    json: Json = False,
) -> None:
    """List open alarms."""
    with opened(settings) as database, database.read() as tx:
        found = list_alarms(tx, acknowledged=everything, limit=limit)
    if json:
        print_json([plain(alarm) | {"to_do": _to_do(alarm)} for alarm in found])
    elif not found:
        remark("No alarms." if everything else "No open alarms.")
    else:
        columns = ["Id", "Last (UTC)", "Times", "Kind", "Subject", "Order", "Detail", "What to do"]
        rows = [[a.id, a.last_at, a.count, a.kind, a.subject, a.order_id, a.detail, _to_do(a)] for a in found]
        if everything:
            columns.append("Acknowledged by")
            rows = [[*row, alarm.acknowledged_by] for row, alarm in zip(rows, found, strict=True)]
        print_table("", columns, rows)


def _to_do(alarm: StoredAlarm) -> str:
    kind = KINDS.get(alarm.kind)
    return kind.to_do if kind else ""


@commands.command("ack", context_settings=ANY_WORD)
@takes_settings(*STORE)
def acknowledge_alarm(
    settings: Settings,
    alarm_id: Annotated[str, typer.Argument(metavar="ID", help="Id of the alarm.")],
    by: Annotated[str | None, typer.Option(help="Who has looked at it; default: the user of this session.")] = None,
) -> None:
    """Acknowledge an alarm; it stays in the list of all alarms, and is raised anew when it happens again."""
    who = visible(by or _user())[:64]
    wanted = row_id(alarm_id)
    with opened(settings) as database, database.write() as tx:
        done = wanted is not None and acknowledge(tx, wanted, who, SystemClock().now())
    if not done:
        remark(f"No open alarm has the id {short(alarm_id)}.")
        raise typer.Exit(1)
    remark(f"Alarm {wanted} acknowledged by {who}.")


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return "unknown"
