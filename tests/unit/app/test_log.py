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


def test_what_a_peer_sends_acts_on_no_reader_of_the_log(written: io.StringIO) -> None:
    structlog.get_logger().info("dicom.association", calling_ae_title="\x1b]0;x\a\u202e\x9b", names=["a\nb"])

    (event,) = events(written)
    assert event["calling_ae_title"] == r"\x1b]0;x\x07\u202e\x9b"
    assert event["names"] == [r"a\nb"]


def test_text_lines_show_it_as_escapes_too() -> None:
    stream = io.StringIO()
    log.configure("text", stream)

    structlog.get_logger().info("dicom.association", calling_ae_title="\x1b[2J\u2028\u202e", odd={"k": "\x1b"})

    assert len(stream.getvalue().splitlines()) == 1
    assert stream.getvalue().rstrip("\n").isprintable()
    assert r"\x1b[2J\u2028\u202e" in stream.getvalue()


class Unprintable:
    def __repr__(self) -> str:
        raise RuntimeError(SECRET)


@pytest.mark.parametrize("form", ["json", "text"])
def test_an_event_that_no_line_can_be_made_of_fails_nobody_and_is_counted(form: str) -> None:
    stream = io.StringIO()
    log.configure(form, stream)

    structlog.get_logger().info("hl7.message", odd=Unprintable())
    structlog.get_logger().info("hl7.message", fine=1)

    assert len(stream.getvalue().splitlines()) == 1
    assert log.lines_lost() == 1


def test_a_stream_that_is_closed_costs_lines_and_nothing_else() -> None:
    stream = io.StringIO()
    log.configure("json", stream)
    stream.close()

    structlog.get_logger().info("hl7.message")

    assert log.lines_lost() == 1
