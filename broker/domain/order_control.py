"""What an order control does, by the state of the step: one table, whose rows a site may override or add to.

Source: HL7 2.5.1 4.5.1.1 (ORC-1), 4.5.1.5 (ORC-5); IHE RAD TF-2 4.4, 4.13. A code is "ORC-1" or "ORC-1/ORC-5";
a known ORC-1 with an ORC-5 that has no row takes the row of ORC-1 alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Literal, get_args

from broker.domain.order import FINISHED, StepState
from broker.domain.request import Cause, Refusal


class Action(Enum):
    """What is done to a step (or, in the cell "unknown", to an order that nobody knows)."""

    CREATE = "create"
    UPDATE = "update"
    DESCRIPTIVE = "descriptive"
    VALUES = "values"
    REVIVE = "revive"
    START = "start"
    COMPLETE = "complete"
    COMPLETE_UNLESS_OPEN = "complete-unless-open"
    CANCEL = "cancel"
    DISCONTINUE = "discontinue"
    NOTHING = "nothing"
    REFUSE = "refuse"


MEANINGS: Mapping[Action, str] = {
    Action.CREATE: "takes the order in and shows its steps",
    Action.UPDATE: "takes every value of the message, the schedule included",
    Action.DESCRIPTIVE: "takes what describes (names, codes, comments, accession, physicians); the schedule stays",
    Action.VALUES: "takes every value; the step stays cancelled",
    Action.REVIVE: "takes every value and puts the step back on the list; only a message newer than the cancel does",
    Action.START: "the step begins: STARTED",
    Action.COMPLETE: "the step is done: COMPLETED",
    Action.COMPLETE_UNLESS_OPEN: "as complete; while a modality still reports work, it stays and an alarm is raised",
    Action.CANCEL: "the step leaves the list: CANCELED",
    Action.DISCONTINUE: "the begun step ends: DISCONTINUED",
    Action.NOTHING: "accepts the message and changes nothing",
    Action.REFUSE: "answers AE and changes nothing; of an order that nobody knows, a cancel is remembered for 24 hours",
}
"""What each action does, for those who write a row."""

CELLS = ("unknown", "not_started", "started", "finished", "canceled")

Row = Mapping[str, str]
"""One row: cell -> action."""

Unknown = Literal["create", "nothing", "refuse"]
NotStarted = Literal["update", "descriptive", "start", "complete", "cancel", "discontinue", "nothing", "refuse"]
Started = Literal["descriptive", "complete", "complete-unless-open", "discontinue", "cancel", "nothing", "refuse"]
Finished = Literal["descriptive", "nothing", "refuse"]
Canceled = Literal["values", "revive", "nothing", "refuse"]

ACTIONS_BY_CELL: Mapping[str, tuple[str, ...]] = {
    cell: get_args(words)
    for cell, words in zip(CELLS, (Unknown, NotStarted, Started, Finished, Canceled), strict=True)
}
"""Which actions each cell may name; nothing reopens finished work."""


def _row(unknown: str, not_started: str, started: str, finished: str, canceled: str) -> Row:
    return dict(zip(CELLS, (unknown, not_started, started, finished, canceled), strict=True))


SHIPPED: Mapping[str, Row] = {
    #               unknown   not started    started                  finished       canceled
    "NW":      _row("create", "update",      "descriptive",           "descriptive", "revive"),
    "XO":      _row("create", "update",      "descriptive",           "descriptive", "values"),
    "XO/IP":   _row("create", "start",       "nothing",               "nothing",     "nothing"),
    "XO/CM":   _row("create", "complete",    "complete-unless-open",  "nothing",     "nothing"),
    "SC":      _row("refuse", "nothing",     "nothing",               "nothing",     "nothing"),
    "SC/IP":   _row("refuse", "start",       "nothing",               "nothing",     "nothing"),
    "SC/CM":   _row("refuse", "complete",    "complete-unless-open",  "nothing",     "nothing"),
    "SC/CA":   _row("refuse", "cancel",      "refuse",                "nothing",     "nothing"),
    "SC/DC":   _row("refuse", "cancel",      "discontinue",           "nothing",     "nothing"),
    "CA":      _row("refuse", "cancel",      "refuse",                "refuse",      "nothing"),
    "DC":      _row("refuse", "cancel",      "discontinue",           "refuse",      "nothing"),
}  # fmt: skip

CANCELLING = frozenset({Action.CANCEL, Action.DISCONTINUE})


def row_of(table: Mapping[str, Row], control: str, status: str) -> Row | None:
    """The row for ORC-1 and ORC-5; None when ORC-1 is not in the table."""
    return table.get(f"{control}/{status}") or table.get(control)


CODE_LENGTH = 10
"""Characters of an unknown code that an answer repeats; ORC-1 has 2, or 3 in later versions."""


def not_in_table(control: str, group: int) -> Refusal:
    """An order control that no row names: the refusal says which, so that the sender can tell what to change."""
    code = "".join(letter for letter in control if letter.isprintable())[:CODE_LENGTH]
    words = f"order control {code} is not in the table" if code else "order control is empty"
    return Refusal(Cause.ORDER_CONTROL, "ORC-1", group, words=words)


def cell_of(state: StepState) -> str:
    """Which column of the table a step's state stands in."""
    if state is StepState.CANCELED:
        return "canceled"
    if state in FINISHED:
        return "finished"
    if state in (StepState.STARTED, StepState.DEPARTED):
        return "started"
    return "not_started"


def action_for(row: Row, state: StepState | None) -> Action:
    """The action of a row for a step in this state; None: the order is unknown."""
    return Action(row["unknown" if state is None else cell_of(state)])


def cancels(row: Row) -> bool:
    """True when the row takes work off the list: such an order, still unknown, is remembered."""
    return Action(row["not_started"]) in CANCELLING
