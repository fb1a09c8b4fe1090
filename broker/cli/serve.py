"""serve: the broker in the foreground until SIGTERM, SIGINT or SIGHUP."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import structlog

import broker
from broker import log
from broker.line_writer import LineWriter
from broker.owner_only import private_umask
from broker.settings import Settings
from broker.visible import visible

if TYPE_CHECKING:
    from broker.app import Broker

LOOK_SECONDS = 0.25
"""Longest time until a signal is noticed."""

PRINT_SECONDS = 0.5
"""Longest wait for a reader of our standard output; nothing else ever waits for one."""


def serve(settings: Settings) -> None:
    """Run the broker until it is told to stop (SIGTERM, SIGINT, SIGHUP); ends in under 5 seconds then."""
    from broker.app import Broker  # the whole house; commands that only read do without

    private_umask()
    log.configure(settings.log)
    told_to_stop, woken = threading.Event(), threading.Event()

    def stop(*_: object) -> None:
        told_to_stop.set()
        woken.set()

    for number in _signals():
        signal.signal(number, stop)
    out = LineWriter(sys.stdout.fileno(), sys.stdout.encoding, "({} lines are missing here)".format)
    house = Broker(settings)
    _start(house.start, woken, out)
    _print_facts(house, out)
    _wait(told_to_stop)
    house.stop()
    out.put("Stopped.")
    _end(out)


def _wait(event: threading.Event) -> None:
    """Wait in steps: a signal that the system gives to another thread does not end a wait of the main one, and Python
    runs its handler in the main one only."""
    while not event.wait(LOOK_SECONDS):
        pass


def _signals() -> list[signal.Signals]:
    """What tells us to stop: the end of our terminal (SIGHUP) too, unless we were started to outlive it (nohup)."""
    outlives = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    return [signal.SIGTERM, signal.SIGINT, *(() if outlives else (signal.SIGHUP,))]


def _start(start: Callable[[], None], woken: threading.Event, out: LineWriter) -> None:
    """Start; `woken` before it is done ends the process: a start may wait for a lock, or migrate for long."""
    pool = ThreadPoolExecutor(1, "start")
    started = pool.submit(start)
    pool.shutdown(wait=False)
    started.add_done_callback(lambda _: woken.set())
    _wait(woken)
    if not started.done():
        # Nobody has been served, and a start bears to be killed at any moment.
        out.put("Stopped before it was ready.")
        _end(out)
    started.result()


def _print_facts(house: Broker, out: LineWriter) -> None:
    out.put(f"mwl-broker {broker.__version__}")
    for name, fact in house.facts.items():
        out.put(f"  {name:<14} {visible(fact)}")
    for warning in house.warnings:
        out.put(f"Warning: {visible(warning)}")
    if house.only_this_machine:
        out.put("Only this machine can connect. To let scanners and RIS in: mwl-broker serve --host 0.0.0.0")
    out.put("Ready. Ctrl-C or SIGTERM stops it.")
    if not out.flush(PRINT_SECONDS) or out.lost:
        structlog.get_logger().warning("process.output_not_written")


def _end(out: LineWriter) -> None:
    """A thread that was cut off while it waits for a peer or a lock must not keep the process alive."""
    out.flush(PRINT_SECONDS)
    log.flush()
    os._exit(0)
