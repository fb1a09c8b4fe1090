"""doctor: what a broker stands on, and how to mend what is wrong with it."""

from __future__ import annotations

from typing import Annotated

import typer

from broker import log
from broker.cli.output import print_json, print_table, remark
from broker.clock import SystemClock
from broker.doctor import OK, PROBLEM, examine
from broker.settings import Settings


def doctor(settings: Settings, json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Check ports, data folder, database, limits, certificates, time zone and profile; say how to mend what is wrong.

    Takes the flags of serve. Works beside a running broker or without one, and changes nothing. Ends with 1 when there
    are problems; warnings do not count.
    """
    log.configure(settings.log)
    findings = examine(settings, SystemClock())
    problems = sum(1 for finding in findings if finding.status == PROBLEM)
    if json:
        print_json({"problems": problems, "findings": findings})
    else:
        rows = [(f.status, f.check, f.found, f.mend) for f in findings]
        print_table("", ("Status", "What", "Found", "How to mend it"), rows)
        other = sum(1 for finding in findings if finding.status not in (OK, PROBLEM))
        remark(f"{problems} problem{'s' * (problems != 1)}, {other} warning{'s' * (other != 1)}.")
    if problems:
        raise typer.Exit(1)
