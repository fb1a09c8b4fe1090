"""What is wrong with a profile, in words for the one who wrote it: the line, the key, and what would be right."""

from __future__ import annotations

import difflib
import json
import re
from typing import Any

from pydantic import ValidationError

from broker.errors import SettingsError
from broker.site.section import Section, keys_at
from broker.site.toml import line_of

MOST_PROBLEMS = 20
"""Problems of one file that are told at once."""
SHOWN_LENGTH = 60
"""Characters of a wrong value that are shown."""


def explained(error: ValidationError, model: type[Section], name: str, text: str) -> SettingsError:
    """Every problem that pydantic found, each with its line and what would be right."""
    problems = []
    for found in error.errors(include_url=False)[:MOST_PROBLEMS]:
        path = [str(part) for part in found["loc"] if part != "[key]"]
        key = ".".join(path) or "profile"
        line = line_of(text, key) if text else None
        place = f"line {line}, " if line else ""
        problems.append(f"{place}{key}: {_said(found, model, path)}")
    return SettingsError("the site profile is wrong", file=name, problems="; ".join(problems))


def pointed(error: SettingsError, name: str, text: str) -> SettingsError:
    """The same error, with file and line."""
    key = str(error.facts.get("key", ""))
    line = line_of(text, key) if text and key else None
    return SettingsError(error.text, **{"file": name, **({"line": line} if line else {}), **error.facts})


def _said(found: Any, model: type[Section], path: list[str]) -> str:
    """What is wrong, and what would be right, in pydantic's words where they are plain."""
    kind, given = found["type"], found["input"]
    if kind == "extra_forbidden":
        known = keys_at(model, path[:-1])
        near = difflib.get_close_matches(path[-1], known, 1)
        return f"unknown key; there are {', '.join(known)}" + (f"; did you mean {near[0]}?" if near else "")
    if kind == "value_error":
        return f"must be {found['ctx']['error']}"
    if kind == "literal_error":
        words = re.findall(r"'([^']*)'", found["ctx"]["expected"])
        return "must be one of " + ", ".join(f'"{word}"' for word in words if word)
    if kind == "list_type":
        one = given if isinstance(given, str) else "..."
        return f"must be a list: {json.dumps([one[:SHOWN_LENGTH]], ensure_ascii=False)}"
    if kind == "string_type":
        example = str(given) if isinstance(given, bool | int | float) else "..."
        return f'must be text in quotes: "{example[:SHOWN_LENGTH]}"'
    plain = {
        "bool_type": "must be true or false",
        "int_type": "must be a whole number, without quotes",
        "dict_type": "must be a table",
        "model_type": "must be a table",
        "model_attributes_type": "must be a table",
    }
    return plain.get(kind) or str(found["msg"]).replace("Input should be", "must be")
