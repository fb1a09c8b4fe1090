"""Writes anew every file of the project that is generated: `make docs`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from broker.settings import table
from broker.site.model import render_json_schema
from broker.store.schema_files import render_schema

ROOT = Path(__file__).parents[2]
SETTINGS_HEAD = """# Settings

A flag wins over its variable, a variable over the default. Unknown `BROKER_*` names and wrong values stop the start
with exit code 2. What differs by hospital is no setting but stands in the site profile (`samples/site.toml`).

"""

FILES: Mapping[str, Callable[[], str]] = {
    "docs/settings.md": lambda: SETTINGS_HEAD + table(),
    "schema/current.sql": render_schema,
    "schema/site.schema.json": render_json_schema,
}
"""Path from the root of the project -> its content."""


def main() -> None:
    for name, content in FILES.items():
        (ROOT / name).write_text(content(), "utf-8")
        print(f"written: {name}")


if __name__ == "__main__":
    main()
