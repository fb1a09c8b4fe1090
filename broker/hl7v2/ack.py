"""Builds the answer to a message in original mode (HL7 2.5.1 2.9.2, 2.14.1, 2.15.5, 2.15.8)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from broker.hl7v2 import charset
from broker.hl7v2.reader import Delimiters, Message
from broker.hl7v2.writer import component, field, message, segment

Code = Literal["AA", "AE", "AR"]

ERROR_TEXTS = {
    100: "Segment sequence error",
    101: "Required field missing",
    102: "Data type error",
    103: "Table value not found",
    200: "Unsupported message type",
    201: "Unsupported event code",
    202: "Unsupported processing id",
    203: "Unsupported version id",
    204: "Unknown key identifier",
    205: "Duplicate key identifier",
    206: "Application record locked",
    207: "Application internal error",
}
"""HL7 table 0357, as far as this house answers with it."""

MAX_MSA_3_CHARACTERS = 80
MAX_ERR_8_CHARACTERS = 250
"""Lengths of the standard's attribute tables (2.5.1 2.15.5, 2.15.8), before escaping."""

MOST_ECHOED = 4_000
"""Characters of a field of the sender that are copied into the answer; the standard's longest has 227."""

VERSIONS = ("2.3", "2.3.1", "2.4", "2.5", "2.5.1")
ANSWER_VERSION = "2.5.1"
"""What an answer to a message of any other version is written in."""

_CONTROL = re.compile(r"[\x00-\x0c\x0e-\x1f]")
"""Bytes that would end a frame early if a peer's own field were sent back with them."""


@dataclass(frozen=True, slots=True)
class AckHeader:
    """What an answer takes from the message it answers: raw field texts, copied as they are.

    The default is the header of an answer to bytes that were no message.
    """

    delimiters: Delimiters = Delimiters()
    sending_application: str = ""
    sending_facility: str = ""
    receiving_application: str = ""
    receiving_facility: str = ""
    event: str = ""
    control_id: str = ""
    processing_id: str = "P"
    version: str = ANSWER_VERSION
    charset: str = ""


@dataclass(frozen=True, slots=True)
class AckError:
    """Why a message was not accepted.

    code      table 0357
    location  `seg^ordinal^field[^rep[^comp[^sub]]]`; "" when it has none
    text      for the sender's people
    """

    code: int
    location: str
    text: str


def header_of(message: Message) -> AckHeader:
    """What the answer to this message takes from it."""
    msh = message.header
    marks = message.delimiters
    typed = msh.field(9)[:MOST_ECHOED].split(marks.repetition, 1)[0].split(marks.component, 2)
    return AckHeader(
        delimiters=marks,
        sending_application=msh.field(3)[:MOST_ECHOED],
        sending_facility=msh.field(4)[:MOST_ECHOED],
        receiving_application=msh.field(5)[:MOST_ECHOED],
        receiving_facility=msh.field(6)[:MOST_ECHOED],
        event=typed[1] if len(typed) > 1 else "",
        control_id=msh.field(10)[:MOST_ECHOED],
        processing_id=msh.field(11)[:MOST_ECHOED],
        version=msh.field(12)[:MOST_ECHOED].split(marks.component, 1)[0].strip(),
        charset=message.charset,
    )


def acknowledge(
    header: AckHeader,
    code: Code,
    text: str = "",
    error: AckError | None = None,
    *,
    control_id: str,
    at: datetime,
) -> bytes:
    """Build one answer, without its frame.

    text        MSA-3, for versions before 2.5 (deprecated since 2.4, but where older senders look)
    error       the ERR segment, in the form of the message's version
    control_id  MSH-10 of the answer
    at          MSH-7 of the answer, with zone
    returns     bytes in the sender's character set, or in UNICODE UTF-8 where that does not hold the text
    """
    version = header.version if header.version in VERSIONS else ANSWER_VERSION
    segmented = version >= "2.5"
    acknowledgment = ["MSA", code, header.control_id]  # MSA-2 stands there even when empty: senders look for it
    if text and not segmented:
        acknowledgment.append(field([text[:MAX_MSA_3_CHARACTERS]], header.delimiters))
    segments = [header.delimiters.field.join(acknowledgment)]
    if error is not None:
        segments.append(_error_segment(error, header.delimiters, segmented))
    fields = {
        3: header.receiving_application,
        4: header.receiving_facility,
        5: header.sending_application,
        6: header.sending_facility,
        7: at.strftime("%Y%m%d%H%M%S%z"),
        9: _message_type(header, segmented),
        10: control_id,
        11: header.processing_id,
        12: version,
    }
    return _encoded(fields, segments, header)


def _message_type(header: AckHeader, segmented: bool) -> str:
    """MSH-9: ACK^O01 up to 2.4, ACK^O01^ACK from 2.5 on."""
    mark = header.delimiters.component
    if segmented:
        return mark.join(["ACK", header.event, "ACK"])
    return mark.join(["ACK", header.event]) if header.event else "ACK"


def _error_segment(error: AckError, marks: Delimiters, segmented: bool) -> str:
    """ERR-1 up to 2.4: segment^ordinal^field^code&text&table; from 2.5 on ERR-2, ERR-3, ERR-4 and ERR-8."""
    name = ERROR_TEXTS[error.code]
    place = error.location.split("^") if error.location else []
    if segmented:
        fields = {
            2: field(place, marks),
            3: field([str(error.code), name, "HL70357"], marks),
            4: "E",
            8: field([error.text[:MAX_ERR_8_CHARACTERS]], marks),
        }
        return segment("ERR", fields, marks)
    first = (place + ["", "", ""])[:3]
    coded = component([str(error.code), name, "HL70357"], marks)
    return segment("ERR", {1: marks.component.join([*first, coded])}, marks)


def _encoded(fields: dict[int, str], segments: list[str], header: AckHeader) -> bytes:
    """MSH-18 is valued only where the answer is not pure ASCII."""
    fields = {number: _CONTROL.sub(" ", text) for number, text in fields.items()}
    segments = [_CONTROL.sub(" ", one) for one in segments]
    plain = message([segment("MSH", fields, header.delimiters), *segments])
    if plain.isascii():
        return plain.encode("ascii")
    for name in (header.charset, charset.UTF_8):
        declared = message([segment("MSH", {**fields, 18: name}, header.delimiters), *segments])
        try:
            return charset.encode(declared, name)
        except (UnicodeEncodeError, LookupError):
            continue
    return plain.encode("ascii", "replace")
