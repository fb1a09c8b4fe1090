"""The DICOM door as a part of the process: opens the port, serves each SOP class by its service, stops in order."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping

import structlog

from broker.dicom.contract import Service
from broker.dicom.dispatch import MODALITY_WORKLIST_FIND, PERFORMED_STEP, VERIFICATION
from broker.dicom.stock import DicomLimits, PeerRules, StockServer, quiet_libraries, storage_classes
from broker.dicom.verification import verify
from broker.service import cannot_listen

ACCEPT_POLL_SECONDS = 0.1
"""How soon the accepting thread sees that it shall stop."""

CUT_SECONDS = 0.5
"""Time for A-ABORTs to leave and threads to end, after the grace time."""

log = structlog.get_logger()


def services_by_class(find: Service, performed: Service, store: Service) -> dict[str, Service]:
    """All SOP classes of the door, each with the service that answers it."""
    services: dict[str, Service] = dict.fromkeys(storage_classes(), store)
    services[VERIFICATION] = verify
    services[MODALITY_WORKLIST_FIND] = find
    services[PERFORMED_STEP] = performed
    return services


class DicomListener:
    """Keeps the contract of `service.Service`.

    ae_title  our own, shown to peers; which called titles are taken is the peers' rule
    port      0 takes a free one; the one that is open stands in `port` after start
    """

    name = "dicom"

    def __init__(
        self,
        host: str,
        port: int,
        ae_title: str,
        services: Mapping[str, Service],
        peers: PeerRules,
        limits: DicomLimits | None = None,
    ) -> None:
        self.host = host
        self.port = port
        self._ae_title = ae_title
        self._services = services
        self._peers = peers
        self._limits = limits or DicomLimits()
        self._server: StockServer | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Open the port. Raises AlreadyRunning when it is taken, SettingsError when it cannot be opened at all."""
        quiet_libraries()
        try:
            server = StockServer((self.host, self.port), self._ae_title, self._services, self._peers, self._limits)
        except OSError as error:
            raise cannot_listen("DICOM", self.host, self.port, error) from None
        self.port = server.server_address[1]
        self._server = server
        self._thread = threading.Thread(
            target=server.serve_forever, args=(ACCEPT_POLL_SECONDS,), name="dicom-accept", daemon=True
        )
        self._thread.start()
        log.info("dicom.listening", host=self.host, port=self.port, ae_title=self._ae_title)

    def stop(self, grace_seconds: float) -> None:
        """Close the port, let requests in hand be answered for grace_seconds, abort what is open then."""
        server, self._server = self._server, None
        if server is None:
            return
        deadline = time.monotonic() + grace_seconds
        server.stop_accepting()
        done = server.in_hand.wait_until_none(max(0.0, deadline - time.monotonic()))
        aborted = server.cut_associations(CUT_SECONDS)
        log.info("dicom.stopped", requests_finished=done, associations_aborted=aborted)

    def ready(self) -> bool:
        return self._server is not None and self._thread is not None and self._thread.is_alive()
