"""Worklist answers from the database: whole, each step once, and nothing held while a peer takes its time."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO

import pytest
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_dataset
from pydicom.uid import ImplicitVRLittleEndian
from sqlalchemy import update

from broker.dicom.contract import Command, Context, Peer, Reply, Request
from broker.dicom.worklist import COMPUTED_AT_ONCE, WorklistService
from broker.site.profile import load
from broker.store.database import Database
from broker.store.tables import scheduled_steps
from broker.workflow.answer_worklist import PAGE_STEPS
from tests.kit.steps import PlannedStep, put_steps

SITE = load(None)
MANY = 2 * PAGE_STEPS + 50


def step(number: int) -> PlannedStep:
    return PlannedStep(
        step_id=f"S{number}", accession=f"A{number}", start_at=f"20260302{number // 60:02d}{number % 60:02d}00"
    )


def request(accession: str = "", cancelled: bool = False) -> Request:
    asked = Dataset()
    asked.AccessionNumber = accession
    buffer = DicomBytesIO()
    buffer.is_implicit_VR, buffer.is_little_endian = True, True
    write_dataset(buffer, asked)
    return Request(
        peer=Peer("CT9", "BROKER", "127.0.0.1"),
        context=Context("1.2.840.10008.5.1.4.31", str(ImplicitVRLittleEndian)),
        command=Command.C_FIND,
        message_id=1,
        sop_class_uid="1.2.840.10008.5.1.4.31",
        sop_instance_uid="",
        dataset=BytesIO(buffer.getvalue()),
        cancelled=lambda: cancelled,
    )


def accessions(replies: Iterator[Reply]) -> list[str]:
    found = [read_dataset(BytesIO(dataset), True, True) for reply in replies for dataset in reply.datasets]
    return [str(answer.AccessionNumber) for answer in found]


def test_an_answer_of_many_pages_holds_every_step_once_and_in_order(database: Database) -> None:
    put_steps(database, SITE.rows, [step(number) for number in range(MANY)])

    found = accessions(WorklistService(database, SITE)(request()))

    assert found == [f"A{number}" for number in range(MANY)]


def test_a_step_that_moves_behind_the_next_page_comes_once(database: Database) -> None:
    put_steps(database, SITE.rows, [step(number) for number in range(MANY)])
    replies = WorklistService(database, SITE)(request())
    first = next(replies)
    with database.write() as tx:
        tx.execute(update(scheduled_steps).where(scheduled_steps.c.id == 1).values(start_at="20260303000000"))

    found = accessions(iter([first, *replies]))

    assert sorted(found) == sorted(f"A{number}" for number in range(MANY))


def test_peers_that_do_not_read_keep_nobody_from_being_answered(database: Database) -> None:
    put_steps(database, SITE.rows, [step(number) for number in range(MANY)])
    service = WorklistService(database, SITE)
    slow = [service(request()) for _ in range(COMPUTED_AT_ONCE + 10)]
    for replies in slow:
        next(replies)

    assert accessions(service(request("A7"))) == ["A7"]
    assert [len(accessions(replies)) for replies in slow] == [MANY - PAGE_STEPS] * len(slow)


def test_a_cancelled_query_ends_as_cancelled(database: Database) -> None:
    put_steps(database, SITE.rows, [step(number) for number in range(MANY)])

    replies = list(WorklistService(database, SITE)(request(cancelled=True)))

    assert [reply.status for reply in replies] == [0xFE00]


@pytest.mark.parametrize("database_kind", ["postgresql"], indirect=True)
def test_a_query_after_the_server_cut_all_connections_is_answered(database, database_url, databases) -> None:
    put_steps(database, SITE.rows, [step(1)])
    service = WorklistService(database, SITE)
    assert accessions(service(request())) == ["A1"]
    databases.cut_connections(database_url)

    found = accessions(service(request()))

    assert found == ["A1"]
