"""A running broker and what tests ask of it: send, look at the worklist, read an order's story."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from pydicom.dataset import Dataset
from sqlalchemy import func, select

from broker.app import Broker
from broker.cli.output import plain
from broker.clock import Clock
from broker.dicom.listener import EngineServer, ServerMaker
from broker.settings import Settings
from broker.store.alarms import list_alarms
from broker.store.database import Database, open_database
from broker.store.shown import find_order
from broker.store.story import order_story
from broker.store.tables import instances, messages, remembered_cancels
from tests.kit.messages import Case
from tests.kit.mllp import Answer, send
from tests.kit.scanner import Scanner

ZONE = "Europe/Berlin"
PROFILE = f'time_zone = "{ZONE}"\n'


class RunningBroker:
    """A broker in this process on free ports; all that is asked of it goes over the wire or reads its database."""

    def __init__(self, broker: Broker, database: Database, data: Path) -> None:
        self.data = data
        self.hl7_port = broker.ports["hl7"]
        self.dicom_port = broker.ports["dicom"]
        self.http_port = broker.ports["http"]
        self._database = database
        self._broker = broker
        self._alarms_before: dict[int, int] = {}

    def close(self) -> None:
        """Stop it before its context ends."""
        self._database.close()
        self._broker.stop()

    def send(self, message: bytes) -> Answer:
        """Send one message on a connection of its own."""
        return send(self.hl7_port, message)

    def scanner(self, ae_title: str = "CTAE") -> Scanner:
        return Scanner(self.dicom_port, ae_title)

    def items(self, case: Case, step: dict[str, Any] | None = None, **keys: Any) -> list[Dataset]:
        """What a scanner sees of the case's patient; step and keys as in Scanner.items."""
        return self.scanner().items(step, **{"PatientID": case.patient_id, **keys})

    def item(self, case: Case, step: dict[str, Any] | None = None, **keys: Any) -> Dataset:
        """The one item that a scanner sees of the case's patient."""
        found = self.items(case, step, **keys)
        assert len(found) == 1, f"{len(found)} items"
        return found[0]

    def stories(self, number: str) -> list[dict[str, Any]]:
        """What `orders show NUMBER --json` says of each order that bears the number."""
        with self._database.read() as tx:
            return [plain(order_story(tx, order)) for order in find_order(tx, number)]

    def show(self, number: str) -> dict[str, Any]:
        """The story of the one order that bears the number."""
        found = self.stories(number)
        assert len(found) == 1, f"{len(found)} orders"
        return found[0]

    def steps(self, number: str) -> list[dict[str, Any]]:
        return list(self.show(number)["steps"])

    def states(self, number: str) -> list[str]:
        return [step["state"] for step in self.steps(number)]

    def outcome(self, answer: Answer) -> str:
        """How the answered message ended, as the journal says (of several with its control id, the last)."""
        query = select(messages.c.outcome).where(messages.c.control_id == answer.field("MSA", 2))
        with self._database.read() as tx:
            return str(tx.execute(query.order_by(messages.c.id.desc())).scalars().first())

    def kept(self, answer: Answer) -> bytes:
        """What the journal keeps of the answered message's bytes (of several with its control id, the last)."""
        query = select(messages.c.raw).where(messages.c.control_id == answer.field("MSA", 2))
        with self._database.read() as tx:
            return bytes(tx.execute(query.order_by(messages.c.id.desc())).scalars().first() or b"")

    def cancels_kept(self) -> int:
        """How many cancels are remembered that came before their order."""
        with self._database.read() as tx:
            return int(tx.execute(select(func.count()).select_from(remembered_cancels)).scalar_one())

    def journal(self) -> list[int]:
        """Numbers of all messages in the journal, in order; they have gaps after a new connection."""
        with self._database.read() as tx:
            return list(tx.execute(select(messages.c.id).order_by(messages.c.id)).scalars())

    def file_of(self, sop_instance_uid: str) -> Path:
        """Where an image lies."""
        query = select(instances.c.path).where(instances.c.sop_instance_uid == sop_instance_uid)
        with self._database.read() as tx:
            return self.data / str(tx.execute(query).scalar_one())

    def forget_alarms(self) -> None:
        """Later calls of alarms() leave out what was raised so far."""
        self._alarms_before = {alarm.id: alarm.count for alarm in self._all_alarms()}

    def alarms(self) -> list[dict[str, Any]]:
        """What was raised since forget_alarms."""
        return [plain(alarm) for alarm in self._all_alarms() if self._alarms_before.get(alarm.id, 0) < alarm.count]

    def department_time(self, instant: str) -> tuple[str, str]:
        """Date and HHMM of an instant in the department's zone."""
        local = datetime.fromisoformat(instant).astimezone(ZoneInfo(ZONE))
        return local.strftime("%Y%m%d"), local.strftime("%H%M")

    def _all_alarms(self) -> list[Any]:
        with self._database.read() as tx:
            return list_alarms(tx, acknowledged=True, limit=10_000)


@contextmanager
def running(
    data: Path,
    database_url: str,
    profile: str = PROFILE,
    engine: ServerMaker = EngineServer,
    clock: Clock | None = None,
    **settings: Any,
) -> Iterator[RunningBroker]:
    """Start a broker in this process, and stop it at the end. profile: its site.toml; engine: of its DICOM door."""
    data.mkdir(parents=True, exist_ok=True)
    (data / "site.toml").write_text(profile, encoding="utf-8")
    free = {"hl7_port": 0, "dicom_port": 0, "http_port": 0}
    chosen = Settings.load({}, {"data": data, "database": database_url, **free, **settings})
    broker = Broker(chosen, clock, dicom_server=engine)
    broker.start()
    try:
        database = open_database(database_url, data, migrate=False, lock_seconds=5.0)
        try:
            yield RunningBroker(broker, database, data)
        finally:
            database.close()
    finally:
        broker.stop()
