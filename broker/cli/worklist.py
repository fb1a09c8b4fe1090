"""worklist list|import: what scanners are shown, what is held back and why; lists of other systems taken in."""

from __future__ import annotations

import re
from typing import Annotated

import typer

from broker.cli.flags import STORE, takes_settings
from broker.cli.import_worklist import import_worklist
from broker.cli.output import print_json, print_table, remark, state, wall_clock
from broker.cli.reading import can_be_stored, opened
from broker.settings import Settings
from broker.store.shown import list_steps

commands = typer.Typer(no_args_is_help=True, help="Scheduled steps as scanners see them.")
commands.command("import")(takes_settings(*STORE, "site")(import_worklist))


@commands.command("list")
@takes_settings(*STORE)
def show_steps(
    settings: Settings,
    station: Annotated[str | None, typer.Option(help="Only steps planned for this AE title, or open to any.")] = None,
    date: Annotated[str | None, typer.Option(metavar="YYYYMMDD", help="Only steps that start on this day.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="At most this many, earliest first.")] = 200,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List open steps, held ones included with their reason."""
    if date is not None and not re.fullmatch("[0-9]{8}", date):
        raise typer.BadParameter("a day is YYYYMMDD, like 20260302", param_hint="--date")
    with opened(settings) as database, database.read() as tx:
        found = list_steps(tx, limit + 1, station, date) if can_be_stored(station or "") else []
    if json:
        print_json(found[:limit])
    elif not found:
        remark("No open steps.")
    else:
        columns = ("Start", "Modality", "Stations", "Accession", "Step", "State", "Patient ID", "Patient")
        rows = [
            (wall_clock(s.start_at), s.modality, s.stations or "any", s.accession_number, s.step_id,
             state(s.state, s.held), s.patient_id, s.patient_name)
            for s in found[:limit]
        ]  # fmt: skip
        print_table("", columns, rows)
    if len(found) > limit:
        remark(f"There are more; these are the first {limit}.")
