"""The whole house: built here, started in order, stopped in reverse. The only file that knows every room."""

from __future__ import annotations

import resource
import ssl
import threading
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TypeVar

import structlog

from broker.archive.files import ObjectFiles
from broker.certificate_dates import validities
from broker.clock import Clock, SystemClock, WatchedClock
from broker.data_folder import DataFolder, kept_paths, site_file
from broker.dicom.listener import EngineServer, ServerMaker
from broker.domain.in_time import CANCEL_REMEMBERED
from broker.hl7.frames import FrameLimits
from broker.hl7.inbox import Inbox, InboxLimits
from broker.hl7.listener import Hl7Listener, ListenerLimits
from broker.log import lines_lost
from broker.memory_budget import MemoryBudget
from broker.open_files import fitted, needed, raise_limit
from broker.owner_only import close_to_others, key_open_to_others
from broker.processes.door import DicomDoor, build_door, input_budget
from broker.processes.supervisor import DicomProcesses
from broker.service import CUT_SECONDS, FOLDER_LOCK, Service, check_port, stop_together
from broker.settings import Settings
from broker.site.profile import Site
from broker.site.profile import load as load_profile
from broker.store.counts import open_alarms, steps_by_state
from broker.store.database import Database, Transaction, open_database
from broker.store.marks import Marks
from broker.store.pairing import Pairing, paired_database
from broker.store.watch import Watch
from broker.store.writer import Writer
from broker.tls import TlsFiles, server_context
from broker.web.app import WebLimits, WebServer, web_app
from broker.web.asking import SharedProbe
from broker.web.metrics import Sources
from broker.workflow.keep_message import keep_message_verb
from broker.workflow.pair_folder import object_files, pair_folder
from broker.workflow.place_order import place_order_verb
from broker.workflow.recover_objects import Recovery, clear_parts
from broker.workflow.reencode_steps import reencode_open_steps
from broker.workflow.store_instance import store_instance_verb
from broker.workflow.watch_clock import ClockWatch

log = structlog.get_logger()

ANSWER_SECONDS = 2.5
"""Longest wait of a health route for the database."""
COUNT_SECONDS = 1.2
"""Longest wait of the metrics for each of their two counts."""
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


