"""Both engines over real sockets, with small services: bytes, statuses, limits, cancel, stop."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Iterator
from io import BytesIO

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage, DeflatedExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEGBaseline8Bit
from pynetdicom import AE
from pynetdicom.dimse_primitives import C_FIND, C_STORE
from pynetdicom.dsutils import encode
from pynetdicom.sop_class import ModalityPerformedProcedureStep, ModalityWorklistInformationFind, Verification

from broker.dicom.contract import Command, Reply, Request
from broker.dicom.limits import DicomLimits
from broker.dicom.listener import DicomListener, EngineServer, services_by_class
from broker.errors import AlreadyRunning, SettingsError
from tests.kit.stock_engine import StockServer
from tests.kit.waiting import until

WAIT_SECONDS = 10.0
ABORT = bytes.fromhex("0700 0000 0004 0000 0000")


class Peers:
    """Everybody but STRANGER."""

    def allows(self, calling_ae_title: str, called_ae_title: str) -> bool:
        return calling_ae_title != "STRANGER"

    def answers_to(self, called_ae_title: str) -> bool:
        return True


class Services:
    """Services that note what they were asked and answer what a test wants."""

    def __init__(self) -> None:
        self.requests: list[tuple[Request, bytes]] = []
        self.replies: list[Reply] = [Reply(0x0000)]
        self.entered = threading.Event()
        self.go_on = threading.Event()
        self.go_on.set()

    def __call__(self, request: Request) -> Iterator[Reply]:
        self.requests.append((request, request.dataset.read() if request.dataset else b""))
        self.entered.set()
        assert self.go_on.wait(WAIT_SECONDS)
        if request.cancelled():
            yield Reply(0xFE00)
        yield from self.replies


@pytest.fixture
def services() -> Services:
    return Services()


@pytest.fixture(params=[EngineServer, StockServer])
def open_door(request, services):
    doors: list[DicomListener] = []

    def start(**limits: float) -> DicomListener:
        door = DicomListener(
            "127.0.0.1",
            0,
            "BROKER",
            services_by_class(services, services, services),
            Peers(),
            DicomLimits(**limits),
            make_server=request.param,
        )
        door.start()
        doors.append(door)
        return door

    yield start
    services.go_on.set()
    for door in doors:
        door.stop(0.0)


@pytest.fixture
def scanner():
    opened = []

    def associate(port: int, *contexts, ae_title: str = "CT1", called: str = "BROKER"):
        ae = AE(ae_title)
        for context in contexts or (Verification, ModalityWorklistInformationFind, ModalityPerformedProcedureStep):
            ae.add_requested_context(*(context if isinstance(context, tuple) else (context,)))
        association = ae.associate("127.0.0.1", port, ae_title=called)
        opened.append(association)
        return association

    yield associate
    for association in opened:
        association.abort() if association.is_established else None


def keys() -> Dataset:
    identifier = Dataset()
    identifier.SpecificCharacterSet = "ISO_IR 100"
    identifier.PatientName = "Müller*"
    return identifier


def test_an_echo_is_answered(open_door, scanner):
    association = scanner(open_door().port)

    assert association.send_c_echo().Status == 0x0000


def test_a_service_sees_who_asks_and_the_bytes_as_sent(open_door, scanner, services):
    identifier = keys()

    list(scanner(open_door().port).send_c_find(identifier, ModalityWorklistInformationFind, msg_id=42))

    request, sent = services.requests[0]
    assert (request.peer.calling_ae_title, request.peer.called_ae_title) == ("CT1", "BROKER")
    assert request.peer.address == "127.0.0.1"
    assert (request.command, request.message_id) == (Command.C_FIND, 42)
    assert request.sop_class_uid == ModalityWorklistInformationFind
    implicit = request.context.transfer_syntax == ImplicitVRLittleEndian
    assert sent == encode(identifier, implicit, True)


def test_answers_leave_as_the_service_made_them(open_door, scanner, services):
    answer = Dataset()
    answer.SpecificCharacterSet = "ISO_IR 192"
    answer.PatientName = "山田^太郎"
    services.replies = [Reply(0xFF01, encode(answer, True, True)), Reply(0x0000)]

    found = list(
        scanner(open_door().port, (ModalityWorklistInformationFind, ImplicitVRLittleEndian)).send_c_find(
            keys(), ModalityWorklistInformationFind
        )
    )

    assert [status.Status for status, _ in found] == [0xFF01, 0x0000]
    assert found[0][1].PatientName == "山田^太郎"


def test_a_refused_query_says_why_and_which_element(open_door, scanner, services):
    services.replies = [Reply(0xA900, comment="a key is no date", offending=(0x00400002, 0x00400003))]

    [(status, _)] = scanner(open_door().port).send_c_find(keys(), ModalityWorklistInformationFind)

    assert status.Status == 0xA900
    assert status.ErrorComment == "a key is no date"
    assert list(status.OffendingElement) == [0x00400002, 0x00400003]


def test_a_refused_set_carries_error_id_and_comment(open_door, scanner, services):
    services.replies = [Reply(0x0110, comment="the performed step is final", error_id=0xA710)]

    status, _ = scanner(open_door().port).send_n_set(keys(), ModalityPerformedProcedureStep, "1.2.3")

    assert (status.Status, status.ErrorID) == (0x0110, 0xA710)
    assert status.ErrorComment == "the performed step is final"
    assert services.requests[0][0].sop_instance_uid == "1.2.3"


def test_a_create_without_uid_reaches_its_service(open_door, scanner, services):
    services.replies = [Reply(0x0000, sop_instance_uid="1.2.840.1")]

    status, _ = scanner(open_door().port).send_n_create(keys(), ModalityPerformedProcedureStep)

    assert status.Status == 0x0000
    assert services.requests[0][0].sop_instance_uid == ""


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian, JPEGBaseline8Bit])
def test_an_object_reaches_its_service_byte_for_byte(open_door, scanner, services, syntax):
    association = scanner(open_door().port, (CTImageStorage, syntax))
    content = bytes(range(256)) * 2000
    message = C_STORE()
    message.MessageID = 1
    message.AffectedSOPClassUID = CTImageStorage
    message.AffectedSOPInstanceUID = "1.2.3"
    message.Priority = 2
    message.DataSet = BytesIO(content)
    response = exchange(association, message)

    assert response.Status == 0x0000
    request, stored = services.requests[0]
    assert stored == content
    assert request.context.transfer_syntax == syntax
    assert request.sop_instance_uid == "1.2.3"


def exchange(association, message):
    """Send a request as it is and take the first response."""
    association._reactor_checkpoint.clear()
    while not association._is_paused:
        time.sleep(0.001)
    association.dimse.send_msg(message, next(iter(association._accepted_cx)))
    _, response = association.dimse.get_msg(block=True)
    association._reactor_checkpoint.set()
    return response


def test_an_operation_that_nobody_serves_is_answered(open_door, scanner):
    status, _ = scanner(open_door().port).send_n_get([0x00100010], ModalityPerformedProcedureStep, "1.2.3")

    assert status.Status == 0x0211


def test_an_empty_query_reaches_the_service_without_dataset(open_door, scanner, services):
    message = C_FIND()
    message.MessageID = 1
    message.AffectedSOPClassUID = ModalityWorklistInformationFind
    message.Priority = 2

    response = exchange(scanner(open_door().port, ModalityWorklistInformationFind), message)

    assert response.Status == 0x0000
    assert services.requests[0][0].dataset is None


def test_a_cancel_reaches_the_service_that_answers(open_door, scanner, services):
    services.go_on.clear()
    association = scanner(open_door().port)
    answers = association.send_c_find(keys(), ModalityWorklistInformationFind, msg_id=5)
    assert services.entered.wait(WAIT_SECONDS)

    association.send_c_cancel(5, query_model=ModalityWorklistInformationFind)
    request = services.requests[0][0]
    until(request.cancelled)
    services.go_on.set()

    assert [status.Status for status, _ in answers] == [0xFE00]


def test_a_cancel_that_came_too_late_cancels_nothing(open_door, scanner, services):
    association = scanner(open_door().port)
    list(association.send_c_find(keys(), ModalityWorklistInformationFind, msg_id=5))

    association.send_c_cancel(5, query_model=ModalityWorklistInformationFind)
    found = [status.Status for status, _ in association.send_c_find(keys(), ModalityWorklistInformationFind, msg_id=5)]

    assert found == [0x0000]


def rejected(associate):
    """One that pynetdicom says was rejected; now and then it loses a rejection when the connection ends behind it."""
    for _ in range(10):
        association = associate()
        assert not association.is_established
        if association.is_rejected:
            return association
    raise AssertionError("never rejected")


def test_a_closed_door_rejects_a_caller_it_does_not_know(open_door, scanner):
    port = open_door().port

    association = rejected(lambda: scanner(port, ae_title="STRANGER"))

    answer = association.acceptor.primitive
    assert (answer.result, answer.result_source, answer.diagnostic) == (1, 1, 3)


def test_every_called_title_is_ours(open_door, scanner):
    assert scanner(open_door().port, called="SOMEBODY").is_established


def test_more_associations_than_allowed_are_rejected_and_places_come_back(open_door, scanner):
    port = open_door(associations=2).port
    first, second = scanner(port), scanner(port)

    refused = rejected(lambda: scanner(port))
    assert (refused.acceptor.primitive.result, refused.acceptor.primitive.result_source) == (2, 3)

    first.release()
    until(lambda: scanner(port).is_established)
    assert second.send_c_echo().Status == 0x0000


def test_connections_that_close_without_a_word_hold_no_place(open_door, scanner):
    port = open_door(associations=2).port
    for _ in range(6):
        socket.create_connection(("127.0.0.1", port)).close()

    until(lambda: scanner(port).is_established)


def test_a_pdu_of_four_gigabytes_closes_the_connection(open_door, scanner):
    port = open_door().port
    with socket.create_connection(("127.0.0.1", port), WAIT_SECONDS) as hostile:
        hostile.sendall(b"\x01\x00" + struct.pack(">I", 0xFFFFFFFF))
        assert last_words(hostile) in (b"", ABORT)

    assert scanner(port).send_c_echo().Status == 0x0000


def last_words(connection: socket.socket) -> bytes:
    """All that comes until the other side closes."""
    return b"".join(iter(lambda: connection.recv(1024), b""))


def test_a_peer_that_never_finishes_its_pdu_is_let_go(open_door):
    with socket.create_connection(("127.0.0.1", open_door(message_seconds=0.2).port), WAIT_SECONDS) as hostile:
        hostile.sendall(b"\x01\x00\x00\x00\x01\x00abc")

        assert last_words(hostile) in (b"", ABORT)


def test_a_message_that_is_never_finished_ends_its_association(open_door, scanner):
    association = scanner(open_door(message_seconds=0.2).port)

    # The engine says that a dataset follows, and sends none when it is empty.
    status, _ = association.send_n_create(Dataset(), ModalityPerformedProcedureStep, "1.2.3")

    assert "Status" not in status
    until(lambda: association.is_aborted)


def test_a_silent_association_is_aborted_after_its_time(open_door, scanner):
    association = scanner(open_door(network_seconds=0.2).port)

    until(lambda: association.is_aborted)


def test_bytes_that_are_no_dicom_end_the_connection_only(open_door, scanner):
    port = open_door().port
    with socket.create_connection(("127.0.0.1", port), WAIT_SECONDS) as hostile:
        hostile.sendall(b"GET / HTTP/1.1\r\nHost: broker\r\n\r\n")
        while hostile.recv(1024):
            pass

    assert scanner(port).send_c_echo().Status == 0x0000


def test_nothing_that_a_peer_sends_is_logged(open_door, scanner, capfd):
    list(scanner(open_door().port).send_c_find(keys(), ModalityWorklistInformationFind))

    told = capfd.readouterr()
    assert "ller" not in told.out + told.err


def test_a_stop_lets_the_request_in_hand_be_answered(open_door, scanner, services):
    services.go_on.clear()
    services.replies = [Reply(0xFF00, encode(keys(), True, True)), Reply(0x0000)]
    door = open_door()
    association = scanner(door.port, (ModalityWorklistInformationFind, ImplicitVRLittleEndian))
    answers = association.send_c_find(keys(), ModalityWorklistInformationFind)
    assert services.entered.wait(WAIT_SECONDS)
    stopping = threading.Thread(target=door.stop, args=(WAIT_SECONDS,))

    stopping.start()
    until(lambda: not accepts(door.port))
    services.go_on.set()

    assert [status.Status for status, _ in answers] == [0xFF00, 0x0000]
    stopping.join(WAIT_SECONDS)
    until(lambda: association.is_aborted)


def accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1.0).close()
    except OSError:
        return False
    return True


def test_a_stop_does_not_wait_longer_than_its_grace(open_door, scanner, services):
    services.go_on.clear()
    door = open_door()
    answers = scanner(door.port).send_c_find(keys(), ModalityWorklistInformationFind)
    assert services.entered.wait(WAIT_SECONDS)
    began = time.monotonic()

    door.stop(0.2)

    assert time.monotonic() - began < 2.0
    services.go_on.set()
    assert [dict(status) for status, _ in answers] in ([], [{}])


def test_a_stop_ends_idle_associations_at_once(open_door, scanner):
    door = open_door()
    associations = [scanner(door.port) for _ in range(5)]
    socket.create_connection(("127.0.0.1", door.port))
    began = time.monotonic()

    door.stop(3.0)

    assert time.monotonic() - began < 1.0
    until(lambda: all(association.is_aborted for association in associations))
    assert not door.ready()


def test_a_port_in_use_is_named(open_door):
    taken = open_door().port
    second = DicomListener("127.0.0.1", taken, "BROKER", {}, Peers())

    with pytest.raises(AlreadyRunning) as refused:
        second.start()

    assert refused.value.facts["port"] == taken


def test_an_address_that_is_not_ours_is_named():
    door = DicomListener("203.0.113.1", 0, "BROKER", {}, Peers())

    with pytest.raises(SettingsError) as refused:
        door.start()

    assert refused.value.facts["host"] == "203.0.113.1"
