"""What was measured, beside what was promised: as a table on the screen and as JSON."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Line:
    """One measured thing.

    measurement  name for --only
    what         in words
    measured     a ratio, a time or a share; unit: "×", "ms", "%", "MB", "s", "/s" or ""
    promise      what was promised of it; None: only printed
    goal         what is hoped for beyond the promise
    at_least     True: more is better
    detail       the figures it was made of, with their counts
    """

    measurement: str
    what: str
    measured: float
    unit: str = "×"
    promise: float | None = None
    goal: float | None = None
    at_least: bool = True
    detail: str = ""

    @property
    def kept(self) -> bool | None:
        return None if self.promise is None else self._reaches(self.promise)

    @property
    def reached(self) -> bool | None:
        return None if self.goal is None else self._reaches(self.goal)

    def _reaches(self, limit: float) -> bool:
        return self.measured >= limit if self.at_least else self.measured <= limit


def ratio(theirs: Sequence[float], ours: Sequence[float]) -> float:
    """How many times faster we are, by medians of times."""
    return median(theirs) / median(ours)


def milliseconds(name: str, times: Sequence[float]) -> str:
    """ "wlmscpfs 483 ms (7)": a median and how many it was taken of."""
    return f"{name} {_number(median(times))} ms ({len(times)})"


def percentile(times: Sequence[float], share: float) -> float:
    ordered = sorted(times)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def show(console: Console, lines: Sequence[Line], quick: bool) -> None:
    """The table. Promises of a quick run are no promises: too little was measured."""
    table = Table(title="Measured beside promised" + (" (quick run)" if quick else ""), title_justify="left")
    for name, justify in (("measurement", "left"), ("what", "left"), ("measured", "right"), ("promised", "right"),
                          ("", "left"), ("goal", "right"), ("figures", "left")):  # fmt: skip
        table.add_column(name, justify=justify, overflow="fold")
    last = ""
    for line in lines:
        if last and line.measurement != last:
            table.add_section()
        table.add_row(
            line.measurement if line.measurement != last else "",
            line.what,
            _amount(line.measured, line.unit),
            _limit(line, line.promise),
            _verdict(line),
            _limit(line, line.goal) + (" ✓" if line.reached else ""),
            line.detail,
        )
        last = line.measurement
    console.print(table)


def write_json(path: Path, lines: Sequence[Line], facts: dict[str, Any]) -> None:
    """All lines with their verdicts, and what they were measured on."""
    path.parent.mkdir(parents=True, exist_ok=True)
    measured = [{**asdict(line), "kept": line.kept, "goal_reached": line.reached} for line in lines]
    machine = {"cores": os.cpu_count(), "system": platform.system(), "python": platform.python_version()}
    path.write_text(json.dumps({"facts": {**machine, **facts}, "lines": measured}, indent=2, ensure_ascii=False) + "\n")


def _verdict(line: Line) -> str:
    return "" if line.kept is None else "[green]kept[/]" if line.kept else "[red]missed[/]"


def _limit(line: Line, limit: float | None) -> str:
    if limit is None:
        return ""
    return f"{'≥' if line.at_least else '≤'} {limit:g} {line.unit}".rstrip()


def _amount(value: float, unit: str) -> str:
    return f"{_number(value)} {unit}".rstrip()


def _number(value: float) -> str:
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    return f"{value:,.{digits}f}"
