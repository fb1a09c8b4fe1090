"""The whole house: built here, started in order, stopped in reverse. The only file that knows every room."""

from __future__ import annotations

import resource
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from functools import partial
from typing import TypeVar

import structlog

from broker.archive.files import ObjectFiles
from broker.certificate_dates import validities
from broker.clock import Clock, SystemClock
from broker.data_folder import DataFolder, site_file
from broker.dicom.limits import DicomLimits
from broker.dicom.listener import DicomListener, EngineServer, ServerMaker, services_by_class
from broker.dicom.performed import PerformedService
from broker.dicom.request_counts import RequestCounts
from broker.dicom.storage import StorageService
from broker.dicom.verification import verify
from broker.dicom.worklist import WorklistService
from broker.hl7.frames import FrameLimits
from broker.hl7.inbox import Inbox, InboxLimits
from broker.hl7.listener import Hl7Listener, ListenerLimits
from broker.service import Service, check_port
from broker.settings import Settings
from broker.site.profile import Site
from broker.site.profile import load as load_profile
from broker.store.counts import open_alarms, steps_by_state
from broker.store.database import Database, Transaction, open_database
from broker.store.writer import Writer
from broker.tls import TlsFiles, server_context
from broker.web.app import WebServer, web_app
from broker.web.metrics import Sources
from broker.workflow.keep_message import keep_message_verb
from broker.workflow.place_order import place_order_verb
from broker.workflow.record_performed import record_performed_verb
from broker.workflow.reencode_steps import reencode_open_steps
from broker.workflow.store_instance import store_instance_verb
from broker.workflow.take_instance import Intake, sweep_objects

log = structlog.get_logger()

OPEN_FILES = 65_536  # the usual soft limit of 1,024 is one busy morning of connections
CUT_SECONDS = 0.5  # for each of: doors cut off after the grace time, the writer, the database
TlsContexts = Mapping[str, ssl.SSLContext]
"""By door: "hl7", "dicom"."""
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


