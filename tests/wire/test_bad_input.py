"""Foreign and broken input: the protocol's own answer, the same on every database, and no harm to anybody else."""

from __future__ import annotations

from io import BytesIO

import pytest
from pydicom.uid import SecondaryCaptureImageStorage, generate_uid
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import C_FIND, C_STORE, N_CREATE
from pynetdicom.sop_class import ModalityPerformedProcedureStep, ModalityWorklistInformationFind

from tests.kit.messages import Case, without
from tests.kit.mllp import END, START, Sender
from tests.kit.scanner import changed

LONG = "L" * 1_000

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # pydicom's, on our side, about what we send


def still_works(broker):
    """An order of somebody else is accepted and listed."""
    other = Case()
    return broker.send(other.order()).code == "AA" and len(broker.items(other)) == 1


@pytest.mark.parametrize(
    "header",
    [
        {"application": LONG},
        {"facility": LONG},
        {"control_id": LONG},
        {"charset": LONG},
        {"message_time": LONG},
        {"birth_date": LONG},
        {"sex": LONG},
        {"visit": LONG},
        {"account": LONG},
        {"address": LONG},
        {"name": f"{LONG}^{LONG}"},
        {"patient": f"P1^^^{LONG}&{LONG}&{LONG}"},
        {"ambulatory": LONG},
    ],
    ids=lambda header: next(iter(header)),
)
def test_a_value_of_a_thousand_characters_gets_a_verdict_and_not_try_again(broker, case, header):
    answer = broker.send(case.order(header=header))

    assert answer.code in ("AA", "AE")
    assert answer.error != "207"
    assert still_works(broker)


@pytest.mark.parametrize(
    "field",
    ["placer", "filler", "accession", "procedure_id", "step_id", "study_uid", "modality", "device", "procedure",
     "procedure_code", "clinical", "reason", "technician", "start", "order_time", "control", "status"],
)  # fmt: skip
def test_a_thousand_characters_in_any_field_of_an_order_get_a_verdict(broker, case, field):
    answer = broker.send(case.order(**{field: LONG}))

    assert answer.code in ("AA", "AE")
    assert answer.error != "207"
    assert still_works(broker)


@pytest.mark.parametrize(
    "field", ["placer", "accession", "step_id", "study_uid", "modality", "device", "reason", "procedure"]
)
def test_a_nul_character_in_a_field_gets_a_verdict(broker, case, field):
    answer = broker.send(case.order(**{field: f"{case.number}\0X"}))

    assert answer.code in ("AA", "AE")
    assert answer.error != "207"
    assert still_works(broker)


@pytest.mark.parametrize("part", ["name", "patient", "control_id", "application", "birth_date", "version", "charset"])
def test_a_nul_character_in_the_header_or_the_patient_gets_a_verdict(broker, case, part):
    answer = broker.send(case.order(header={part: f"{case.number}\0X"}))

    assert answer.code in ("AA", "AE", "AR")
    assert answer.error != "207"
    assert still_works(broker)


@pytest.mark.parametrize("charset", ["8859/99", "NONSENSE", "UNICODE UTF-8~ISO IR87", "unicode utf-8", "~"])
def test_an_unknown_character_set_is_no_reason_to_refuse(broker, case, charset):
    answer = broker.send(case.order(header={"charset": charset}))

    assert answer.code == "AA"
    assert len(broker.items(case)) == 1


def test_bytes_that_do_not_fit_the_character_set_are_replaced_and_the_order_kept(broker, case):
    message = case.order(reason="^Schw\xe4che", header={"charset": "UNICODE UTF-8"}, encoding="latin-1")

    answer = broker.send(message)

    assert answer.code == "AA"
    assert len(broker.items(case)) == 1


@pytest.mark.parametrize("part", ["X\0Y", "X" * 300])
def test_an_issuer_that_cannot_be_kept_is_a_fault_of_the_patient_number(broker, case, part):
    answer = broker.send(case.order(header={"patient": f"P1^^^{part}"}))

    assert (answer.code, answer.error, answer.location) == ("AE", "102", "PID^1^3")


def test_a_patient_number_that_is_too_long_is_refused_with_102_at_pid_3(broker, case):
    answer = broker.send(case.order(header={"patient": "9" * 65 + "^^^HOSP"}))

    assert (answer.code, answer.error, answer.location) == ("AE", "102", "PID^1^3")


