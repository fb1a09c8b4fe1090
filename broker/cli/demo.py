"""demo: a simulated morning through the real ports, in a folder of its own."""

from __future__ import annotations

from typing import Annotated

import typer

from broker.cli.output import console


def demo(keep: Annotated[bool, typer.Option("--keep", help="Keep the folder, to look around in it.")] = False) -> None:
    """Play a small morning: orders, changes, a cancel, scanners at work. Ends with 0 when every order ended well."""
    from broker.simulators.demo import run_demo  # takes a while to import, and no other command needs it

    raise typer.Exit(run_demo(keep, console()))
