"""`make bench`: measure side by side, print what was promised beside it, write the ratios as JSON."""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from rich.console import Console

from tests.bench.catalogue import CATALOGUE, Measurement
from tests.bench.peers import FINDERS, MissingPeer
from tests.bench.results import Line, show, write_json
from tests.bench.run import CheckFailed, Run
from tests.bench.wire import WireError

FAILED, MISSING = 1, 2
WIDE = 180
"""Columns of the table where nobody says how wide the screen is."""


def main(arguments: Sequence[str] | None = None) -> int:
    """0 when all was measured; 1 when an answer was wrong or a measurement broke; 2 when a peer is missing."""
    options = _parser().parse_args(arguments)
    # Told to end, it ends its servers first.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(FAILED))
    console = Console() if sys.stdout.isatty() else Console(width=WIDE)
    if options.list:
        for name, one in CATALOGUE.items():
            console.print(f"{name:<20} {one.title}", highlight=False)
        return 0
    chosen = {name: one for name, one in CATALOGUE.items() if not options.only or name in options.only}
    missing = _missing(chosen.values())
    for text in missing:
        console.print(f"[red]{text}[/]")
    if missing:
        return MISSING
    work = options.work or Path(tempfile.mkdtemp(prefix="mwl-bench-"))
    work.mkdir(parents=True, exist_ok=True)
    try:
        lines, broken = _measure(console, chosen, work, options.quick)
    finally:
        if options.work is None:
            shutil.rmtree(work, ignore_errors=True)
    show(console, lines, options.quick)
    write_json(options.json, lines, {"quick": options.quick})
    console.print(f"written to {options.json}", highlight=False)
    for text in broken:
        console.print(f"[red]{text}[/]", highlight=False)
    return FAILED if broken else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m tests.bench", description=__doc__)
    parser.add_argument("--only", action="append", choices=list(CATALOGUE), help="this measurement; may be repeated")
    parser.add_argument("--quick", action="store_true", help="fewer repetitions and smaller data: to try the harness")
    parser.add_argument("--list", action="store_true", help="name the measurements")
    parser.add_argument("--json", type=Path, default=Path("build/bench.json"), help="where the ratios go")
    parser.add_argument("--work", type=Path, help="folder to keep made files in, so that the next run finds them")
    return parser


def _missing(chosen: Iterable[Measurement]) -> list[str]:
    needed = sorted({need for one in chosen for need in one.needs})
    found = []
    for need in needed:
        try:
            FINDERS[need]()
        except MissingPeer as error:
            found.append(str(error))
    return found


def _measure(console: Console, chosen: dict[str, Measurement], work: Path, quick: bool) -> tuple[list[Line], list[str]]:
    lines: list[Line] = []
    broken: list[str] = []

    def say(text: str) -> None:
        console.print(f"[dim]{time.strftime('%H:%M:%S')} {text}[/]", highlight=False)

    with Run(work, quick=quick, say=say) as run:
        for name, one in chosen.items():
            say(f"measuring {name}: {one.title}")
            try:
                lines += list(one.measure(run))
            except (CheckFailed, WireError, OSError, RuntimeError) as error:
                broken.append(f"{name}: {error}")
                say(f"{name} failed: {error}")
    return lines, broken


if __name__ == "__main__":
    sys.exit(main())