@pytest.mark.parametrize("missing", ["PID", "PV1", "ZDS", "OBR", "ORC"])
def test_a_message_without_one_of_its_segments_gets_a_verdict(broker, case, missing):
    answer = broker.send(without(case.order(), missing))

    expected = {"PID": ("AE", "PID^1^3"), "ORC": ("AE", "ORC^1")}.get(missing, ("AA", ""))
    assert answer.code == expected[0]
    assert answer.location.startswith(expected[1])
    assert still_works(broker)


def test_many_orders_in_one_message_are_all_placed(broker, case):
    groups = [
        case.group(
            placer=f"{case.placer}-{n}",
            filler="",
            accession=f"{case.number}A{n}",
            procedure_id=f"{case.number}R{n}",
            step_id=f"{case.number}S{n}",
            study_uid="",
        )
        for n in range(200)
    ]

    answer = broker.send(case.message(*groups))

    assert answer.code == "AA"
    assert len(broker.items(case)) == 200


def test_more_than_a_thousand_orders_in_one_message_are_refused(broker, case):
    answer = broker.send(case.message(*[case.plain(placer=f"{case.placer}-{n}") for n in range(1_001)]))

    assert answer.code in ("AE", "AR")
    assert answer.error != "207"
    assert broker.items(case) == []


def test_a_message_beyond_the_limit_is_refused_or_cut_off_and_the_next_sender_served(broker_with, case):
    broker = broker_with(hl7_message_bytes=100_000)

    with Sender(broker.hl7_port) as sender:
        try:
            sender.write(START + case.order(extra=("NTE|1||" + "x" * 3_000_000,)) + END)
            answer = sender.read()
        except OSError:
            answer = None

    assert answer is None or answer.code in ("AE", "AR")
    assert broker.items(case) == []
    assert still_works(broker)


def test_a_silent_connection_is_closed_after_its_limit(broker_with):
    broker = broker_with(hl7_idle_seconds=0.5)

    with Sender(broker.hl7_port) as sender:
        assert sender.read() is None


def test_half_a_message_is_cut_off_after_its_limit(broker_with, case):
    broker = broker_with(hl7_message_seconds=0.5)

    with Sender(broker.hl7_port) as sender:
        sender.write(START + case.order()[:80])
        answer = sender.read()

    assert answer is None or answer.code in ("AE", "AR")
    assert still_works(broker)


def test_one_connection_too_many_is_closed_and_the_others_go_on(broker_with, case):
    broker = broker_with(hl7_connections=2)

    with Sender(broker.hl7_port) as first, Sender(broker.hl7_port) as second:
        accepted = [first.send(Case().order()).code, second.send(Case().order()).code]
        with Sender(broker.hl7_port) as third:
            refused = third.read()
        again = first.send(case.order()).code

    assert accepted == ["AA", "AA"]
    assert refused is None
    assert again == "AA"


@pytest.fixture
def ordered(broker, case):
    """The worklist item of the case's order."""
    broker.send(case.order())
    return broker.item(case)


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("PatientID", "9" * 200),
        ("PatientID", "a\\b"),
        ("PatientName", "N" * 300),
        ("IssuerOfPatientID", "I" * 300),
        ("AccessionNumber", "A" * 100),
        ("StudyInstanceUID", "1." + "2" * 100),
        ("SeriesInstanceUID", "1." + "2" * 100),
        ("StudyInstanceUID", None),
        ("SeriesInstanceUID", None),
        ("StudyInstanceUID", ""),
        ("Modality", "M" * 60),
        ("Modality", None),
        ("PatientID", None),
        ("PatientBirthDate", "yesterday"),
        ("StudyDate", "32.13.1999"),
        ("SpecificCharacterSet", "ISO_IR 999"),
    ],
)
def test_an_image_with_a_strange_value_is_kept_or_refused_as_its_own_fault(broker, case, ordered, keyword, value):
    scanner = broker.scanner()
    image = scanner.take(ordered, **{keyword: value})

    status = scanner.store(image)[0]

    assert status == 0x0000 or 0xA900 <= status <= 0xA9FF or 0xC000 <= status <= 0xCFFF
    if status == 0x0000:
        assert broker.file_of(image.SOPInstanceUID).exists()
    assert scanner.store(scanner.take(ordered)) == [0x0000]


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("PatientID", "9" * 200),
        ("PatientName", "N" * 300),
        ("PerformedProcedureStepID", "P" * 100),
        ("PerformedProcedureStepID", "P\0P"),
        ("PerformedStationAETitle", "S" * 16),
        ("PerformedProcedureStepStartDate", "yesterday"),
        ("PerformedProcedureStepStartTime", "noon"),
        ("Modality", "M" * 60),
        ("SpecificCharacterSet", "ISO_IR 999"),
        ("ScheduledStepAttributesSequence", []),
        ("PerformedProcedureStepStatus", "SLEEPING"),
        ("PerformedProcedureStepStatus", None),
        ("PerformedSeriesSequence", None),
    ],
)
def test_a_performed_step_with_a_strange_value_gets_a_verdict(broker, case, ordered, keyword, value):
    scanner = broker.scanner()

    _, status = scanner.start(ordered, **{keyword: value})

    assert status in (0x0000, 0x0106, 0x0120, 0x0121, 0x0116, 0x0107)
    assert scanner.start(ordered)[1] == 0x0000


