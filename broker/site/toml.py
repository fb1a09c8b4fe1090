"""TOML files of the profile: read, laid over each other, and the line that a key stands on."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from broker.errors import SettingsError

_TABLE = re.compile(r"\s*(\[\[?)(.+?)\]\]?\s*(?:#.*)?$")
_ASSIGNMENT = re.compile(
    r"""\s*((?:"[^"]*"|'[^']*'|[A-Za-z0-9_-]+)(?:\s*\.\s*(?:"[^"]*"|'[^']*'|[A-Za-z0-9_-]+))*)\s*="""
)
_PART = re.compile(r"""\s*(?:"([^"]*)"|'([^']*)'|([A-Za-z0-9_-]+))\s*(?:\.|$)""")

MOST_BYTES = 4 * 1024 * 1024
"""Longest profile that is read."""


def read_toml(path: Path) -> tuple[str, dict[str, Any]]:
    """A file's text and its tables; raises SettingsError naming file and line."""
    try:
        with path.open("rb") as file:
            raw = file.read(MOST_BYTES + 1)
        text = raw.decode("utf-8-sig")
    except OSError as error:
        reason = error.strerror or "cannot be opened"
        raise SettingsError("the site profile cannot be read", file=str(path), reason=reason) from None
    except UnicodeDecodeError:
        raise SettingsError("the site profile is not UTF-8", file=str(path), expected="UTF-8 text") from None
    if len(raw) > MOST_BYTES:
        raise SettingsError("the site profile is too long", file=str(path), expected=f"at most {MOST_BYTES} bytes")
    return text, parse_toml(text, str(path))


def parse_toml(text: str, name: str) -> dict[str, Any]:
    """Tables of a text; raises SettingsError naming file and line."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError("the site profile is no TOML", file=name, reason=str(error)) from None


def merge(shipped: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """`own` laid over `shipped`: tables key by key, anything else replaces."""
    merged = dict(shipped)
    for key, value in own.items():
        below = merged.get(key)
        merged[key] = merge(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
    return merged


def line_of(text: str, path: str) -> int | None:
    """Line (from 1) on which a dotted key path, or as much of it as is written out, stands; None when nothing does."""
    best, line = 0, None
    table: tuple[str, ...] = ()
    counts: dict[tuple[str, ...], int] = {}
    for number, content in enumerate(text.splitlines(), 1):
        if found := _TABLE.match(content):
            table = _parts(found[2])
            if found[1] == "[[":
                counts[table] = counts.get(table, -1) + 1
                table = (*table, str(counts[table]))
            here = table
        elif assigned := _ASSIGNMENT.match(content):
            here = table + _parts(assigned[1])
        else:
            continue
        written = ".".join(here)
        if best < len(written) and (path == written or path.startswith(f"{written}.")):
            best, line = len(written), number
    return line


def _parts(key: str) -> tuple[str, ...]:
    return tuple(found[1] or found[2] or found[3] or "" for found in _PART.finditer(key.strip()))
