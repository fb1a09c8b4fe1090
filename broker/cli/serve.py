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


def serve(settings: Settings) -> None:
    """Run the broker until it is told to stop (SIGTERM, SIGINT); ends in under 5 seconds then."""
    from broker.app import Broker  # the whole house; commands that only read do without

    log.configure(settings.log)
    told_to_stop, woken = threading.Event(), threading.Event()

    def stop(*_: object) -> None:
        told_to_stop.set()
        woken.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    house = Broker(settings)
    _start(house.start, woken)
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


def _start(start: Callable[[], None], woken: threading.Event) -> None:
    """Start; `woken` before it is done ends the process: a start may wait for a lock, or migrate for long."""
    pool = ThreadPoolExecutor(1, "start")
    started = pool.submit(start)
    pool.shutdown(wait=False)
    started.add_done_callback(lambda _: woken.set())
    woken.wait()
    if not started.done():
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
