"""The DICOM door from the settings: its services, its limits, a listener for each of its ports."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

from broker.archive.files import ObjectFiles
from broker.clock import Clock
from broker.dicom.census import Snapshot, total
from broker.dicom.contract import Service as DicomService
from broker.dicom.limits import DicomLimits
from broker.dicom.listener import DicomListener, EngineServer, ServerMaker, services_by_class
from broker.dicom.performed import PerformedService
from broker.dicom.request_counts import RequestCounts
from broker.dicom.storage import StorageService
from broker.dicom.verification import verify
from broker.dicom.worklist import WorklistService
from broker.memory_budget import LONGEST_BYTES, MemoryBudget
from broker.service import stop_together
from broker.settings import Settings
from broker.site.profile import Site
from broker.store.database import Database
from broker.store.writer import Writer
from broker.tls import TlsFiles, server_context
from broker.workflow.pair_folder import object_files
from broker.workflow.record_performed import record_performed_verb
from broker.workflow.store_instance import store_instance_verb
from broker.workflow.take_instance import Intake


@dataclass(frozen=True, slots=True)
class Opening:
    """A port of the door. tls: None is plain."""

    name: str
    port: int
    tls: ssl.SSLContext | None = None


def openings(settings: Settings) -> tuple[Opening, ...]:
    """The ports that the settings ask for; raises SettingsError for TLS files that cannot be used."""
    plain = Opening("dicom", settings.dicom_port)
    named = settings.tls("dicom")
    if named is None:
        return (plain,)
    return plain, Opening("dicom_tls", settings.dicom_tls_port or 0, server_context(TlsFiles(**named)))


class DicomDoor:
    """Keeps the contract of `service.Service`. ports: by the name of the opening, once started.

    files  of the objects that it takes: while their folder is away, it is not ready
    """

    name = "dicom"

    def __init__(
        self, listeners: Mapping[str, DicomListener], requests: RequestCounts, files: ObjectFiles
    ) -> None:
        self._files = files
        self._listeners = dict(listeners)
        self._requests = requests
        self.ports: dict[str, int] = {}

    def start(self) -> None:
        """Open every port. raises AlreadyRunning, SettingsError; the caller stops what was opened"""
        for name, listener in self._listeners.items():
            listener.start()
            self.ports[name] = listener.port

    def stop(self, grace_seconds: float) -> None:
        stop_together(list(self._listeners.values()), grace_seconds)

    def ready(self) -> bool:
        return self._files.in_place() and all(listener.ready() for listener in self._listeners.values())

    def parts(self) -> dict[str, Callable[[], bool]]:
        """Processes of the door, each with its probe: none, it is this one."""
        return {}

    def log_lines_lost(self) -> int:
        """By processes of its own: it has none."""
        return 0

    def snapshot(self) -> Snapshot | None:
        """Who is connected, what was refused, over all ports; None while it does not serve."""
        known = [one for listener in self._listeners.values() if (one := listener.snapshot()) is not None]
        return replace(total(known), requests=self._requests.snapshot()) if known else None


def build_door(
    settings: Settings,
    site: Site,
    database: Database,
    writer: Writer,
    clock: Clock,
    *,
    make_server: ServerMaker = EngineServer,
    listening: Mapping[str, socket.socket] | None = None,
    processes: int = 1,
    memory: MemoryBudget | None = None,
) -> DicomDoor:
    """The door, not yet started.

    listening  sockets that listen already, by the name of their opening, for ports that processes share
    processes  that share the limits
    memory     for input, shared with the other doors of this process; None: there are none
    """
    requests, files = RequestCounts(), object_files(settings.data)
    services = _services(settings, site, database, writer, clock, requests, files)
    limits = replace(
        limits_for(settings, processes, tuple(site.peers.worklist.preferred_syntaxes)),
        memory=memory or input_budget(settings),
    )
    listeners = {}
    for opening in openings(settings):
        given = (listening or {}).get(opening.name)
        listeners[opening.name] = DicomListener(
            settings.host,
            opening.port,
            settings.ae_title,
            services,
            site.peers,
            limits,
            tls=opening.tls,
            make_server=make_server if given is None else partial(EngineServer, listening=given),
        )
    return DicomDoor(listeners, requests, files)


def input_budget(settings: Settings) -> MemoryBudget:
    """The memory of one process for input that is not handed on: it can always hold one longest message."""
    return MemoryBudget(settings.input_bytes, max(LONGEST_BYTES, settings.hl7_message_bytes + 1_000_000))


def limits_for(settings: Settings, processes: int, preferred_syntaxes: tuple[str, ...] = ()) -> DicomLimits:
    """What one of several processes grants: its share, rounded up, of what the settings grant in total."""
    return DicomLimits(
        associations=-(-settings.dicom_associations // processes),
        network_seconds=settings.dicom_network_seconds,
        message_seconds=settings.dicom_message_seconds,
        association_seconds=settings.dicom_association_seconds,
        associations_per_host=-(-settings.dicom_associations_per_host // processes),
        preferred_syntaxes=preferred_syntaxes,
    )


def _services(
    settings: Settings,
    site: Site,
    database: Database,
    writer: Writer,
    clock: Clock,
    requests: RequestCounts,
    files: ObjectFiles,
) -> dict[str, DicomService]:
    wait_seconds = settings.writer_wait_seconds
    performed = record_performed_verb(site, database.ids)
    stored = store_instance_verb(site, database.ids)
    intake = Intake(database, writer, stored, files, clock, wait_seconds)
    return services_by_class(
        requests.counting(WorklistService(database, site)),
        requests.counting(PerformedService(writer, performed, clock, wait_seconds)),
        requests.counting(StorageService(intake)),
        requests.counting(verify),
    )
