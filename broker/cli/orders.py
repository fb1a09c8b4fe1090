"""orders list|show: orders, and the story of one of them."""

from __future__ import annotations

from typing import Annotated

import typer

from broker.cli.flags import STORE, takes_settings
from broker.cli.output import cell, print_json, print_table, remark, short, state, wall_clock
from broker.cli.reading import ANY_WORD, can_be_stored, opened
from broker.settings import Settings
from broker.store.shown import find_order, list_orders
from broker.store.story import OrderStory, ShownEvent, order_story

commands = typer.Typer(no_args_is_help=True, help="Orders and their timelines.")
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Limit = Annotated[int, typer.Option(min=1, max=100_000, help="At most this many, last changed first.")]


@commands.command("list")
@takes_settings(*STORE)
def show_orders(
    settings: Settings,
    patient: Annotated[str | None, typer.Option(metavar="ID", help="Only those of this patient number.")] = None,
    limit: Limit = 50,
    json: Json = False,
) -> None:
    """List the orders that changed last."""
    with opened(settings) as database, database.read() as tx:
        found = list_orders(tx, limit, patient) if can_be_stored(patient or "") else []
    if json:
        print_json(found)
    elif not found:
        remark("No orders.")
    else:
        columns = ("Id", "Accession", "Placer", "Filler", "Patient ID", "Patient", "Status", "Changed (UTC)")
        rows = [
            (o.id, o.accession_numbers, o.placer_number, o.filler_number, o.patient_id, o.patient_name, o.status,
             o.updated_at)
            for o in found
        ]  # fmt: skip
        print_table("", columns, rows)


@commands.command("show", context_settings=ANY_WORD)
@takes_settings(*STORE)
def show_order(
    settings: Settings,
    number: Annotated[str, typer.Argument(metavar="ACCESSION|PLACER|FILLER", help="A number of the order.")],
    json: Json = False,
) -> None:
    """Show an order with its steps and its timeline; every order that bears the number. JSON: a list when several."""
    with opened(settings) as database, database.read() as tx:
        found = find_order(tx, number.strip()) if can_be_stored(number) else []
        stories = [order_story(tx, order) for order in found]
    if not stories:
        remark(f"No order has the number {short(number)}. By patient: mwl-broker orders list --patient ID")
        raise typer.Exit(1)
    if json:
        print_json(stories[0] if len(stories) == 1 else stories)
        return
    for story in stories:
        print_story(story)


def print_story(story: OrderStory) -> None:
    """The order, its steps, and all that happened, as tables."""
    order = story.order
    print_table(
        f"Order {order.id}: {order.status}",
        ("Accession", "Placer", "Filler", "Patient ID", "Patient"),
        [(order.accession_numbers, order.placer_number, order.filler_number, order.patient_id, order.patient_name)],
    )
    print_table(
        "Scheduled steps",
        ("Step", "Procedure", "Accession", "State", "Modality", "Stations", "Start", "What"),
        [
            (s.step_id, s.requested_procedure_id, s.accession_number, state(s.state, s.held), s.modality,
             s.stations or "any", wall_clock(s.start_at), s.description)
            for s in story.steps
        ],
    )  # fmt: skip
    rows = [(e.at, e.kind, e.step_id, _by(e), what_happened(e)) for e in story.events]
    print_table("Timeline (UTC)", ("Time", "What", "Step", "By", "Detail"), rows)
    _print_performed(story)
    if story.cut:
        remark("The timeline is longer; only its beginning is shown.")


def _print_performed(story: OrderStory) -> None:
    if story.performed_steps:
        print_table(
            "Performed steps",
            ("Id", "State", "Station", "Start", "End", "Images", "Step", "Linked by"),
            [
                (p.performed_id or p.sop_instance_uid, p.state, p.station_ae_title,
                 wall_clock(p.started_at), wall_clock(p.ended_at), p.image_count, p.step_id, f"{p.how} ({p.sure})")
                for p in story.performed_steps
            ],
        )  # fmt: skip
    if story.studies:
        print_table(
            "Studies",
            ("Study", "Modalities", "Series", "Images", "Last image (UTC)", "Linked by"),
            [(s.study_uid, s.modalities, s.series, s.images, s.last_received_at, s.how) for s in story.studies],
        )
    if story.alarms:
        print_table(
            "Alarms",
            ("Id", "Kind", "Subject", "Detail", "Last (UTC)", "Times", "Acknowledged by"),
            [(a.id, a.kind, a.subject, a.detail, a.last_at, a.count, a.acknowledged_by) for a in story.alarms],
        )


def _by(event: ShownEvent) -> str:
    return event.actor if event.message_id is None else f"{event.actor}, message {event.message_id}"


WORDS = {"start_at": "start", "requested_procedure_id": "procedure", "step_id": "step", "study_uid": "study UID"}
"""Facts of an event that people know by another name."""


def what_happened(event: ShownEvent) -> str:
    """An event's change of state and its facts in one line; whole UIDs are for --json."""
    parts = [" \N{RIGHTWARDS ARROW} ".join(one for one in (event.before, event.after) if one)]
    for key, value in event.detail.items():
        word = WORDS.get(key, key)
        if isinstance(value, dict):
            was, now = (_fact(key, value.get(side)) for side in ("before", "after"))
            parts.append(f"{word} {was} \N{RIGHTWARDS ARROW} {now}" if not key.endswith("_uid") else f"{word} changed")
        elif key in ("changed", "confirmed"):
            parts.append(f"{key}: {', '.join(cell(name).rpartition('.')[2] for name in value)}")
        elif not key.endswith("_uid"):
            parts.append(cell(value) if key == "reason" else f"{word}: {cell(value)}")
    return "; ".join(part for part in parts if part)


def _fact(key: str, value: object) -> str:
    return (wall_clock(str(value)) if key == "start_at" and value else cell(value)) or "none"
