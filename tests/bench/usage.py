"""What a server uses, from /proc: processor time and memory of a process and its children."""

from __future__ import annotations

import os
import time
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


def cpu_share(pid: int, seconds: float) -> float:
    """Percent of one core over the next `seconds`."""
    before, began = _cpu_seconds(pid), time.monotonic()
    time.sleep(seconds)
    return (_cpu_seconds(pid) - before) / (time.monotonic() - began) * 100


def resident_megabytes(pid: int) -> float:
    """Resident memory now."""
    pages = (int((Path("/proc") / str(one) / "statm").read_text().split()[1]) for one in _family(pid))
    return sum(pages) * _PAGE / 1e6


def _cpu_seconds(pid: int) -> float:
    total = 0
    for one in _family(pid):
        # The name may hold blanks; behind its bracket fields count from 3.
        fields = (Path("/proc") / str(one) / "stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / _TICKS


def _family(pid: int) -> list[int]:
    found = [pid]
    for task in (Path("/proc") / str(pid) / "task").iterdir():
        for child in (task / "children").read_text().split():
            found += _family(int(child))
    return found
