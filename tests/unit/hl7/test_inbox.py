"""The inbox: one message, one answer, always; journalled before it is answered."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import structlog
from sqlalchemy import text

from broker.domain.request import (
    Cause,
    KeepMessage,
    MessageAnswer,
    Outcome,
    PlaceOrder,
    ReceivedMessage,
    Refusal,
)
from broker.errors import DatabaseUnavailable
from broker.hl7.answers import ANSWERS
from broker.hl7.inbox import Inbox, InboxLimits
from broker.hl7v2.ack import ERROR_TEXTS
from broker.hl7v2.reader import Message
from broker.site.profile import Site, load
from broker.store.database import Database, open_database
from broker.store.writer import Decision, Verb, Writer
from broker.workflow.keep_message import keep_message_verb
from broker.workflow.place_order import place_order_verb
from tests.kit.clock import SettableClock
from tests.kit.databases import Databases
from tests.kit.mllp import Answer

PEER = "192.0.2.7:50000"
ORDER = (
    "MSH|^~\\&|RIS|HOSP|MWL|RAD|20260301090000||{type}|{control_id}|{processing_id}|{version}||||||{charset}\r"
    "PID|||{patient}||{name}||19800102|F\r"
    "PV1||O\r"
    "ORC|{control}|PO1^RIS|FO1^RIS||SC||^^^20260303101500^^R||20260301090000\r"
    "OBR|1|PO1^RIS|FO1^RIS|CTCHEST^Chest CT^L||||||||||||||ACC1|RP1|SPS1||||CT|||^^^20260303101500^^R\r"
)


def order(codec: str = "utf-8", **changes: str) -> bytes:
    values = {
        "type": "ORM^O01",
        "control_id": "C1",
        "processing_id": "P",
        "version": "2.3.1",
        "charset": "",
        "patient": "P1^^^HOSP",
        "name": "Doe^Jane",
        "control": "NW",
    }
    return ORDER.format(**(values | changes)).encode(codec)


@dataclass
class TinyVerb:
    """A verb that stores nothing and answers as it is told; it keeps what it was handed."""

    refusal: Refusal | None = None
    fault: Exception | None = None
    gate: threading.Event | None = None
    requests: list[Any] = field(default_factory=list)

    def verb(self) -> Verb:
        return Verb("tiny", lambda request: (), self.load, self.decide, lambda tx, decisions: None)

    def load(self, tx: Any, requests: Sequence[Any]) -> TinyVerb:
        return self

    def draft(self) -> None:
        return None

    def fold(self, draft: None) -> None:
        return None

    def decide(self, draft: None, request: Any) -> Decision:
        if self.gate is not None:
            self.gate.wait(5.0)
        self.requests.append(request)
        if self.fault is not None:
            raise self.fault
        location = request.locate(self.refusal) if self.refusal else ""
        outcome = Outcome.REJECTED if self.refusal else Outcome.CREATED
        answered_at = SettableClock().now()
        return Decision(None, MessageAnswer(len(self.requests), answered_at, outcome, self.refusal, location))


@pytest.fixture(scope="module")
def site() -> Site:
    return load(None)


@pytest.fixture
def store(databases: Databases, tmp_path: Path) -> Iterator[Database]:
    with databases.fresh("sqlite", tmp_path) as url:
        opened = open_database(url, tmp_path, migrate=False, lock_seconds=5.0)
        yield opened
        opened.close()


@pytest.fixture
def writer(store: Database) -> Iterator[Writer]:
    running = Writer(store)
    running.start()
    yield running
    running.stop(5.0)


@pytest.fixture
def inbox(site: Site, store: Database, writer: Writer, clock: SettableClock) -> Inbox:
    return Inbox(site, place_order_verb(site, store.ids, clock), keep_message_verb(store.ids, clock), writer, clock)


def ask(inbox: Inbox, raw: bytes) -> Answer:
    return Answer(asyncio.run(inbox.receive(raw, PEER)))


def journal(store: Database) -> list[Any]:
    with store.read() as tx:
        return list(tx.execute(text("SELECT * FROM messages ORDER BY id")).all())


def tiny_inbox(site: Site, store: Database, writer: Writer, verb: TinyVerb, seconds: float = 5.0, **more: Any) -> Inbox:
    clock = SettableClock()
    keep = keep_message_verb(store.ids, clock)
    return Inbox(site, verb.verb(), keep, writer, clock, InboxLimits(seconds), **more)


@pytest.mark.parametrize("cause", Cause)
def test_every_cause_has_an_answer(cause: Cause) -> None:
    code, number = ANSWERS[cause].code, ANSWERS[cause].error

    assert number in ERROR_TEXTS
    assert code == ("AR" if number in (100, 200, 201, 202, 203, 207) else "AE")


def test_an_order_is_journalled_and_accepted(inbox: Inbox, store: Database) -> None:
    raw = order()

    answer = ask(inbox, raw)

    assert (answer.code, answer.field("MSA", 2)) == ("AA", "C1")
    [row] = journal(store)
    assert (row.raw, row.outcome, row.peer, row.sender) == (raw, "created", PEER, "RIS|HOSP")
    assert answer.field("MSH", 10) == f"MWL{row.id}"


@pytest.mark.parametrize(
    ("changes", "code", "number", "location"),
    [
        ({"version": "2.6"}, "AR", "203", "MSH^1^12"),
        ({"version": ""}, "AR", "203", "MSH^1^12"),
        ({"processing_id": "T"}, "AR", "202", "MSH^1^11"),
        ({"processing_id": "D"}, "AR", "202", "MSH^1^11"),
        ({"type": "XYZ^O01"}, "AR", "200", "MSH^1^9"),
        ({"type": "ORM^O99"}, "AR", "201", "MSH^1^9"),
        ({"type": ""}, "AR", "200", "MSH^1^9"),
        ({"version": "9", "processing_id": "T", "type": "XYZ^A99"}, "AR", "203", "MSH^1^12"),
        ({"processing_id": "T", "type": "XYZ^A99"}, "AR", "202", "MSH^1^11"),
        ({"patient": ""}, "AE", "101", "PID^1^3"),
        ({"name": ""}, "AE", "101", "PID^1^5"),
        ({"control": "ZZ"}, "AE", "101", "ORC^1^1"),
        ({"control": "CA"}, "AE", "204", "ORC^1^2"),
    ],
)
def test_a_refused_message_is_journalled_and_told_where_and_why(
    inbox: Inbox, store: Database, changes: dict[str, str], code: str, number: str, location: str
) -> None:
    answer = ask(inbox, order(**changes))

    assert (answer.code, answer.error, answer.location) == (code, number, location)
    [row] = journal(store)
    assert row.outcome == "rejected"
    assert row.location.startswith(location)
    assert row.cause is not None


@pytest.mark.parametrize("version", ["2.3", "2.3.1", "2.4", "2.5", "2.5.1", "2.5.1^DEU"])
def test_these_versions_are_taken(inbox: Inbox, version: str) -> None:
    assert ask(inbox, order(version=version)).code == "AA"


@pytest.mark.parametrize("message_type", ["ORM^O01", "ORM^O01^ORM_O01", "ORM^O01^WRONG"])
def test_the_third_component_of_the_message_type_is_of_no_use(inbox: Inbox, message_type: str) -> None:
    assert ask(inbox, order(type=message_type)).code == "AA"


@pytest.mark.parametrize("raw", [b"", b"hello", b"PID|1", b"MSH|^~", b"\xff\xfe" * 100])
def test_what_is_no_hl7_is_journalled_and_answered(inbox: Inbox, store: Database, raw: bytes) -> None:
    answer = ask(inbox, raw)

    assert (answer.code, answer.error) == ("AR", "100")
    assert [row.raw for row in journal(store)] == [raw]


def test_a_repeat_gets_the_same_bytes_again(inbox: Inbox, clock: SettableClock) -> None:
    first = asyncio.run(inbox.receive(order(), PEER))
    clock.advance(minutes=10)

    assert asyncio.run(inbox.receive(order(), "192.0.2.8:4000")) == first


def test_without_a_control_id_a_repeat_is_a_new_message(inbox: Inbox) -> None:
    first = ask(inbox, order(control_id=""))
    second = ask(inbox, order(control_id=""))

    assert (first.code, first.field("MSA", 2)) == ("AA", "")
    assert second.field("MSH", 10) != first.field("MSH", 10)


def test_the_answer_says_its_time_in_the_departments_zone(inbox: Inbox, site: Site, clock: SettableClock) -> None:
    local = clock.now().astimezone(site.zone)

    assert ask(inbox, order()).field("MSH", 7) == local.strftime("%Y%m%d%H%M%S%z")


def test_an_empty_message_time_and_undecodable_bytes_are_only_warnings(
    site: Site, store: Database, writer: Writer
) -> None:
    verb = TinyVerb()
    raw = order().replace(b"20260301090000||ORM", b"||ORM").replace(b"Chest CT", b"Thor\xe1x")

    answer = ask(tiny_inbox(site, store, writer, verb), raw)

    assert answer.code == "AA"
    warnings = verb.requests[0].warnings
    assert warnings[0] == "MSH-7 is empty or cannot be read"
    assert "character set" in warnings[1]


def test_what_the_verb_refuses_is_located_in_the_message(site: Site, store: Database, writer: Writer) -> None:
    verb = TinyVerb(refusal=Refusal(Cause.OTHER_PATIENT, "PatientID"))

    answer = ask(tiny_inbox(site, store, writer, verb), order())

    assert (answer.code, answer.error, answer.location) == ("AE", "205", "PID^1^3")


def test_a_bug_below_is_answered_try_again_and_the_message_is_kept(site: Site, store: Database, writer: Writer) -> None:
    inbox = tiny_inbox(site, store, writer, TinyVerb(fault=KeyError("Doe^Jane")))

    with structlog.testing.capture_logs() as logs:
        answer = ask(inbox, order())

    assert (answer.code, answer.error, answer.field("MSA", 2)) == ("AR", "207", "C1")
    [row] = journal(store)
    assert (row.outcome, row.raw) == ("quarantined", order())
    assert "Doe" not in repr(logs) + row.reason


def test_a_bug_in_a_reader_is_answered_try_again_and_the_message_is_kept(
    site: Site, store: Database, writer: Writer
) -> None:
    def broken(message: Message, received: ReceivedMessage, site: Any) -> PlaceOrder:
        raise ValueError(message.first("PID").field(5))

    inbox = tiny_inbox(site, store, writer, TinyVerb(), readers={("ORM", "O01"): broken})

    with structlog.testing.capture_logs() as logs:
        answer = ask(inbox, order())

    assert (answer.code, answer.error) == ("AR", "207")
    assert [row.outcome for row in journal(store)] == ["quarantined"]
    assert "Doe" not in repr(logs)


def test_a_database_that_does_not_answer_is_answered_try_again(site: Site, store: Database, writer: Writer) -> None:
    inbox = tiny_inbox(site, store, writer, TinyVerb(fault=DatabaseUnavailable("gone")))

    answer = ask(inbox, order())

    assert (answer.code, answer.error) == ("AR", "207")
    assert journal(store) == []


def test_a_message_that_waits_too_long_is_withdrawn_and_answered_try_again(
    site: Site, store: Database, clock: SettableClock
) -> None:
    stalled = Writer(store)
    verb = TinyVerb()

    answer = ask(tiny_inbox(site, store, stalled, verb, seconds=0.05), order())

    assert (answer.code, answer.error) == ("AR", "207")
    stalled.start()
    assert stalled.ask(keep_message_verb(store.ids, clock), _kept(b"later"), 5, 5.0).outcome is Outcome.IGNORED
    stalled.stop(5.0)
    assert verb.requests == []


def test_a_full_writer_makes_messages_wait(site: Site, store: Database) -> None:
    narrow = Writer(store, most_requests=1)
    narrow.start()
    verb = TinyVerb()
    inbox = tiny_inbox(site, store, narrow, verb)

    async def all_at_once() -> list[bytes]:
        return await asyncio.gather(*(inbox.receive(order(control_id=f"C{n}"), PEER) for n in range(5)))

    answers = [Answer(raw) for raw in asyncio.run(all_at_once())]
    narrow.stop(5.0)
    assert [answer.code for answer in answers] == ["AA"] * 5
    assert [answer.field("MSA", 2) for answer in answers] == [f"C{n}" for n in range(5)]


def test_a_writer_that_stops_is_answered_try_again(site: Site, store: Database, writer: Writer) -> None:
    inbox = tiny_inbox(site, store, writer, TinyVerb())
    writer.stop(5.0)

    answer = ask(inbox, order())

    assert (answer.code, answer.error) == ("AR", "207")


def test_answers_without_a_journal_row_have_control_ids_of_their_own(
    site: Site, store: Database, writer: Writer
) -> None:
    inbox = tiny_inbox(site, store, writer, TinyVerb())
    writer.stop(5.0)

    ids = {ask(inbox, order()).field("MSH", 10) for _ in range(5)}

    assert len(ids) == 5
    assert all(len(one) == 20 for one in ids)


def test_a_message_that_is_too_long_is_refused_by_its_beginning(inbox: Inbox, store: Database) -> None:
    answer = Answer(asyncio.run(inbox.refuse(order()[:100], PEER, True)))

    assert (answer.code, answer.error, answer.field("MSA", 2)) == ("AE", "102", "C1")
    assert [row.outcome for row in journal(store)] == ["rejected"]


def test_a_long_message_without_room_is_told_to_try_again(inbox: Inbox, store: Database) -> None:
    answer = Answer(asyncio.run(inbox.refuse(order()[:100], PEER, False)))

    assert (answer.code, answer.error, answer.field("MSA", 2)) == ("AR", "207", "C1")
    assert journal(store) == []


def test_even_an_unreadable_beginning_is_answered(inbox: Inbox) -> None:
    assert Answer(asyncio.run(inbox.refuse(b"noise", PEER, True))).code == "AE"


def test_a_message_of_ten_megabytes_is_taken(inbox: Inbox, store: Database) -> None:
    raw = order() + b"NTE|1||" + b"x" * 10_000_000 + b"\r"

    assert ask(inbox, raw).code == "AA"
    assert len(journal(store)[0].raw) == len(raw)


def test_one_more_message_type_is_one_reader_and_one_row(site: Site, store: Database, writer: Writer) -> None:
    def read_result(message: Message, received: ReceivedMessage, site: Any) -> KeepMessage:
        return KeepMessage(received, Outcome.IGNORED)

    inbox = tiny_inbox(site, store, writer, TinyVerb(), readers={("ORU", "R01"): read_result})

    assert ask(inbox, order(type="ORU^R01")).code == "AA"
    assert ask(inbox, order(type="ORU^R99")).error == "201"
    assert [row.outcome for row in journal(store)] == ["ignored", "rejected"]


def test_a_reader_that_refuses_is_located(site: Site, store: Database, writer: Writer) -> None:
    def refuse(message: Message, received: ReceivedMessage, site: Any) -> KeepMessage:
        return KeepMessage(received, Outcome.REJECTED, refusal=Refusal(Cause.MISSING, "PatientName"))

    inbox = tiny_inbox(site, store, writer, TinyVerb(), readers={("ORM", "O01"): refuse})

    answer = ask(inbox, order())

    assert (answer.error, answer.location) == ("101", "PID^1^5")


def test_delimiters_and_ends_of_segments_of_the_senders_choice_are_taken(inbox: Inbox) -> None:
    table = str.maketrans({"|": "!", "^": "$", "~": "%", "\\": "*", "&": "#", "\r": "\n"})
    raw = order().decode().translate(table).encode()

    answer = ask(inbox, raw)

    assert (answer.code, answer.field("MSA", 2)) == ("AA", "C1")


def test_the_log_names_the_message_and_nobody(inbox: Inbox) -> None:
    with structlog.testing.capture_logs() as logs:
        ask(inbox, order())
        ask(inbox, order(patient=""))

    assert [line["event"] for line in logs if line["event"] == "hl7.message"] == ["hl7.message"] * 2
    assert not any(word in repr(logs) for word in ("Doe", "Jane", "P1", "19800102"))


def _kept(raw: bytes) -> KeepMessage:
    site = load(None)
    received = ReceivedMessage(raw, PEER, SettableClock().now(), site.sender("", ""))
    return KeepMessage(received, Outcome.IGNORED)
