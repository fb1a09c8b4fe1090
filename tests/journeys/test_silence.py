"""What the serving process prints and logs holds no patient: no name, no number, no date of birth, no free text."""

from __future__ import annotations

import pytest
from pydicom.uid import generate_uid

from broker.simulators.modality import worklist_query
from tests.kit.messages import without
from tests.kit.mllp import END, START, Sender
from tests.kit.processes import ServedBroker
from tests.kit.scanner import changed

NAME, GIVEN, NUMBER, BIRTH = "Zyxwvut", "Quirinius", "PNUM778899", "19340917"
REASON, ADDRESS, VISIT = "obscurecough", "Verywell Lane", "VISIT445566"
SECRETS = (NAME, GIVEN, NUMBER, BIRTH, REASON, ADDRESS, VISIT)
HEADER = {
    "patient": f"{NUMBER}^^^HOSP",
    "name": f"{NAME}^{GIVEN}",
    "birth_date": BIRTH,
    "address": f"{ADDRESS}^^Town",
    "visit": VISIT,
}


@pytest.mark.filterwarnings("ignore::UserWarning")  # pydicom's, on our side, about the odd values that we send
@pytest.mark.parametrize(("log", "processes"), [("text", "0"), ("json", "0"), ("json", "2")])
def test_neither_output_nor_log_of_the_serving_process_names_a_patient(databases, tmp_path, case, log, processes):
    with (
        databases.fresh("sqlite", tmp_path) as url,
        ServedBroker(tmp_path / "data", url, "--log", log, "--dicom-processes", processes) as broker,
    ):
        _good_morning(broker, case)
        _bad_morning(broker, case)

    printed = broker.printed()
    assert case.accession in printed or "hl7" in printed.lower()
    assert [secret for secret in SECRETS if secret.lower() in printed.lower()] == []
    assert "Traceback" not in printed


def _good_morning(broker, case):
    scanner = broker.scanner()
    assert broker.send(case.order(reason=f"^{REASON}", header=HEADER)).code == "AA"
    item = scanner.item(PatientName=f"{NAME}*", PatientID=NUMBER, PatientBirthDate=BIRTH)
    uid, _ = scanner.start(item)
    image = scanner.take(item)
    assert scanner.store(image, changed(image, InstanceNumber=7)) == [0x0000, 0x0000]
    assert scanner.end(uid, [image]) == 0x0000


def _bad_morning(broker, case):
    """Everything that is refused, kept aside or alarmed while a patient is in hand."""
    scanner = broker.scanner()
    refused = [
        case.order(header={**HEADER, "patient": ""}),
        case.order(header={**HEADER, "name": ""}),
        case.order(control="ZZ", header=HEADER),
        case.order(start=f"{NAME}", header=HEADER),
        case.order(accession=f"{NUMBER}-MUCH-TOO-LONG", header=HEADER),
        case.order(control="CA", header=HEADER),
        case.order(control="XO", header={**HEADER, "patient": f"X{NUMBER}^^^HOSP"}),
        case.order(encoding="latin-1", header={**HEADER, "name": f"{NAME}\xfc^{GIVEN}", "charset": "UNICODE UTF-8"}),
        case.order(header={**HEADER, "message_type": f"{NAME}^O01"}),
        case.order(header={**HEADER, "version": NAME}),
        without(case.order(header=HEADER), "MSH"),
    ]
    for message in refused:
        broker.send(message)
    with Sender(broker.ports["hl7"]) as broken:
        broken.write(START + case.order(header=HEADER)[:-5])
    with Sender(broker.ports["hl7"]) as noise:
        noise.write(case.order(header=HEADER) + END)
    broker.send(case.order(placer=f"{case.placer}X^OP", filler="", accession="", study_uid="", header=HEADER))
    item = scanner.items(PatientID=NUMBER)[0]
    wrong = changed(item, PatientID=f"X{NUMBER}")
    scanner.start(wrong)
    scanner.start(item, PerformedStationAETitle=None)
    scanner.start(item, PerformedProcedureStepStatus=NAME.upper())
    scanner.end(generate_uid(prefix=None), PatientName=f"{NAME}^{GIVEN}")
    scanner.store(scanner.take(wrong))
    odd = {"PatientBirthDate": f"{BIRTH}X", "PatientName": NAME * 20, "SpecificCharacterSet": "ISO_IR 999"}
    scanner.start(changed(item, **odd))
    scanner.store(scanner.take(item, **odd), scanner.take(item, PatientID=f"{NUMBER}\\{NUMBER}", PatientAge=NAME))
    scanner.find(worklist_query({}, {**odd, "PatientID": f"{NUMBER}?*"}))
    truncated = scanner.take(item)
    truncated.PatientComments = REASON * 3_000
    scanner.store(truncated)
