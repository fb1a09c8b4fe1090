"""Key time_zone: the department's zone, else the machine's."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo

from broker.site.section import checked


def zone_named(name: str) -> ZoneInfo | None:
    """A zone by its name in the IANA database; None when there is none."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return None


def machine_zone() -> ZoneInfo:
    """The zone of the machine: TZ, else what /etc/localtime points to, else /etc/timezone, else UTC."""
    for name in (
        os.environ.get("TZ", "").lstrip(":"),
        _linked(Path("/etc/localtime")),
        _written(Path("/etc/timezone")),
    ):
        if name and (zone := zone_named(name)) is not None:
            return zone
    return ZoneInfo("UTC")


def _linked(path: Path) -> str:
    try:
        return path.resolve(strict=True).as_posix().partition("/zoneinfo/")[2]
    except OSError:
        return ""


def _written(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""


ZoneName = Annotated[
    str, checked(lambda name: name == "" or zone_named(name) is not None, 'a zone like "Europe/Berlin", or empty')
]
