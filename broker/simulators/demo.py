"""`mwl-broker demo`: a simulated morning against a real broker process; ends 0 only when every order ended well."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from broker.simulators.mllp import MllpError
from broker.simulators.modality import Modality, ModalityError
from broker.simulators.morning import Ended, Morning, MorningError, play
from broker.simulators.process import BrokerProcess, ProcessError
from broker.simulators.ris import Ris
from broker.visible import visible

HOST = "127.0.0.1"
COMMANDS_AT_ONCE = 4
FAILURES = (MorningError, ModalityError, MllpError, ProcessError, OSError, ValueError)


def run_demo(keep: bool, console: Console) -> int:
    """Play the morning in a temporary folder on free ports and print each order's timeline.

    keep     leave the folder with database, images and logs for a look around
    returns  0 when every order ended as it should, else 1
    """
    folder = Path(tempfile.mkdtemp(prefix="mwl-broker-demo-"))
    broker = BrokerProcess(folder)
    try:
        verdict, code = _run(broker, console)
    except FAILURES as error:
        console.print(Text("\n".join(map(visible, broker.printed()[-2000:].splitlines()))))
        verdict, code = visible(f"The demo failed: {error}"), 1
    finally:
        broker.kill()
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)
    if keep:
        console.print(f"Look around: mwl-broker orders list --data {folder}")
    console.print(verdict)
    return code


def _run(broker: BrokerProcess, console: Console) -> tuple[str, int]:
    console.print(f"Starting a broker in {broker.data} ...")
    broker.start()
    console.print("It listens on ports " + ", ".join(f"{name} {port}" for name, port in broker.ports.items()))
    expected = _perform(broker, console)
    wrong = _show(broker, console, expected)
    broker.stop()
    if wrong:
        return f"{wrong} of {len(expected)} orders did not end as they should.", 1
    return f"All {len(expected)} orders ended as they should.", 0


def _perform(broker: BrokerProcess, console: Console) -> list[Ended]:
    expected = []
    with Ris(HOST, broker.ports["hl7"], charset="8859/1") as ris:
        now = datetime.now().replace(microsecond=0)
        morning = Morning(ris, lambda ae_title: Modality(HOST, broker.ports["dicom"], ae_title), now)
        for number, (text, ended) in enumerate(play(morning), 1):
            console.print(f"{number}. {text}")
            expected.append(ended)
    return expected


def _show(broker: BrokerProcess, console: Console, expected: Sequence[Ended]) -> int:
    """Print each order's timeline; how many orders did not end as expected."""
    wrong = 0
    with ThreadPoolExecutor(COMMANDS_AT_ONCE) as pool:
        stories = pool.map(lambda ended: _story(broker, ended.number), expected)
    for ended, story in zip(expected, stories, strict=True):
        found = faults(story, ended)
        wrong += bool(found)
        console.print(_timeline(story, ended, found))
    return wrong


def _story(broker: BrokerProcess, number: str) -> dict[str, Any]:
    shown = broker.command("orders", "show", number, "--json")
    if shown.returncode != 0:
        raise ProcessError(f"orders show {number}: {shown.stderr.strip()}")
    story = json.loads(shown.stdout)
    if not isinstance(story, dict):
        raise ProcessError(f"orders show {number}: {len(story)} orders bear this number")
    return story


def faults(story: Mapping[str, Any], ended: Ended) -> list[str]:
    """In what an order's story differs from what it should have come to; [] when it is as it should be."""
    states = sorted(step["state"] for step in story["steps"])
    images = sum(study["images"] for study in story["studies"])
    held = [step["held"] or "" for step in story["steps"]]
    found = []
    if states != sorted(ended.states):
        found.append(f"its steps are {', '.join(states) or 'none'}, not {', '.join(ended.states)}")
    if images != ended.images:
        found.append(f"it has {images} images, not {ended.images}")
    if ended.held and not all(ended.held in reason.lower() for reason in held):
        found.append("it is not held for the right reason")
    if not ended.held and any(held):
        found.append("it is held")
    return found


def _timeline(story: Mapping[str, Any], ended: Ended, found: Sequence[str]) -> Table:
    verdict = "; ".join(found) if found else "as it should be"
    title = f"{ended.title} ({ended.number}): {story['order']['status']}, {verdict}"
    table = Table(title=Text(title), title_justify="left", title_style="bold", header_style="bold")
    for column in ("Time (UTC)", "What", "Step", "Change", "By"):
        table.add_column(column)
    for event in story["events"]:
        time = str(event["at"])[11:19]
        states = " -> ".join(value for value in (event["before"], event["after"]) if value)
        change = states or str(event["detail"].get("reason", ""))
        shown = (time, event["kind"], event["step_id"] or "", change, event["actor"])
        table.add_row(*(Text(visible(text)) for text in shown))
    return table
