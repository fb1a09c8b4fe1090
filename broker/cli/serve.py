"""serve: the broker in the foreground until SIGTERM or SIGINT."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import broker
from broker import log
from broker.settings import Settings

START_POLL_SECONDS = 0.05


def serve(settings: Settings) -> None:
    """Run the broker until it is told to stop (SIGTERM, SIGINT); ends in under 5 seconds then."""
    from broker.app import Broker  # the whole house; commands that only read do without

    log.configure(settings.log)
    told_to_stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: told_to_stop.set())
    house = Broker(settings)
    _start(house.start, told_to_stop)
    print(f"mwl-broker {broker.__version__}")
    for name, fact in house.facts.items():
        print(f"  {name:<14} {fact}")
    if house.only_this_machine:
        print("Only this machine can connect. To let scanners and RIS in: mwl-broker serve --host 0.0.0.0")
    print("Ready. Ctrl-C or SIGTERM stops it.", flush=True)
    told_to_stop.wait()
    house.stop()
    print("Stopped.", flush=True)
    _end()


def _start(start: Callable[[], None], told_to_stop: threading.Event) -> None:
    """Start, and do not wait for the end of it once told to stop: it may wait for a lock, or migrate for long."""
    pool = ThreadPoolExecutor(1, "start")
    started = pool.submit(start)
    pool.shutdown(wait=False)
    while not started.done():
        if told_to_stop.wait(START_POLL_SECONDS):
            # Nobody has been served, and a start bears to be killed at any moment.
            print("Stopped before it was ready.", flush=True)
            os._exit(0)
    started.result()


def _end() -> None:
    """A thread that was cut off while it waits for a peer or a lock must not keep the process alive."""
    if threading.active_count() > 1:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)
