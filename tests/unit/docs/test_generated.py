"""What is generated is as its source says, and names everything that there is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from broker.domain.alarms import KINDS
from broker.domain.order_control import MEANINGS, SHIPPED, Action
from tests.kit.generated import FILES, ROOT

BROKER = ROOT / "broker"
RAISED = re.compile(r"\bAlarm\(\s*\"([a-z-]+)\"")


@pytest.mark.parametrize("name", FILES)
def test_a_generated_file_is_up_to_date(name: str) -> None:
    assert (ROOT / name).read_text("utf-8") == FILES[name](), "write it anew: make docs"


def test_every_kind_of_alarm_that_is_raised_is_explained_and_no_other() -> None:
    raised = {kind for path in sorted(Path(BROKER).rglob("*.py")) for kind in RAISED.findall(path.read_text("utf-8"))}

    assert raised == set(KINDS)


def test_every_action_is_explained_and_the_shipped_table_names_only_these() -> None:
    assert set(MEANINGS) == set(Action)
    assert {Action(word) for row in SHIPPED.values() for word in row.values()} <= set(MEANINGS)
