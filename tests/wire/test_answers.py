"""One message, one answer, always: what the HL7 door says and where it says the error is."""

from __future__ import annotations

import random

import pytest

from tests.kit.messages import Case, without
from tests.kit.mllp import COMMIT_BLOCK, END, REFUSE_BLOCK, START, Sender


def test_an_accepted_order_gets_aa_with_swapped_names_and_a_control_id_of_our_own(broker, case):
    answer = broker.send(case.order(header={"control_id": "C001"}))

    assert answer.code == "AA"
    assert answer.field("MSA", 2) == "C001"
    assert answer.field("MSH", 10) not in ("", "C001")
    assert answer.field("MSH", 3) == "MWLBROKER"
    assert answer.field("MSH", 4) == "RAD"
    assert answer.field("MSH", 5) == "OF"
    assert answer.field("MSH", 6) == "HOSP"
    assert answer.field("MSH", 11) == "P"
    assert answer.field("MSH", 9) == "ACK^O01"
    assert answer.field("ERR", 1) == ""


def test_a_message_type_that_nobody_handles_is_rejected_with_200_and_places_nothing(broker, case):
    answer = broker.send(case.order(header={"message_type": "XYZ^O01"}))

    assert (answer.code, answer.error) == ("AR", "200")
    assert broker.items(case) == []


def test_an_event_that_nobody_handles_is_rejected_with_201(broker, case):
    answer = broker.send(case.order(header={"message_type": "ORM^O99"}))

    assert (answer.code, answer.error) == ("AR", "201")
    assert broker.items(case) == []


@pytest.mark.parametrize("processing_id", ["X", "T", "D"])
def test_a_processing_id_other_than_production_is_rejected_with_202(broker, case, processing_id):
    answer = broker.send(case.order(header={"processing_id": processing_id}))

    assert (answer.code, answer.error) == ("AR", "202")
    assert broker.items(case) == []


@pytest.mark.parametrize("version", ["2.3", "2.3.1", "2.4", "2.5", "2.5.1"])
def test_each_supported_version_is_accepted_and_answered_in_that_version(broker, case, version):
    answer = broker.send(case.order(header={"version": version}))

    assert answer.code == "AA"
    assert answer.field("MSH", 12) == version
    assert len(broker.items(case)) == 1


@pytest.mark.parametrize("version", ["2.2", "2.6", "3.0", "elephant"])
def test_any_other_version_is_rejected_with_203(broker, case, version):
    answer = broker.send(case.order(header={"version": version}))

    assert (answer.code, answer.error) == ("AR", "203")
    assert broker.items(case) == []


def test_requests_for_enhanced_mode_still_get_exactly_one_original_answer(broker, case):
    message = case.order().replace(b"|P|2.3.1|||", b"|P|2.3.1|||AL|AL", 1)

    with Sender(broker.hl7_port) as sender:
        first = sender.send(message)
        second = sender.send(case.order())

    assert first.code == "AA"
    assert second.code == "AA"


def test_an_order_without_a_patient_id_is_refused_with_101_at_pid_3(broker, case):
    answer = broker.send(case.order(header={"patient": ""}))

    assert (answer.code, answer.error, answer.location) == ("AE", "101", "PID^1^3")
    assert broker.scanner().items(AccessionNumber=case.accession) == []


def test_an_order_without_a_patient_name_is_refused_with_101_at_pid_5(broker, case):
    answer = broker.send(case.order(header={"name": ""}))

    assert (answer.code, answer.error, answer.location) == ("AE", "101", "PID^1^5")
    assert broker.items(case) == []


def test_from_version_2_5_on_the_error_has_fields_of_its_own(broker, case):
    answer = broker.send(case.order(header={"patient": "", "version": "2.5.1"}))

    assert answer.field("ERR", 2).startswith("PID^1^3")
    assert answer.field("ERR", 3).startswith("101^")
    assert answer.field("ERR", 4) == "E"
    assert answer.field("MSH", 9) == "ACK^O01^ACK"


def test_a_repeat_gets_the_same_bytes_again_and_changes_nothing(broker, case):
    message = case.order()

    first, second = broker.send(message), broker.send(message)

    assert first.code == "AA"
    assert second.raw == first.raw
    assert len(broker.items(case)) == 1


def test_a_repeat_of_a_refused_message_is_processed_anew(broker, case):
    cancel = case.order(control="CA", order_time="20260301080000")

    first = broker.send(cancel)
    broker.send(case.order(order_time="20260301090000"))
    second = broker.send(cancel)

    assert (first.code, first.error) == ("AE", "204")
    assert second.code == "AA"
    assert broker.outcome(second) == "superseded"


