"""Writes anew every file of the project that is generated: `make docs`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path

from broker.domain.alarms import KINDS
from broker.domain.order_control import CELLS, MEANINGS, SHIPPED
from broker.hl7.answers import ANSWERS
from broker.hl7v2.ack import ERROR_TEXTS
from broker.mapping.row import Row
from broker.settings import table
from broker.site import profile
from broker.site.model import render_json_schema
from broker.site.toml import parse_toml
from broker.store.schema_files import render_schema
from tests.kit import bounds_page

ROOT = Path(__file__).parents[2]
SETTINGS_HEAD = """# Settings

A flag wins over its variable, a variable over the default. Unknown `BROKER_*` names and wrong values stop the start
with exit code 2. What differs by hospital is not a setting but belongs in the site profile (`samples/site.toml`).
Settings and profile are read at start: a change needs a restart.

"""
ALARMS_HEAD = """# Alarms

What a person must look at: `mwl-broker alarms list` shows it, `alarms ack ID` closes it. There is one open alarm for
each kind and subject; when it happens again its count rises, and once it is closed a new one is opened.

"""
ANSWERS_HEAD = """# How HL7 messages are answered

Each message gets one answer in original mode, after its outcome is on disk. `AA`: it is taken, whatever became of it
(`messages list` says that). `AE`: its content is wrong; the same bytes help only after what they name has changed.
`AR`: it could not be taken at all. ERR names the code of table 0357 and, where there is one, the place: segment, its
number among its kind, field, repetition, component, subcomponent. MSA-3 and ERR-8 say the same in words, never with
values of the patient.

"""
ANSWERS_FOOT = """
A message that was accepted and comes again, byte for byte with the same MSH-10, gets the same answer again.
"""
ORDER_CONTROL_HEAD = """# What an order control does

By ORC-1, or ORC-1 and ORC-5, and by the state that the step is in. A site changes or adds rows in its profile:
`[order_control."XO/DC"]` with the cells of this table.

"""
ATTRIBUTES_HEAD = """# Attributes of the worklist as shipped

One row of `broker/site/default.toml` each; a site profile adds, changes or removes rows. **HL7**: paths in order of
preference, `@` marks a fact of the house. **Match**: how a query's value is compared; with `none` it does not filter.
**Return**: the attribute's type in an answer (PS3.4 K.6-1). Rows of a sequence stand below it, marked `>`.

"""


def markdown(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)


def alarms() -> str:
    rows = ((f"`{name}`", kind.meaning, kind.to_do[0].upper() + kind.to_do[1:] + ".") for name, kind in KINDS.items())
    return ALARMS_HEAD + markdown(("Kind", "What it means", "What to do"), rows)


def hl7_answers() -> str:
    rows = (
        (cause.value, reply.code, f"{reply.error} {ERROR_TEXTS[reply.error]}", reply.to_change)
        for cause, reply in ANSWERS.items()
    )
    columns = ("Cause", "MSA-1", "ERR code", "What the sender must change")
    return ANSWERS_HEAD + markdown(columns, rows) + ANSWERS_FOOT


def order_control() -> str:
    shipped = markdown(
        ("Code", *(cell.replace("_", " ") for cell in CELLS)),
        ((f"`{code}`", *(row[cell] for cell in CELLS)) for code, row in SHIPPED.items()),
    )
    actions = markdown(("Action", "What it does"), ((f"`{act.value}`", said) for act, said in MEANINGS.items()))
    return f"{ORDER_CONTROL_HEAD}{shipped}\n{actions}"


def attributes() -> str:
    text = files("broker.site").joinpath(profile.SHIPPED).read_text(encoding="utf-8")
    written = parse_toml(text, profile.SHIPPED)["rows"]
    rows = (
        (_tag(row), _nested(row), ", ".join(f"`{path}`" for path in written[row.key].get("source", [])),
         row.match, row.returns, row.title)
        for row in profile.load(None).rows.rows
    )  # fmt: skip
    return ATTRIBUTES_HEAD + markdown(("Tag", "Keyword", "HL7", "Match", "Return", "Title"), rows)


def _tag(row: Row) -> str:
    return f"({row.tag >> 16:04X},{row.tag & 0xFFFF:04X})"


def _nested(row: Row) -> str:
    return "> " * (len(row.levels) - 1) + row.keyword


FILES: Mapping[str, Callable[[], str]] = {
    "docs/settings.md": lambda: SETTINGS_HEAD + table(),
    "docs/alarms.md": alarms,
    "docs/hl7-answers.md": hl7_answers,
    "docs/order-control.md": order_control,
    "docs/attributes.md": attributes,
    "docs/bounds.md": lambda: bounds_page.HEAD + markdown(("Input", "What", "At most", "Past it"), bounds_page.rows()),
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
