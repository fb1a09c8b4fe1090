"""The log holds our events with their facts, and of everything else only who and where."""

from __future__ import annotations

import io
import json
import logging
import sys
import threading
import warnings
from collections.abc import Iterator

import pytest
import structlog

from broker import log

SECRET = "DOE^JANE"


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    """A configured log that goes to memory; the process's own hooks are put back."""
    root = logging.getLogger()
    before = root.handlers[:], root.level, threading.excepthook, sys.unraisablehook
    stream = io.StringIO()
    log.configure("json", stream)
    yield stream
    logging.captureWarnings(False)
    root.handlers[:], threading.excepthook, sys.unraisablehook = before[0], before[2], before[3]
    root.setLevel(before[1])
    structlog.reset_defaults()


def events(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_an_event_is_written_with_its_facts(written: io.StringIO) -> None:
    structlog.get_logger().info("hl7.answered", accession_number="A1", message_id=7)

    (event,) = events(written)
    assert (event["event"], event["accession_number"], event["message_id"]) == ("hl7.answered", "A1", 7)
    assert (event["level"], str(event["timestamp"])[-1]) == ("info", "Z")


def test_an_exception_is_written_without_its_text(written: io.StringIO) -> None:
    try:
        raise ValueError(SECRET)
    except ValueError:
        structlog.get_logger().exception("hl7.failed")

    (event,) = events(written)
    assert event["error"] == "ValueError"
    assert "test_log.py" in str(event["at"])
    assert SECRET not in written.getvalue()


def test_a_library_is_heard_without_its_words(written: io.StringIO) -> None:
    logging.getLogger("pynetdicom.events").error("identifier %s", SECRET)
    logging.getLogger("pynetdicom.events").info("identifier %s", SECRET)
    warnings.warn(f"Invalid value for VR PN: {SECRET}", UserWarning, stacklevel=1)

    assert [(event["event"], event["logger"]) for event in events(written)] == [
        ("library.error", "pynetdicom.events"),
        ("library.warning", "py.warnings"),
    ]
    assert SECRET not in written.getvalue()


def test_a_thread_that_fails_is_reported_without_the_text(
    written: io.StringIO, capfd: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise KeyError(SECRET)

    thread = threading.Thread(target=fail, name="door")
    thread.start()
    thread.join()

    (event,) = events(written)
    assert (event["event"], event["thread"], event["error"]) == ("process.thread_failed", "door", "KeyError")
    assert SECRET not in capfd.readouterr().err


def test_one_of_several_processes_says_which_it_is() -> None:
    stream = io.StringIO()
    log.configure("json", stream, process=2)

    structlog.get_logger().info("dicom.association", what="accepted")

    assert events(stream)[0]["process"] == 2