def test_messages_without_a_control_id_are_never_taken_for_repeats(broker, case):
    message = case.order(header={"control_id": ""})

    first, second = broker.send(message), broker.send(message)

    assert (first.code, second.code) == ("AA", "AA")
    assert first.field("MSH", 10) != second.field("MSH", 10)


def test_a_message_in_pieces_of_seven_bytes_is_one_message(broker, case):
    framed = START + case.order() + END

    with Sender(broker.hl7_port) as sender:
        for offset in range(0, len(framed), 7):
            sender.write(framed[offset : offset + 7])
        answer = sender.read()

    assert answer is not None
    assert answer.code == "AA"


def test_two_messages_in_one_write_get_two_answers_in_their_order(broker):
    first, second = Case(), Case()

    with Sender(broker.hl7_port) as sender:
        one, two = first.order(header={"control_id": "ONE"}), second.order(header={"control_id": "TWO"})
        sender.write(START + one + END + START + two + END)
        answers = [sender.read(), sender.read()]

    assert [answer and answer.field("MSA", 2) for answer in answers] == ["ONE", "TWO"]
    assert [answer and answer.code for answer in answers] == ["AA", "AA"]


def test_garbage_on_one_connection_harms_no_other(broker, case):
    noise = bytes(byte for byte in random.Random(11).randbytes(200) if byte != 0x0B)

    with Sender(broker.hl7_port) as noisy:
        noisy.write(noise)
        answer = broker.send(case.order())

    assert answer.code == "AA"


def test_a_block_that_is_no_hl7_is_rejected_and_the_connection_goes_on(broker, case):
    with Sender(broker.hl7_port) as sender:
        first = sender.send(b"GET / HTTP/1.1")
        second = sender.send(case.order())

    assert first.code == "AR"
    assert second.code == "AA"


def test_other_delimiters_are_read_from_the_header(broker, case):
    plain = case.order(header={"name": "Doe^Jane^A"}).replace(b"MSH|^~\\&|", b"MSH\x00", 1)
    swapped = plain.translate(bytes.maketrans(b"|^~\\&", b"!$%*#")).replace(b"MSH\x00", b"MSH!$%*#!", 1)

    answer = broker.send(swapped)

    item = broker.item(case)
    assert answer.code == "AA"
    assert str(item.PatientName) == "Doe^Jane^A"
    assert item.AccessionNumber == case.accession


@pytest.mark.parametrize("terminator", [b"\n", b"\r\n"])
def test_other_segment_terminators_are_tolerated(broker, case, terminator):
    answer = broker.send(case.order().replace(b"\r", terminator))

    assert answer.code == "AA"
    assert broker.item(case).StudyInstanceUID == case.study_uid


def test_a_commit_block_of_mllp_release_2_is_ignored(broker):
    with Sender(broker.hl7_port) as sender:
        first = sender.send(Case().order())
        sender.write(COMMIT_BLOCK + REFUSE_BLOCK)
        second = sender.send(Case().order(header={"control_id": "NEXT"}))

    assert first.code == "AA"
    assert (second.code, second.field("MSA", 2)) == ("AA", "NEXT")


def test_a_half_closed_sender_gets_all_its_answers(broker):
    with Sender(broker.hl7_port) as sender:
        sender.write(b"".join(START + Case().order() + END for _ in range(3)))
        sender.half_close()
        answers = [sender.read() for _ in range(4)]

    assert [answer.code if answer else None for answer in answers] == ["AA", "AA", "AA", None]


def test_a_message_that_stops_half_way_is_no_order_and_stops_nobody(broker, case):
    other = Case()

    with Sender(broker.hl7_port) as broken:
        broken.write(START + case.order()[:150])
        answer = broker.send(other.order())

    assert answer.code == "AA"
    assert broker.items(case) == []


def test_a_message_of_ten_megabytes_is_taken(broker, case):
    report = "NTE|1||" + "x" * 10_000_000

    answer = broker.send(case.order(extra=(report,)))

    assert answer.code == "AA"
    assert len(broker.items(case)) == 1


@pytest.mark.parametrize(
    "header",
    [{"message_time": ""}, {"message_type": "ORM^O01^ORM_O01"}, {"message_type": "ORM^O01"}],
    ids=["no MSH-7", "with structure", "without structure"],
)
def test_small_faults_of_the_header_are_no_reason_to_refuse(broker, case, header):
    answer = broker.send(case.order(header={"version": "2.5.1", **header}))

    assert answer.code == "AA"


def test_a_message_without_any_order_is_refused_with_101(broker, case):
    message = case.order()
    for segment in ("ORC", "OBR", "ZDS"):
        message = without(message, segment)

    answer = broker.send(message)

    assert (answer.code, answer.error) == ("AE", "101")
    assert answer.location.startswith("ORC")
