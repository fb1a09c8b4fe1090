"""From a decision to the answer's bytes: the one table from causes to the codes of HL7."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from broker.domain.request import Cause, Refusal
from broker.hl7v2.ack import AckError, AckHeader, Code, acknowledge


@dataclass(frozen=True, slots=True)
class Reply:
    """code: MSA-1. error: code of table 0357. to_change: what the sender must do before it sends the message again."""

    code: Code
    error: int
    to_change: str


ANSWERS: Mapping[Cause, Reply] = {
    Cause.NOT_HL7: Reply("AR", 100, "send a message that begins with MSH, inside MLLP's frame"),
    Cause.MESSAGE_TYPE: Reply("AR", 200, "send only the types in MSH-9.1 that this broker takes"),
    Cause.TRIGGER_EVENT: Reply("AR", 201, "send only the events in MSH-9.2 that this broker takes"),
    Cause.PROCESSING_ID: Reply("AR", 202, "set MSH-11 to a word of `[hl7] processing_ids`, or add it there"),
    Cause.VERSION: Reply("AR", 203, "set MSH-12 to a version of `[hl7] versions`"),
    Cause.INTERNAL: Reply("AR", 207, "nothing: send the same message again later"),
    Cause.ORDER_CONTROL: Reply("AE", 101, "use an order control of the table, or give it a row (`[order_control]`)"),
    Cause.MISSING: Reply("AE", 101, "fill the field at the place of the error"),
    Cause.TOO_LONG: Reply("AE", 102, "shorten the value at the place of the error; identifiers are never cut"),
    Cause.TOO_MANY: Reply("AE", 102, "send it in several messages; the text names the bound that it passes"),
    Cause.UNREADABLE: Reply("AE", 102, "correct the value at the place of the error"),
    Cause.UNKNOWN_ORDER: Reply("AE", 204, "send the order (NW) first, or the number that it was sent with"),
    Cause.AMBIGUOUS: Reply("AE", 205, "name the assigning authority, or one more number, so that one record is meant"),
    Cause.CONTRADICTION: Reply("AE", 205, "send numbers that belong to the same record"),
    Cause.OTHER_PATIENT: Reply("AE", 205, "find out whose order it is; an order never changes its patient"),
    Cause.STATE_FORBIDS: Reply("AE", 206, "nothing in this state; begun work is not cancelled but discontinued (DC)"),
}
"""AR: the message could not be taken at all. AE: its content is wrong, and sending it again unchanged cannot help."""


def answer(header: AckHeader, refusal: Refusal | None, location: str, control_id: str, at: datetime) -> bytes:
    """AA, or what the table says, with ERR.

    location    where in the message the refusal's subject stands; "" when nowhere
    control_id  MSH-10 of the answer
    at          MSH-7 of the answer, with zone
    """
    if refusal is None:
        return acknowledge(header, "AA", control_id=control_id, at=at)
    reply = ANSWERS[refusal.cause]
    error = AckError(reply.error, location, refusal.text)
    return acknowledge(header, reply.code, refusal.text, error, control_id=control_id, at=at)
