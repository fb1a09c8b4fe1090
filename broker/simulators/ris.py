"""A radiology information system: builds ORM^O01 messages with hl7apy and sends them over MLLP."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from hl7apy.consts import VALIDATION_LEVEL
from hl7apy.core import Message

from broker.simulators.mllp import Acknowledgement, MllpSender

CODECS = {
    "": "ascii",
    "ASCII": "ascii",
    "8859/1": "iso8859-1",
    "8859/2": "iso8859-2",
    "8859/3": "iso8859-3",
    "8859/4": "iso8859-4",
    "8859/5": "iso8859-5",
    "8859/6": "iso8859-6",
    "8859/7": "iso8859-7",
    "8859/8": "iso8859-8",
    "8859/9": "iso8859-9",
    "8859/15": "iso8859-15",
    "ISO IR87": "iso2022_jp",
    "GB 18030-2000": "gb18030",
    "KS X 1001": "euc_kr",
    "BIG-5": "big5",
    "UNICODE UTF-8": "utf-8",
}
"""MSH-18 (HL7 table 0211) to the codec that writes it."""

DELIMITERS = (("\\", "\\E\\"), ("|", "\\F\\"), ("^", "\\S\\"), ("&", "\\T\\"), ("~", "\\R\\"))


@dataclass(frozen=True, slots=True)
class RisPatient:
    """Who is examined; birth_date is YYYYMMDD, sex as PID-8 has it."""

    number: str
    family: str
    given: str
    issuer: str = "HOSP"
    birth_date: str = ""
    sex: str = ""
    visit_number: str = ""


@dataclass(frozen=True, slots=True)
class RisOrder:
    """One ORC/OBR group. An empty value is not sent; start is department wall-clock time.

    control, status  ORC-1 and ORC-5
    procedure        OBR-4: code, text
    station          AE title for ORC-18, where small systems put it
    ordered_at       ORC-9
    """

    control: str
    placer: str
    filler: str = ""
    status: str = ""
    accession: str = ""
    procedure_id: str = ""
    step_id: str = ""
    study_uid: str = ""
    modality: str = ""
    station: str = ""
    procedure: tuple[str, str] = ("", "")
    start: datetime | None = None
    ordered_at: datetime | None = None
    reason: str = ""
    physician: tuple[str, str, str] = ("", "", "")


class Ris:
    """One sending application with one connection; every wait ends after timeout_seconds."""

    def __init__(
        self,
        host: str,
        port: int,
        application: str = "RIS",
        facility: str = "HOSP",
        version: str = "2.3.1",
        charset: str = "",
        timeout_seconds: float = 10.0,
    ) -> None:
        self.application = application
        self.facility = facility
        self.version = version
        self.charset = charset
        self._sender = MllpSender(host, port, timeout_seconds)
        self._numbers = itertools.count(1)

    def __enter__(self) -> Ris:
        return self

    def __exit__(self, *error: object) -> None:
        self._sender.close()

    def order(self, patient: RisPatient, *orders: RisOrder, at: datetime) -> Acknowledgement:
        """Send one message with all these orders; at is MSH-7."""
        control_id = f"{self.application}{next(self._numbers):06d}"
        text = build_orm(self, patient, orders, control_id, at)
        return self.send(text.encode(CODECS[self.charset]))

    def send(self, message: bytes) -> Acknowledgement:
        """Send a message as it is and read its answer."""
        return Acknowledgement(self._sender.exchange(message))


def build_orm(ris: Ris, patient: RisPatient, orders: Sequence[RisOrder], control_id: str, at: datetime) -> str:
    """An ORM^O01 of the sender's version, segments ended by CR."""
    message: Any = Message("ORM_O01", version=ris.version, validation_level=VALIDATION_LEVEL.TOLERANT)
    header = message.msh
    header.msh_3, header.msh_4 = ris.application, ris.facility
    header.msh_5, header.msh_6 = "MWLBROKER", "RAD"
    header.msh_7 = _stamp(at)
    header.msh_9 = "ORM^O01" if ris.version < "2.5" else "ORM^O01^ORM_O01"
    header.msh_10 = control_id
    header.msh_11 = "P"
    header.msh_18 = ris.charset
    _add_patient(message, patient)
    for number, order in enumerate(orders, 1):
        _add_order(message, number, order)
    return str(message.to_er7()) + "\r"


def _add_patient(message: Any, patient: RisPatient) -> None:
    pid = message.add_segment("PID")
    pid.pid_3 = f"{_escape(patient.number)}^^^{_escape(patient.issuer)}"
    pid.pid_5 = f"{_escape(patient.family)}^{_escape(patient.given)}"
    _fill(pid, {"pid_7": patient.birth_date, "pid_8": patient.sex})
    if patient.visit_number:
        pv1 = message.add_segment("PV1")
        pv1.pv1_2, pv1.pv1_19 = "O", _escape(patient.visit_number)


def _add_order(message: Any, number: int, order: RisOrder) -> None:
    quantity_timing = f"^^^{_stamp(order.start)}^^R" if order.start else ""
    physician = "^".join(map(_escape, order.physician)) if any(order.physician) else ""
    orc = message.add_segment("ORC")
    _fill(
        orc,
        {
            "orc_1": order.control,
            "orc_2": _escape(order.placer),
            "orc_3": _escape(order.filler),
            "orc_5": order.status,
            "orc_7": quantity_timing,
            "orc_9": _stamp(order.ordered_at) if order.ordered_at else "",
            "orc_18": _escape(order.station),
        },
    )
    obr = message.add_segment("OBR")
    code, text = map(_escape, order.procedure)
    _fill(
        obr,
        {
            "obr_1": str(number),
            "obr_2": _escape(order.placer),
            "obr_3": _escape(order.filler),
            "obr_4": f"{code}^{text}^L^{code}^{text}^L" if code else "",
            "obr_16": physician,
            "obr_18": _escape(order.accession),
            "obr_19": _escape(order.procedure_id),
            "obr_20": _escape(order.step_id),
            "obr_24": order.modality,
            "obr_27": quantity_timing,
            "obr_31": f"^{_escape(order.reason)}" if order.reason else "",
        },
    )
    if order.study_uid:
        zds = message.add_segment("ZDS")
        zds.zds_1 = f"{order.study_uid}^{_escape(order.placer)}^Application^DICOM"


def _fill(segment: Any, values: dict[str, str]) -> None:
    for field, value in values.items():
        if value:
            setattr(segment, field, value)


def _escape(text: str) -> str:
    for character, sequence in DELIMITERS:
        text = text.replace(character, sequence)
    return text


def _stamp(moment: datetime) -> str:
    return moment.strftime("%Y%m%d%H%M%S")
