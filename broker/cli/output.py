"""What commands print: tables or JSON on standard output, remarks on standard error."""

from __future__ import annotations

import codecs
import dataclasses
import json
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from broker.visible import is_inert, visible

GAP = 2  # characters between two columns
LONG_WORD = 24  # characters
LONG_ECHO = 64  # characters
PIPE_COLUMNS = 250  # where nobody looks at a terminal, cells stay on one line


def console() -> Console:
    """Standard output as it is now; no markup is read out of values."""
    width = None if sys.stdout.isatty() else PIPE_COLUMNS
    return Console(file=sys.stdout, width=width, highlight=False, markup=False, emoji=False)


def remark(text: str) -> None:
    """Tell the operator something that is no result."""
    print("\n".join(map(visible, text.split("\n"))), file=sys.stderr, flush=True)


def print_json(value: Any) -> None:
    print(json_text(value, ascii_only=codecs.lookup(sys.stdout.encoding or "ascii").name != "utf-8"))


def json_text(value: Any, *, ascii_only: bool = False) -> str:
    """JSON in which what a terminal would act on is escaped, as JSON escapes it; ascii_only: all that is not ASCII."""
    text = json.dumps(plain(value), ensure_ascii=ascii_only, indent=2)
    # Line breaks are between values only: within them json.dumps has escaped them.
    return "\n".join(line if line.isprintable() else "".join(map(_escaped, line)) for line in text.split("\n"))


def _escaped(letter: str) -> str:
    return letter if is_inert(letter) else json.dumps(letter)[1:-1]


def plain(value: Any) -> Any:
    """Turn values of the house into what JSON has: instants as UTC text, dataclasses as objects."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {one.name: plain(getattr(value, one.name)) for one in dataclasses.fields(value)}
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Columns keep their words whole as long as the terminal is wide enough for that."""
    texts = [[cell(value) for value in row] for row in rows]
    out = console()
    widths = _widths(list(zip(columns, *texts, strict=True)), out.width - GAP * (len(columns) - 1))
    heading = Text(visible(title)) if title else None
    table = Table(title=heading, title_justify="left", title_style="bold", header_style="bold", box=box.SIMPLE_HEAD,
                  show_edge=False, pad_edge=False, collapse_padding=True)  # fmt: skip
    for name, width in zip(columns, widths, strict=True):
        table.add_column(Text(name), overflow="fold", width=width)
    for row in texts:
        table.add_row(*map(Text, row))
    out.print(table)
    out.print()


def _widths(columns: Sequence[Sequence[str]], room: int) -> Sequence[int | None]:
    """The width of each column in so many characters: whole words, then whole cells, the narrow columns first.

    returns  None for every column where there is no room for the words: they are folded then
    """
    words = [max(_longest_word(text) for text in column) for column in columns]
    full = [max(map(cell_len, column)) for column in columns]
    left = room - sum(words)
    if left < 0:
        return [None] * len(columns)
    for place in sorted(range(len(columns)), key=lambda place: full[place] - words[place]):
        more = min(left, full[place] - words[place])
        words[place] += more
        left -= more
    return words


def _longest_word(text: str) -> int:
    """Words longer than most, like UIDs, may be broken."""
    return min(LONG_WORD, max(map(cell_len, text.split()), default=0))


def cell(value: Any) -> str:
    """A value as a person reads it; control and direction characters of foreign values are shown as escapes."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")
    if isinstance(value, list | tuple):
        return ", ".join(cell(item) for item in value)
    return visible(str(value))


def short(word: str) -> str:
    """What an operator typed, as a remark repeats it."""
    return cell(word if len(word) <= LONG_ECHO else f"{word[:LONG_ECHO]}...")


def state(word: str, held: str | None) -> str:
    """A step's state, with the reason why no query shows it."""
    return f"{word} (held: {held})" if held else word


def counted(count: int, thing: str) -> str:
    """ "1 message", "2 messages"."""
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"


def wall_clock(start: str | None) -> str:
    """YYYYMMDDHHMMSS as a person reads it."""
    if not start or len(start) < 12:
        return start or ""
    return f"{start[:4]}-{start[4:6]}-{start[6:8]} {start[8:10]}:{start[10:12]}"
