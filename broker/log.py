"""Logs as data on standard error: our own events with their facts, other libraries' warnings without their texts.

Law: nothing of a patient reaches a log. Texts of exceptions and of other libraries may quote values of messages and
datasets, so of them only the type, the logger and the place in the code are kept.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
import traceback
from collections.abc import Mapping, MutableMapping, Sequence
from functools import partial
from types import TracebackType
from typing import Any, TextIO

import structlog

from broker.line_writer import LineWriter
from broker.visible import visible

Event = MutableMapping[str, Any]
FRAMES = 12
TELL_SECONDS = 60.0
"""Between two lines about the same warning of a library."""
FLUSH_SECONDS = 0.5
"""Longest wait for lines at the end of a process."""


def configure(form: str, stream: TextIO | None = None, process: int | None = None) -> None:
    """Send all logs of the process to one stream. What cannot be written is dropped and counted; nothing waits for it.

    form     "text", "json", or "auto": text on a terminal
    stream   standard error when None
    process  number of this one of several that share the stream, told with each event; None: the main one
    """
    out = stream or sys.stderr
    is_terminal = out.isatty()
    as_text = form == "text" or (form == "auto" and is_terminal)
    text = structlog.dev.ConsoleRenderer(colors=is_terminal)
    renderer: Any = text if as_text else structlog.processors.JSONRenderer()
    processors = [
        *(() if process is None else (partial(_with_facts, {"process": process}),)),
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        without_exception_text,
        without_control_characters,
        renderer,
    ]
    flush()  # lines of an earlier configuration come before those of this one
    sink = _Sink(out, processors)
    structlog.configure(
        processors=[sink.rendered],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=sink,
        cache_logger_on_first_use=False,
    )
    _route_libraries()
    _route_uncaught()


def flush(seconds: float = FLUSH_SECONDS) -> None:
    """Wait until all lines are written, but not longer: before the process ends."""
    if (sink := _configured()) is not None:
        sink.flush(seconds)


def lines_lost() -> int:
    """Lines of this process that could not be written or made."""
    sink = _configured()
    return 0 if sink is None else sink.lost


def _configured() -> _Sink | None:
    factory = structlog.get_config()["logger_factory"]
    return factory if isinstance(factory, _Sink) else None


class _Sink:
    """Where lines go: structlog's logger and the factory of it in one.

    A stream of the operating system gets a LineWriter; one in memory, as tests have, is written to directly.
    """

    def __init__(self, stream: TextIO, processors: Sequence[structlog.typing.Processor]) -> None:
        self._stream = stream
        self._processors = processors
        descriptor = descriptor_of(stream)
        self._writer = LineWriter(2 if descriptor is None else descriptor, stream.encoding or "utf-8", self._tell_lost)
        self._in_memory = descriptor is None

    def __call__(self, *_: Any) -> _Sink:
        return self

    def rendered(self, logger: Any, method: str, event: Event) -> str:
        """The line of an event. An event that cannot be rendered is dropped, and the request that logged it goes on."""
        try:
            made: Any = event
            for processor in self._processors:
                made = processor(logger, method, made)
            return str(made)
        except structlog.DropEvent:
            raise
        except Exception:
            self._writer.count_lost()
            raise structlog.DropEvent from None

    def msg(self, line: str) -> None:
        if not self._in_memory:
            self._writer.put(line)
            return
        try:
            self._stream.write(line + "\n")
        except (OSError, ValueError):
            self._writer.count_lost()

    debug = info = warning = error = critical = msg

    def flush(self, seconds: float) -> None:
        self._writer.flush(seconds)

    @property
    def lost(self) -> int:
        return self._writer.lost

    def _tell_lost(self, lines: int) -> str:
        return self.rendered(self, "warning", {"event": "log.lines_lost", "lines": lines})


def descriptor_of(stream: TextIO) -> int | None:
    """The descriptor under a stream; None for one in memory."""
    try:
        return stream.fileno()
    except (OSError, ValueError, AttributeError):
        return None


def _with_facts(facts: Mapping[str, Any], logger: Any, method: str, event: Event) -> Event:
    event.update(facts)
    return event


def without_control_characters(logger: Any, method: str, event: Event) -> Event:
    """Escape characters of a peer's text that act on a terminal or break a line; see `visible`."""
    for name, value in event.items():
        if isinstance(value, str):
            event[name] = visible(value)
        elif isinstance(value, list | tuple):
            event[name] = [visible(one) if isinstance(one, str) else one for one in value]
    return event


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
    """Writes the warnings of libraries as events of ours: who and where, never what it says.

    A warning of one place is written once a minute: a peer can cause it with each request, and the disk is everybody's.
    """

    def __init__(self) -> None:
        super().__init__()
        self._places: dict[tuple[str, str], tuple[float, int]] = {}

    def emit(self, record: logging.LogRecord) -> None:
        where = f"{record.module}:{record.lineno}"
        is_warning = record.levelno < logging.ERROR
        count = self._due((record.name, where)) if is_warning else 1
        if count:
            structlog.get_logger().log(
                record.levelno,
                "library.warning" if is_warning else "library.error",
                logger=record.name,
                where=where,
                count=count,
                exc_info=record.exc_info,
            )

    def _due(self, place: tuple[str, str]) -> int:
        """How often it happened since it was told; 0 while it is too early to tell it again."""
        next_at, before = self._places.get(place, (0.0, 0))
        now = time.monotonic()
        if now < next_at:
            self._places[place] = (next_at, before + 1)
            return 0
        self._places[place] = (now + TELL_SECONDS, 0)
        return before + 1


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
