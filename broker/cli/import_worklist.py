"""worklist import: a folder of worklist files as scheduled steps, beside a running broker or without one."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from broker import log
from broker.cli.output import cell, print_json, print_table, remark
from broker.cli.reading import opened
from broker.clock import SystemClock
from broker.data_folder import database_file, prepare_folder, site_file
from broker.owner_only import private_umask
from broker.settings import Settings
from broker.site.profile import load
from broker.store.database import Database, open_database
from broker.store.marks import Marks
from broker.store.pairing import paired_database
from broker.workflow.import_folder import ImportOrder, ImportReport, files_in, import_folder

OUTCOMES = ("created", "held", "updated", "cancelled", "unchanged", "superseded", "refused", "skipped")
TOLD_APART = ("held", "superseded", "refused", "skipped")
"""Outcomes whose files are named one by one."""


def import_worklist(
    settings: Settings,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of worklist files, folders in it included.")],
    group: Annotated[
        str, typer.Option(help="Whose order numbers these are, as APPLICATION|FACILITY like a sender of messages.")
    ] = "import|",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Tell what would happen, and write nothing.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON, every file with its outcome.")] = False,
) -> None:
    """Take worklist files in as scheduled steps: DICOM files, bare datasets, dumps. Importing again adds and updates.

    Ends with 0 when every worklist file was taken; with 1 when one was refused or could not be read.
    """
    log.configure(settings.log)
    private_umask()
    site = load(site_file(settings))
    application, _, facility = group.partition("|")
    report = ImportReport()
    began = time.monotonic()
    order = ImportOrder(folder, files_in(folder), site.sender(application, facility), dry_run)
    try:
        with _database(settings, dry_run) as database, _progress(len(order.files)) as read:
            if not dry_run and settings.data.is_dir():
                # Numbers that are given here must not be given again after a restore, either.
                database.keep_marks(Marks(settings.data, "import"), SystemClock())
            import_folder(database, site, SystemClock(), order, report, read)
    finally:
        report.files.sort(key=lambda file: file.name)
        _tell(report, dry_run, time.monotonic() - began, json)
    if report.count("refused"):
        raise typer.Exit(1)


@contextmanager
def _database(settings: Settings, dry_run: bool) -> Iterator[Database]:
    """The broker's database; where none is yet, a new one, which for a rehearsal is thrown away."""
    file = database_file(settings)
    if file is None or file.exists():
        with opened(settings) as database:
            yield database
        return
    with tempfile.TemporaryDirectory() as elsewhere:
        if not dry_run:
            prepare_folder(settings)
        url, data = (None, Path(elsewhere)) if dry_run else (settings.database, settings.data)
        database = open_database(
            url, data, migrate=True, lock_seconds=settings.lock_seconds, identity=paired_database(data)
        )
        try:
            yield database
        finally:
            database.close()


@contextmanager
def _progress(total: int) -> Iterator[Callable[[], None]]:
    """A bar on standard error, where somebody looks at it."""
    if not sys.stderr.isatty():
        yield lambda: None
        return
    columns = (TextColumn("Worklist files"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(file=sys.stderr), transient=True) as bar:
        task = bar.add_task("", total=total)
        yield lambda: bar.advance(task)


def _tell(report: ImportReport, dry_run: bool, seconds: float, json: bool) -> None:
    counts = {outcome: report.count(outcome) for outcome in OUTCOMES}
    if json:
        facts: dict[str, Any] = {"dry_run": dry_run, "files": len(report.files), **counts}
        print_json(facts | {
            "seconds": round(seconds, 3), "attributes_without_row": report.without_row, "outcomes": report.files,
        })  # fmt: skip
        return
    named = [(file.name, file.outcome, file.reason) for file in report.files if file.outcome in TOLD_APART]
    warned = [(file.name, "warning", text) for file in report.files for text in file.warnings]
    if named or warned:
        print_table("", ("File", "Outcome", "Reason"), sorted(named + warned))
    if report.without_row:
        dropped = ", ".join(f"{cell(keyword)} ({count})" for keyword, count in sorted(report.without_row.items()))
        remark(f"No row of the site profile takes these attributes (files): {dropped}.")
    counted = ", ".join(f"{count} {outcome}" for outcome, count in counts.items() if count) or "none"
    end = "Nothing was written (dry run)" if dry_run else f"{seconds:.1f} seconds"
    remark(f"{len(report.files)} files: {counted}. {end}.")
