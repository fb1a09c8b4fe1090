"""The simulated RIS writes messages that a stranger's parser reads back."""

from __future__ import annotations

import socket
import threading
from datetime import datetime

import hl7
import pytest

from broker.simulators.mllp import Acknowledgement, MllpError, MllpSender
from broker.simulators.ris import CODECS, Ris, RisOrder, RisPatient, build_orm

AT = datetime(2026, 3, 1, 9, 0)
PATIENT = RisPatient("4711", "Brook", "Clara", birth_date="19710423", sex="F", visit_number="V9001")
ORDER = RisOrder(
    "NW",
    "PO1",
    "FO1",
    status="SC",
    accession="ACC1",
    procedure_id="RP1",
    step_id="SPS1",
    study_uid="2.25.1",
    modality="CT",
    station="CT1",
    procedure=("CTCHEST", "CT of the chest"),
    start=datetime(2026, 3, 2, 10, 15),
    ordered_at=AT,
    reason="cough",
)
ACK = b"MSH|^~\\&|MWLBROKER|RAD|RIS|HOSP|20260301090001||ACK^O01|B1|P|2.3.1\rMSA|AA|RIS000001\r"


@pytest.fixture
def receiver():
    """A port where the given bytes are said to whoever speaks first, and what was heard there."""
    listening = socket.create_server(("127.0.0.1", 0))
    heard: list[bytes] = []

    def serve(answer: bytes) -> None:
        connection, _ = listening.accept()
        with connection:
            data = b""
            while not data.endswith(b"\x1c\x0d"):
                data += connection.recv(65536)
            heard.append(data)
            connection.sendall(answer)

    def start(answer: bytes) -> tuple[int, list[bytes]]:
        threading.Thread(target=serve, args=(answer,), daemon=True).start()
        return listening.getsockname()[1], heard

    yield start
    listening.close()


def built(*orders: RisOrder, patient: RisPatient = PATIENT, version: str = "2.3.1", charset: str = "") -> str:
    ris = Ris.__new__(Ris)
    ris.application, ris.facility, ris.version, ris.charset = "RIS", "HOSP", version, charset
    return build_orm(ris, patient, orders, "C1", AT)


def test_every_value_stands_in_its_field():
    message = hl7.parse(built(ORDER))

    assert str(message["PID.F3.R1.C1"]) == "4711"
    assert str(message["PID.F5.R1.C2"]) == "Clara"
    assert str(message["PV1.F19"]) == "V9001"
    assert str(message.segment("ORC")[1]) == "NW"
    assert str(message.segment("ORC")[5]) == "SC"
    assert str(message["ORC.F7.R1.C4"]) == "20260302101500"
    assert str(message.segment("ORC")[9]) == "20260301090000"
    assert str(message.segment("ORC")[18]) == "CT1"
    assert [str(message.segment("OBR")[field]) for field in (18, 19, 20, 24)] == ["ACC1", "RP1", "SPS1", "CT"]
    assert str(message["OBR.F31.R1.C2"]) == "cough"
    assert str(message["ZDS.F1.R1.C1"]) == "2.25.1"


def test_each_order_has_a_group_of_its_own():
    message = hl7.parse(built(ORDER, RisOrder("CA", "PO2")))

    assert [str(segment[0]) for segment in message] == ["MSH", "PID", "PV1", "ORC", "OBR", "ZDS", "ORC", "OBR"]


def test_delimiters_in_a_text_are_escaped():
    text = built(RisOrder("NW", "PO1", reason="a|b^c&d~e\\f"))

    assert "a\\F\\b\\S\\c\\T\\d\\R\\e\\E\\f" in text


@pytest.mark.parametrize(("version", "message_type"), [("2.3.1", "ORM^O01"), ("2.5.1", "ORM^O01^ORM_O01")])
def test_the_header_speaks_the_version(version, message_type):
    message = hl7.parse(built(ORDER, version=version))

    assert str(message.segment("MSH")[9]) == message_type
    assert str(message.segment("MSH")[12]) == version


@pytest.mark.parametrize(
    ("charset", "name"),
    [
        ("8859/1", "Müßig"),
        ("8859/5", "Иванов"),
        ("8859/15", "Šimková"),
        ("ISO IR87", "山田"),
        ("UNICODE UTF-8", "山田"),
    ],
)
def test_a_name_can_be_written_in_the_sender_s_character_set(charset, name):
    text = built(ORDER, patient=RisPatient("1", name, "X"), charset=charset)

    assert hl7.parse(text.encode(CODECS[charset]).decode(CODECS[charset]))["PID.F5.R1.C1"] == name
    assert f"|{charset}\r" in text


def test_an_order_is_sent_and_its_answer_read(receiver):
    port, heard = receiver(b"\x0b" + ACK + b"\x1c\x0d")

    with Ris("127.0.0.1", port) as ris:
        answer = ris.order(PATIENT, ORDER, at=AT)

    assert answer.accepted
    assert answer.control_id == "RIS000001"
    assert heard[0].startswith(b"\x0bMSH|")


def test_a_refusal_tells_its_text():
    refusal = ACK.replace(b"MSA|AA|RIS000001", b"MSA|AE|RIS000001|no such order\rERR|ORC^1^2^204&x&HL70357")

    answer = Acknowledgement(refusal)

    assert not answer.accepted
    assert (answer.code, answer.text) == ("AE", "no such order")


def test_a_connection_that_closes_instead_of_answering_is_an_error(receiver):
    port, _ = receiver(b"")

    with MllpSender("127.0.0.1", port, timeout_seconds=5) as sender, pytest.raises(MllpError):
        sender.exchange(b"MSH|")


def test_a_receiver_that_never_answers_is_not_waited_for_longer_than_the_limit():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with MllpSender("127.0.0.1", port, timeout_seconds=0.2) as sender, pytest.raises(TimeoutError):
            sender.exchange(b"MSH|")