class Broker:
    """One broker on one data folder. `ports` holds what was opened: {"hl7": n, "dicom": n, "http": n}, and
    "hl7_tls" and "dicom_tls" where they are. `pairing` names folder and database, once started; `warnings` says what an
    operator should change, as the start found it.

    dicom_server  the engine of the DICOM door where it is in this process; the tests run its services on another one
    """

    def __init__(
        self, settings: Settings, clock: Clock | None = None, dicom_server: ServerMaker = EngineServer
    ) -> None:
        self.settings = settings
        self._dicom_server = dicom_server
        self.clock = WatchedClock(clock or SystemClock())
        self.ports: dict[str, int] = {}
        self.facts: dict[str, str] = {}
        self.warnings: list[str] = []
        self.pairing: Pairing | None = None
        self._undo = ExitStack()

    def start(self) -> None:
        """Open everything; it serves when this returns.

        raises  SettingsError, AlreadyRunning, DatabaseTooOld or another BrokerError; nothing is left open then
        """
        try:
            self._fit_open_files()
            self.settings.check_ports()
            if not self.settings.data.exists():
                self._check_ports()  # a start that fails makes no folder
            folder = self._hold_folder()
            self._check_ports()
            site = load_profile(site_file(self.settings))
            tls = self._tls()
            database = self._open_database()
            files = object_files(self.settings.data)
            older = self._prepare(site, database, files)
            writer = self._serve(site, database, folder, tls)
            self._tell_ports(folder)
            self._recover(Recovery(database, writer, store_instance_verb(site, database.ids), files, self.clock, older))
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

    def _fit_open_files(self) -> None:
        """Take as many open files as we may; where they are too few for all connections, serve fewer and say so."""
        raise_limit()
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        wanted, self.settings = needed(self.settings), fitted(self.settings, limit)
        if needed(self.settings) != wanted:
            log.warning(
                "app.few_open_files",
                limit=limit,
                wanted=wanted,
                hl7_connections=self.settings.hl7_connections,
                dicom_associations=self.settings.dicom_associations,
                http_connections=self.settings.http_connections,
            )

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
        self._close_to_others()
        return folder

    def _close_to_others(self) -> None:
        """Close our files to other users; warn of what they can still read because it is not ours to close."""
        for path in close_to_others(kept_paths(self.settings)):
            self._warn("data.open_to_others", f"other users have rights to {path}, which is not ours to close", path)

    def _warn(self, event: str, text: str, path: Path) -> None:
        log.warning(event, path=str(path))
        self.warnings.append(text)

    def _tell_ports(self, folder: DataFolder) -> None:
        """The doors serve even if ports.json cannot be written; the ports are in the log, too."""
        try:
            folder.tell_ports(self.ports)
        except OSError as error:
            log.warning("app.ports_not_told", reason=error.strerror, **self.ports)
            self.warnings.append(f"ports.json cannot be written: {error.strerror}")

    def _open_database(self) -> Database:
        settings, paired = self.settings, paired_database(self.settings.data)
        database = open_database(
            settings.database,
            settings.data,
            migrate=settings.migrate,
            lock_seconds=settings.lock_seconds,
            identity=paired,
        )
        self._undo.callback(_within, CUT_SECONDS, database.close)
        self.pairing = pair_folder(database, settings.data)
        database.depends_on(settings.data / FOLDER_LOCK)
        database.keep_marks(Marks(settings.data), self.clock, expected=paired is not None)
        watch = Watch(database)
        watch.start()
        self._undo.callback(watch.stop, CUT_SECONDS)
        return database

    def _prepare(self, site: Site, database: Database, files: ObjectFiles) -> int:
        """Before any door opens: remove what a kill left unfinished, and encode open steps by this profile.

        returns  the number below which object files are older than this start
        """
        older = clear_parts(database, files)
        log.info("app.steps_encoded_anew", count=reencode_open_steps(database, site, self.clock))
        return older

    def _recover(self, recovery: Recovery) -> None:
        """Look after the object files that have no row, while the doors serve."""
        self._undo.callback(recovery.stop, CUT_SECONDS)
        recovery.start()

    def _serve(self, site: Site, database: Database, folder: DataFolder, tls: ssl.SSLContext | None) -> Writer:
        settings = self.settings
        writer = Writer(database, most_requests=settings.writer_requests, most_bytes=settings.writer_bytes)
        writer.start()
        self._undo.callback(writer.stop, CUT_SECONDS)
        watch = ClockWatch(self.clock, database)
        watch.start()
        self._undo.callback(watch.stop, CUT_SECONDS)
        doors: list[Service] = []
        self._undo.callback(stop_together, doors, settings.stop_grace_seconds - CUT_SECONDS)
        inbox = self._inbox(site, database, writer)
        memory = input_budget(settings)
        hl7 = self._hl7(inbox, tls, memory)
        dicom = self._dicom(site, database, writer, folder, memory)
        probes = {part.name: part.ready for part in (writer, *hl7, dicom)} | dicom.parts()
        probes["database"] = SharedProbe(database.answers, ANSWER_SECONDS, late=False)
        sources = Sources(
            dicom={dicom.name: dicom.snapshot},
            hl7={door.name: door.snapshot for door in hl7},
            writer=writer.snapshot,
            hl7_messages=inbox.outcomes.snapshot,
            in_place=lambda: not database.lost,
            steps=SharedProbe(partial(_counted, database, steps_by_state), COUNT_SECONDS),
            alarms=SharedProbe(partial(_counted, database, open_alarms), COUNT_SECONDS),
            log_lines_lost=lambda: lines_lost() + dicom.log_lines_lost(),
            http=lambda: http.snapshot(),
        )
        web_limits = WebLimits(settings.http_connections, settings.http_connections_per_host)
        http = WebServer(web_app(probes, sources), settings.host, settings.http_port, web_limits)
        opened: list[Hl7Listener | DicomDoor | DicomProcesses | WebServer] = [*hl7, dicom, http]
        for door in opened:
            doors.append(door)
            door.start()
            self.ports |= door.ports if isinstance(door, DicomDoor | DicomProcesses) else {door.name: door.port}
        return writer

    def _tls(self) -> ssl.SSLContext | None:
        """The context of the HL7 door's TLS port; the DICOM door makes its own. Tells of certificates that are over.

        raises  SettingsError naming setting or file
        """
        files = {door: TlsFiles(**named) for door in ("hl7", "dicom") if (named := self.settings.tls(door)) is not None}
        for door, one in files.items():
            server_context(one)
            if key_open_to_others(one.key):
                text = f"other users can read the TLS key {one.key}; chmod go= {one.key}"
                self._warn("tls.key_open_to_others", text, one.key)
            if validities(one.certificate)[0].ends < self.clock.now():
                # Whether it still counts is for its peers to say.
                log.warning("tls.certificate_expired", door=door)
        return server_context(files["hl7"]) if "hl7" in files else None

    def _inbox(self, site: Site, database: Database, writer: Writer) -> Inbox:
        return Inbox(
            site,
            place_order_verb(site, database.ids, self.clock, partial(self.clock.gained, CANCEL_REMEMBERED)),
            keep_message_verb(database.ids, self.clock),
            writer,
            self.clock,
            InboxLimits(self.settings.writer_wait_seconds, self.settings.hl7_message_bytes),
        )

    def _hl7(self, inbox: Inbox, tls: ssl.SSLContext | None, memory: MemoryBudget) -> list[Hl7Listener]:
        """The plain listener, and the one under TLS where there is one."""
        settings = self.settings
        frames = FrameLimits(settings.hl7_idle_seconds, settings.hl7_message_seconds, settings.hl7_message_bytes)
        limits = ListenerLimits(settings.hl7_connections, frames, settings.hl7_connections_per_host, memory)
        listeners = [Hl7Listener(inbox, settings.host, settings.hl7_port, limits)]
        if tls is not None:
            listeners.append(Hl7Listener(inbox, settings.host, settings.hl7_tls_port or 0, limits, tls, "hl7_tls"))
        return listeners

    def _dicom(
        self, site: Site, database: Database, writer: Writer, folder: DataFolder, memory: MemoryBudget
    ) -> DicomDoor | DicomProcesses:
        if self.settings.dicom_processes:
            return DicomProcesses(self.settings, site, folder.descriptor)
        return build_door(
            self.settings, site, database, writer, self.clock, make_server=self._dicom_server, memory=memory
        )

    def _facts(self, site: Site, database: Database) -> dict[str, str]:
        """What listens where and on what it works, for the operator; the database without its password."""
        host, processes = self.settings.host, self.settings.dicom_processes
        under_tls = {
            name: f"{host}:{self.ports[door]}"
            for door, name in (("hl7_tls", "HL7 (TLS)"), ("dicom_tls", "DICOM (TLS)"))
            if door in self.ports
        }
        return {
            "HL7 (MLLP)": f"{host}:{self.ports['hl7']}",
            "DICOM": f"{host}:{self.ports['dicom']}, AE title {self.settings.ae_title}"
            + (f", {processes} process{'es' if processes > 1 else ''}" if processes else ""),
            **under_tls,
            "HTTP": f"http://{host}:{self.ports['http']}/health/ready",
            "data folder": str(self.settings.data.resolve()),
            "database": database.dialect,
            "site profile": str(site.path) if site.path else "built in",
        }


def _within(limit_seconds: float, work: Callable[[], None]) -> None:
    """Run `work`, and wait for it no longer than the limit."""
    thread = threading.Thread(target=work, name="close", daemon=True)
    thread.start()
    thread.join(limit_seconds)


Answer = TypeVar("Answer")


def _counted(database: Database, count: Callable[[Transaction], Answer]) -> Answer:
    with database.read() as tx:
        return count(tx)
