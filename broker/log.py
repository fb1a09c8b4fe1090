"""Logs as data on standard error: our own events with their facts, other libraries' warnings without their texts.

Law: nothing of a patient reaches a log. Texts of exceptions and of other libraries may quote values of messages and
datasets, so of them only the type, the logger and the place in the code are kept.
"""

from __future__ import annotations

import logging
import sys
import threading
import traceback
from collections.abc import Mapping, MutableMapping
from functools import partial
from types import TracebackType
from typing import Any, TextIO

import structlog

Event = MutableMapping[str, Any]
FRAMES = 12


def configure(form: str, stream: TextIO | None = None, process: int | None = None) -> None:
    """Send all logs of the process to one stream.

    form     "text", "json", or "auto": text on a terminal
    stream   standard error when None
    process  number of this one of several that share the stream, told with each event; None: the main one
    """
    out = stream or sys.stderr
    as_text = form == "text" or (form == "auto" and out.isatty())
    text = structlog.dev.ConsoleRenderer(colors=out.isatty())
    own = {} if process is None else {"process": process}
    renderer: Any = text if as_text else structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            partial(_with_facts, own),
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            without_exception_text,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(file=out),
        cache_logger_on_first_use=False,
    )
    _route_libraries()
    _route_uncaught()


def _with_facts(facts: Mapping[str, Any], logger: Any, method: str, event: Event) -> Event:
    return {**event, **facts}


def without_exception_text(logger: Any, method: str, event: Event) -> Event:
    """Replace an exception by its type and the lines it came through."""
    given = event.pop("exc_info", None)
    if not given:
        return event
    if given is True:
        given = sys.exc_info()
    error = given[1] if isinstance(given, tuple) else given
    if isinstance(error, BaseException):
        event["error"] = type(error).__qualname__
        event["at"] = frames_of(error.__traceback__)
    return event


def frames_of(trace: TracebackType | None) -> list[str]:
    """The last frames of a traceback as "file:line function", innermost last, without source lines or values."""
    frames = traceback.extract_tb(trace)[-FRAMES:]
    return [f"{'/'.join(frame.filename.split('/')[-3:])}:{frame.lineno} {frame.name}" for frame in frames]


class LibraryRecords(logging.Handler):
    """Writes the warnings of libraries as events of ours: who and where, never what it says."""

    def emit(self, record: logging.LogRecord) -> None:
        structlog.get_logger().log(
            record.levelno,
            "library.warning" if record.levelno < logging.ERROR else "library.error",
            logger=record.name,
            where=f"{record.module}:{record.lineno}",
            exc_info=record.exc_info,
        )


def _route_libraries() -> None:
    root = logging.getLogger()
    root.handlers[:] = [LibraryRecords()]
    root.setLevel(logging.WARNING)
    logging.captureWarnings(True)
    for name in ("pynetdicom", "pydicom", "uvicorn", "uvicorn.error", "uvicorn.access", "alembic", "hl7"):
        library = logging.getLogger(name)
        library.handlers.clear()
        library.setLevel(logging.WARNING)
        library.propagate = True


def _route_uncaught() -> None:
    """A thread or destructor that fails would print its exception's text; report it as an event instead."""

    def in_thread(failed: threading.ExceptHookArgs) -> None:
        name = failed.thread.name if failed.thread else ""
        structlog.get_logger().error("process.thread_failed", thread=name, exc_info=failed.exc_value)

    def in_destructor(failed: Any) -> None:
        structlog.get_logger().error("process.cleanup_failed", exc_info=failed.exc_value)

    threading.excepthook = in_thread
    sys.unraisablehook = in_destructor