class Broker:
    """One broker on one data folder. `ports` holds what was opened: {"hl7": n, "dicom": n, "http": n}, and
    "hl7_tls" and "dicom_tls" where they are.

    dicom_server  the engine of the DICOM door; the tests run the same services on another one
    """

    def __init__(
        self, settings: Settings, clock: Clock | None = None, dicom_server: ServerMaker = EngineServer
    ) -> None:
        self.settings = settings
        self._dicom_server = dicom_server
        self.clock = clock or SystemClock()
        self.ports: dict[str, int] = {}
        self.facts: dict[str, str] = {}
        self._undo = ExitStack()

    def start(self) -> None:
        """Open everything; it serves when this returns.

        raises  SettingsError, AlreadyRunning, DatabaseTooOld or another BrokerError; nothing is left open then
        """
        began = time.time()
        try:
            raise_open_files()
            self.settings.check_ports()
            if not self.settings.data.exists():
                self._check_ports()  # a start that fails makes no folder
            folder = self._hold_folder()
            self._check_ports()
            site = load_profile(site_file(self.settings))
            tls = self._tls()
            database = self._open_database()
            self._prepare(site, database, began)
            self._serve(site, database, tls)
            folder.tell_ports(self.ports)
        except BaseException:
            self.stop()
            raise
        self.facts = self._facts(site, database)

    def stop(self) -> None:
        """Take nothing new, finish requests in hand within the grace time, close; may be called twice."""
        self._undo.close()

    @property
    def only_this_machine(self) -> bool:
        return self.settings.host in LOOPBACK

    def _check_ports(self) -> None:
        settings = self.settings
        ports = (("HL7", settings.hl7_port), ("DICOM", settings.dicom_port), ("HTTP", settings.http_port))
        for door, port in ports:
            check_port(door, settings.host, port)

    def _hold_folder(self) -> DataFolder:
        folder = DataFolder(self.settings.data)
        folder.take()
        self._undo.callback(folder.give_back)
        self._undo.callback(folder.forget_ports)
        return folder

    def _open_database(self) -> Database:
        settings = self.settings
        database = open_database(
            settings.database, settings.data, migrate=settings.migrate, lock_seconds=settings.lock_seconds
        )
        self._undo.callback(_within, CUT_SECONDS, database.close)
        return database

    def _prepare(self, site: Site, database: Database, began: float) -> None:
        """What must be true before anybody is served: steps encoded by this profile, no remains of a kill."""
        log.info("app.steps_encoded_anew", count=reencode_open_steps(database, site, self.clock))
        sweep_objects(database, ObjectFiles(self.settings.data), began)

    def _serve(self, site: Site, database: Database, tls: TlsContexts) -> None:
        settings = self.settings
        writer = Writer(database, most_requests=settings.writer_requests, most_bytes=settings.writer_bytes)
        writer.start()
        self._undo.callback(writer.stop, CUT_SECONDS)
        doors: list[Service] = []
        self._undo.callback(stop_together, doors, settings.stop_grace_seconds - CUT_SECONDS)
        inbox = self._inbox(site, database, writer)
        requests = RequestCounts()
        hl7 = self._hl7(inbox, tls)
        dicom = self._dicom(site, database, writer, requests, tls)
        probes = {writer.name: writer.ready}
        probes |= {door.name: door.ready for door in hl7} | {door.name: door.ready for door in dicom}
        probes["database"] = shared(database.answers)
        sources = Sources(
            dicom={door.name: door.snapshot for door in dicom},
            hl7={door.name: door.snapshot for door in hl7},
            writer=writer.snapshot,
            dicom_requests=requests.snapshot,
            hl7_messages=inbox.outcomes.snapshot,
            steps=shared(partial(_counted, database, steps_by_state)),
            alarms=shared(partial(_counted, database, open_alarms)),
        )
        http = WebServer(web_app(probes, sources), settings.host, settings.http_port)
        opened: list[Hl7Listener | DicomListener | WebServer] = [*hl7, *dicom, http]
        for door in opened:
            doors.append(door)
            door.start()
            self.ports[door.name] = door.port

    def _tls(self) -> TlsContexts:
        """The contexts of the TLS ports that are wanted, by door; raises SettingsError naming setting or file."""
        contexts: dict[str, ssl.SSLContext] = {}
        for door in ("hl7", "dicom"):
            named = self.settings.tls(door)
            if named is not None:
                files = TlsFiles(**named)
                contexts[door] = server_context(files)
                if validities(files.certificate)[0].ends < self.clock.now():
                    # Whether it still counts is for its peers to say.
                    log.warning("tls.certificate_expired", door=door)
        return contexts

    def _inbox(self, site: Site, database: Database, writer: Writer) -> Inbox:
        return Inbox(
            site,
            place_order_verb(site, database.ids, self.clock),
            keep_message_verb(database.ids, self.clock),
            writer,
            self.clock,
            InboxLimits(self.settings.writer_wait_seconds),
        )

    def _hl7(self, inbox: Inbox, tls: TlsContexts) -> list[Hl7Listener]:
        """The plain listener, and the one under TLS where there is one."""
        settings = self.settings
        frames = FrameLimits(settings.hl7_idle_seconds, settings.hl7_message_seconds, settings.hl7_message_bytes)
        limits = ListenerLimits(settings.hl7_connections, frames)
        listeners = [Hl7Listener(inbox, settings.host, settings.hl7_port, limits)]
        if "hl7" in tls:
            port = settings.hl7_tls_port or 0
            listeners.append(Hl7Listener(inbox, settings.host, port, limits, tls["hl7"], "hl7_tls"))
        return listeners

    def _dicom(
        self, site: Site, database: Database, writer: Writer, requests: RequestCounts, tls: TlsContexts
    ) -> list[DicomListener]:
        """The plain listener, and the one under TLS where there is one."""
        settings = self.settings
        wait_seconds = settings.writer_wait_seconds
        performed = record_performed_verb(site, database.ids)
        stored = store_instance_verb(site, database.ids)
        intake = Intake(database, writer, stored, ObjectFiles(settings.data), self.clock, wait_seconds)
        services = services_by_class(
            requests.counting(WorklistService(database, site)),
            requests.counting(PerformedService(writer, performed, self.clock, wait_seconds)),
            requests.counting(StorageService(intake)),
            requests.counting(verify),
        )
        limits = DicomLimits(
            associations=settings.dicom_associations,
            network_seconds=settings.dicom_network_seconds,
            message_seconds=settings.dicom_message_seconds,
            association_seconds=settings.dicom_association_seconds,
        )

        def listener(port: int, context: ssl.SSLContext | None) -> DicomListener:
            title, engine = settings.ae_title, self._dicom_server
            return DicomListener(settings.host, port, title, services, site.peers, limits, context, engine)

        listeners = [listener(settings.dicom_port, None)]
        if "dicom" in tls:
            listeners.append(listener(settings.dicom_tls_port or 0, tls["dicom"]))
            listeners[-1].name = "dicom_tls"
        return listeners

    def _facts(self, site: Site, database: Database) -> dict[str, str]:
        """What listens where and on what it works, for the operator; the database without its password."""
        host = self.settings.host
        under_tls = {
            name: f"{host}:{self.ports[door]}"
            for door, name in (("hl7_tls", "HL7 (TLS)"), ("dicom_tls", "DICOM (TLS)"))
            if door in self.ports
        }
        return {
            "HL7 (MLLP)": f"{host}:{self.ports['hl7']}",
            "DICOM": f"{host}:{self.ports['dicom']}, AE title {self.settings.ae_title}",
            **under_tls,
            "HTTP": f"http://{host}:{self.ports['http']}/health/ready",
            "data folder": str(self.settings.data.resolve()),
            "database": database.dialect,
            "site profile": str(site.path) if site.path else "built in",
        }


def raise_open_files() -> None:
    """Each connection is an open file; take as many as we may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def stop_together(doors: list[Service], grace_seconds: float) -> None:
    """Close all doors at once, so that they share one grace time; returns when it has passed, at the latest."""
    threads = [
        threading.Thread(target=door.stop, args=(grace_seconds,), name=f"stop-{door.name}", daemon=True)
        for door in reversed(doors)
    ]
    for thread in threads:
        thread.start()
    cut_at = time.monotonic() + grace_seconds + CUT_SECONDS
    for thread in threads:
        thread.join(max(0.0, cut_at - time.monotonic()))


def _within(limit_seconds: float, work: Callable[[], None]) -> None:
    """Do it, but do not wait longer than the limit for its end."""
    thread = threading.Thread(target=work, name="close", daemon=True)
    thread.start()
    thread.join(limit_seconds)


Answer = TypeVar("Answer")


def shared(probe: Callable[[], Answer]) -> Callable[[], Answer]:
    """A probe that runs once for all who wait for it, however many ask; its answer is never older than the question."""
    lock = threading.Lock()
    began = 0.0
    answer: list[Answer] = []

    def ask() -> Answer:
        nonlocal began
        asked = time.monotonic()
        with lock:
            if began < asked or not answer:
                began = time.monotonic()
                answer[:] = [probe()]
            return answer[0]

    return ask


def _counted(database: Database, count: Callable[[Transaction], Answer]) -> Answer:
    with database.read() as tx:
        return count(tx)
