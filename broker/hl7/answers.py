"""From a decision to the answer's bytes: the one table from causes to the codes of HL7."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from broker.domain.request import Cause, Refusal
from broker.hl7v2.ack import AckError, AckHeader, Code, acknowledge

ANSWERS: Mapping[Cause, tuple[Code, int]] = {
    Cause.NOT_HL7: ("AR", 100),
    Cause.MESSAGE_TYPE: ("AR", 200),
    Cause.TRIGGER_EVENT: ("AR", 201),
    Cause.PROCESSING_ID: ("AR", 202),
    Cause.VERSION: ("AR", 203),
    Cause.INTERNAL: ("AR", 207),
    Cause.ORDER_CONTROL: ("AE", 101),
    Cause.MISSING: ("AE", 101),
    Cause.TOO_LONG: ("AE", 102),
    Cause.UNREADABLE: ("AE", 102),
    Cause.UNKNOWN_ORDER: ("AE", 204),
    Cause.AMBIGUOUS: ("AE", 205),
    Cause.CONTRADICTION: ("AE", 205),
    Cause.OTHER_PATIENT: ("AE", 205),
    Cause.STATE_FORBIDS: ("AE", 206),
}
"""Cause -> MSA-1 and the code of table 0357. AE: the content is wrong, and sending it again cannot help."""


def answer(header: AckHeader, refusal: Refusal | None, location: str, control_id: str, at: datetime) -> bytes:
    """AA, or what the table says, with ERR.

    location    where in the message the refusal's subject stands; "" when nowhere
    control_id  MSH-10 of the answer
    at          MSH-7 of the answer, with zone
    """
    if refusal is None:
        return acknowledge(header, "AA", control_id=control_id, at=at)
    code, number = ANSWERS[refusal.cause]
    error = AckError(number, location, refusal.text)
    return acknowledge(header, code, refusal.text, error, control_id=control_id, at=at)
