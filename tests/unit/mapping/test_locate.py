"""Places that refusals point at."""

from __future__ import annotations

import pytest

from broker.domain.request import Cause, Refusal
from broker.mapping.messages.locate import locate
from tests.unit.mapping.reading import ROWS, STEP, message, order

TWO = (*order(obr={2: "PO1"}), *order(orc={2: "", 7: "^^^20260302"}, obr={2: "PO2", 27: "^^^20260303"})[1:], "ZDS|1.2")


@pytest.mark.parametrize(
    ("subject", "group", "place"),
    [
        ("PatientID", 0, "PID^1^3"),
        ("PatientName", 0, "PID^1^5"),
        ("AccessionNumber", 1, "OBR^1^18"),
        ("AccessionNumber", 2, "OBR^2^18"),
        ("PlacerOrderNumberImagingServiceRequest", 1, "ORC^1^2"),
        ("PlacerOrderNumberImagingServiceRequest", 2, "OBR^2^2"),
        (STEP + "ScheduledProcedureStepStartDate", 2, "ORC^2^7^1^4"),
        ("StudyInstanceUID", 2, "ZDS^1^1"),
        ("StudyInstanceUID", 1, "ZDS^1^1"),
        ("IssuerOfAdmissionIDSequence", 0, "PID^1^18^1^4"),
        ("ORC-1", 2, "ORC^2^1"),
        ("PID-3.4", 0, "PID^1^3^1^4"),
        ("MSH-7", 0, "MSH^1^7"),
        ("ORC", 0, "ORC^1"),
        ("IssuerOfPatientID", 0, ""),
        ("nonsense", 0, ""),
        ("", 0, ""),
        ("PatientID", 99, "PID^1^3"),
    ],
)
def test_a_refusal_points_at_its_place(subject: str, group: int, place: str) -> None:
    assert locate(message(*TWO), Refusal(Cause.MISSING, subject, group), ROWS) == place


def test_a_message_without_the_segment_still_names_it() -> None:
    assert locate(message("PV1||O"), Refusal(Cause.MISSING, "PatientID"), ROWS) == "PID^1^3"
