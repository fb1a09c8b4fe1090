"""The DICOM door in processes of its own: opens the ports, keeps so many processes that accept on them, stops all.

All processes accept on the one listening socket of a port, which the main process keeps: a connection that waits for a
process that dies is taken by the next one, and the kernel gives new ones to the processes in turn.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable

import structlog

from broker.dicom.census import Snapshot, total
from broker.dicom.listener import listen, shut
from broker.processes.door import openings
from broker.processes.handover import Handover
from broker.processes.keeper import START_SECONDS, Keeper
from broker.service import CUT_SECONDS, cannot_listen
from broker.settings import Settings
from broker.site.profile import Site

KILL_SECONDS = 0.3
"""After the grace time, for processes to end by themselves."""

log = structlog.get_logger()


class DicomProcesses:
    """Keeps the contract of `service.Service`, as `processes.door.DicomDoor` does.

    folder_lock  descriptor of the held data folder: as long as one process lives, nobody else takes the folder
    ports        by the name of the opening, once started
    """

    name = "dicom"

    def __init__(self, settings: Settings, site: Site, folder_lock: int) -> None:
        self._settings = settings
        self._site = site
        self._sockets: dict[str, socket.socket] = {}
        numbers = range(1, settings.dicom_processes + 1)
        self._keepers = [Keeper(number, self._handover, folder_lock) for number in numbers]
        self._serves = False
        self.ports: dict[str, int] = {}

    def start(self) -> None:
        """Open every port, start all processes, wait until all serve.

        raises  AlreadyRunning, SettingsError, BrokerError; the caller calls stop then
        """
        host = self._settings.host
        for opening in openings(self._settings):
            try:
                listening = listen((host, opening.port))
            except (OSError, UnicodeError) as error:
                raise cannot_listen("DICOM", host, opening.port, error) from None
            self._sockets[opening.name] = listening
            self.ports[opening.name] = int(listening.getsockname()[1])
        for keeper in self._keepers:
            keeper.start()
        give_up_at = time.monotonic() + START_SECONDS
        for keeper in self._keepers:
            keeper.wait_until_serving(give_up_at)
        self._serves = True
        log.info("dicom.listening", host=host, **self.ports, processes=len(self._keepers))

    def stop(self, grace_seconds: float) -> None:
        """Close the ports, let requests in hand be answered, end all processes within grace_seconds and a moment."""
        kill_at = time.monotonic() + grace_seconds + KILL_SECONDS
        self._serves = False
        sockets, self._sockets = self._sockets, {}
        for listening in sockets.values():
            shut(listening)
        for keeper in self._keepers:
            # Of the time, cutting off what is left then takes its part.
            keeper.tell_to_stop(max(0.0, grace_seconds - CUT_SECONDS))
        killed = [keeper.number for keeper in self._keepers if not keeper.end(kill_at)]
        if sockets:
            log.info("dicom.processes_stopped", killed=killed)

    def ready(self) -> bool:
        return self._serves and all(keeper.ready() for keeper in self._keepers)

    def parts(self) -> dict[str, Callable[[], bool]]:
        """By name of each process: whether it can work."""
        return {f"dicom process {keeper.number}": keeper.ready for keeper in self._keepers}

    def pids(self) -> dict[int, int | None]:
        """Process ids by number; None: it has just died."""
        return {keeper.number: keeper.pid for keeper in self._keepers}

    def snapshot(self) -> Snapshot | None:
        """Who is connected, what was refused, over all processes, at most a second old; None while it does not serve.

        Counts go on when a process is started again.
        """
        return total([keeper.snapshot() for keeper in self._keepers]) if self._serves else None

    def log_lines_lost(self) -> int:
        """Log lines that its processes could not write."""
        return sum(keeper.log_lines_lost() for keeper in self._keepers)

    def _handover(self, number: int) -> Handover:
        """Of the sockets that are open now; none when it stops meanwhile, and then nothing is started."""
        descriptors = {name: listening.fileno() for name, listening in self._sockets.items()}
        return Handover.of(number, self._settings, self._site, descriptors)