@pytest.mark.parametrize(
    "keyword", ["AccessionNumber", "RequestedProcedureID", "ScheduledProcedureStepID", "StudyInstanceUID"]
)
def test_an_overlong_name_of_the_scheduled_step_gets_a_verdict(broker, ordered, keyword):
    scanner = broker.scanner()
    dataset = changed(ordered)
    target = dataset.ScheduledProcedureStepSequence[0] if keyword == "ScheduledProcedureStepID" else dataset
    setattr(target, keyword, "1" * 100)

    _, status = scanner.start(dataset)

    assert status in (0x0000, 0x0106, 0x0120, 0x0121)
    assert scanner.start(ordered)[1] == 0x0000


GARBAGE = [b"\xff" * 10, b"\x08\x00\x05\x00CS\xff\xffISO", bytes(1_000), b"\x40\x00\x00\x01SQ\0\0" + b"\xff" * 4]


@pytest.mark.parametrize("data", GARBAGE, ids=["ones", "half an element", "zeros", "a sequence without end"])
def test_a_data_set_that_does_not_parse_gets_a_failure_and_the_association_goes_on(broker, ordered, data):
    scanner = broker.scanner()

    with scanner.association() as association:
        statuses = [raw_request(association, request, data) for request in (a_store(), a_find(), a_create())]
        echo = association.send_c_echo().Status

    assert 0x0000 not in statuses
    assert 0xFF00 not in statuses
    assert echo == 0x0000
    assert scanner.store(scanner.take(ordered)) == [0x0000]


def a_store() -> C_STORE:
    request = C_STORE()
    request.AffectedSOPClassUID = SecondaryCaptureImageStorage
    request.AffectedSOPInstanceUID = generate_uid(prefix=None)
    request.Priority = 2
    return request


def a_find() -> C_FIND:
    request = C_FIND()
    request.AffectedSOPClassUID = ModalityWorklistInformationFind
    request.Priority = 2
    return request


def a_create() -> N_CREATE:
    request = N_CREATE()
    request.AffectedSOPClassUID = ModalityPerformedProcedureStep
    request.AffectedSOPInstanceUID = generate_uid(prefix=None)
    return request


def raw_request(association: Association, request: C_STORE | C_FIND | N_CREATE, data: bytes) -> int:
    """Send a request with these bytes for its data set; the status of the answer, -1 when it ended the association."""
    field = {C_STORE: "DataSet", C_FIND: "Identifier", N_CREATE: "AttributeList"}[type(request)]
    setattr(request, field, BytesIO(data))
    request.MessageID = 7
    contexts = association.accepted_contexts
    context = next(one.context_id for one in contexts if one.abstract_syntax == request.AffectedSOPClassUID)
    association._reactor_checkpoint.clear()
    association.dimse.send_msg(request, context)
    _, response = association.dimse.get_msg(block=True)
    association._reactor_checkpoint.set()
    return -1 if response is None else int(response.Status)


def test_an_image_whose_uid_differs_from_its_command_is_refused_or_kept_under_one_name(broker, ordered):
    scanner = broker.scanner()
    image = scanner.take(ordered)
    image.file_meta.MediaStorageSOPInstanceUID = generate_uid(prefix=None)

    try:
        status = scanner.store(image)[0]
    except (ValueError, AttributeError):
        status = 0xA900  # the library refuses to send it

    assert status in (0x0000, 0xA900, 0xB007) or 0xC000 <= status <= 0xCFFF
    assert scanner.store(scanner.take(ordered)) == [0x0000]
