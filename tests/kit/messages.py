"""Order messages as text templates; every person in them is invented."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field, replace
from typing import Any

STUDY_ROOT = "2.25.7700000000000000000000000000"

MSH = (
    "MSH|^~\\&|{application}|{facility}|MWLBROKER|RAD|{message_time}||{message_type}|{control_id}|{processing_id}"
    "|{version}||||||{charset}"
)
PID = "PID|||{patient}||{name}||{birth_date}|{sex}|||{address}|||||||{account}"
PV1 = "PV1||O|R^^^HOSP|||||7^Refer^Rita|||||||{ambulatory}||||{visit}"
ORC = (
    "ORC|{control}|{placer}|{filler}||{status}||{timing}||{order_time}|||7^Refer^Rita|||||RAD^Radiology^L|{device}"
)
OBR = (
    "OBR|{set_id}|{obr_placer}|{obr_filler}|{procedure}|||||||||{clinical}|||7^Refer^Rita||{accession}|{procedure_id}|{step_id}"
    "||||{modality}|||{timing}|||WALK|{reason}|||{technician}||||||||||{procedure_code}"
)
ZDS = "ZDS|{study_uid}^OF^Application^DICOM"

_serial = itertools.count(1)


@dataclass(frozen=True)
class Group:
    """One ORC/OBR group; names are those of the templates."""

    control: str = "NW"
    status: str = ""
    placer: str = ""
    filler: str = ""
    obr_placer: str | None = None
    obr_filler: str | None = None
    start: str = "20260302101500"
    priority: str = "R"
    order_time: str = "20260301090000"
    device: str = ""
    accession: str = ""
    procedure_id: str = ""
    step_id: str = ""
    study_uid: str = ""
    modality: str = "CT"
    procedure: str = "CTCHEST^Chest CT^L^CT01^Chest routine^L"
    procedure_code: str = "CTCHEST^Chest CT^L"
    clinical: str = "hip prosthesis"
    reason: str = "^cough"
    technician: str = "9&Tech&Tom"
    orc: bool = True
    obr: bool = True
    extra: tuple[str, ...] = ()

    def segments(self, set_id: int) -> list[str]:
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        values["timing"] = f"^^^{self.start}^^{self.priority}" if self.start or self.priority else ""
        values["obr_placer"] = self.placer if self.obr_placer is None else self.obr_placer
        values["obr_filler"] = self.filler if self.obr_filler is None else self.obr_filler
        values["set_id"] = set_id
        lines = [ORC.format(**values)] if self.orc else []
        if self.obr:
            lines.append(OBR.format(**values))
        if self.study_uid:
            lines.append(ZDS.format(**values))
        return [*lines, *self.extra]


@dataclass(frozen=True)
class Header:
    """What stands in MSH and in the patient's segments."""

    application: str = "OF"
    facility: str = "HOSP"
    message_time: str = "20260301090000"
    message_type: str = "ORM^O01"
    control_id: str = ""
    processing_id: str = "P"
    version: str = "2.3.1"
    charset: str = ""
    patient: str = "P1^^^HOSP"
    name: str = "Doe^Jane^A"
    birth_date: str = "19800102"
    sex: str = "F"
    address: str = "1 Main^^Town"
    account: str = "A77"
    visit: str = "V55"
    ambulatory: str = ""
    patient_extra: tuple[str, ...] = ()


@dataclass(frozen=True)
class Case:
    """The names that one test uses, so that tests may share a broker: a patient, an order, its ids and its UID."""

    number: int = field(default_factory=lambda: next(_serial))

    @property
    def patient_id(self) -> str:
        return f"PAT{self.number}"

    @property
    def placer(self) -> str:
        return f"PO{self.number}"

    @property
    def filler(self) -> str:
        return f"FO{self.number}"

    @property
    def accession(self) -> str:
        return f"ACC{self.number}"

    @property
    def procedure_id(self) -> str:
        return f"RP{self.number}"

    @property
    def step_id(self) -> str:
        return f"SPS{self.number}"

    @property
    def study_uid(self) -> str:
        return f"{STUDY_ROOT}{self.number:06d}"

    def group(self, **changes: Any) -> Group:
        """The case's order, fully named, with changes."""
        full = Group(
            placer=f"{self.placer}^OP",
            filler=f"{self.filler}^OF",
            accession=self.accession,
            procedure_id=self.procedure_id,
            step_id=self.step_id,
            study_uid=self.study_uid,
        )
        return replace(full, **changes)

    def plain(self, **changes: Any) -> Group:
        """The order as a small system sends it: a placer number, a procedure and a start, nothing else."""
        least = Group(placer=self.placer, procedure="CTCHEST^Chest CT^L", procedure_code="", clinical="", technician="")
        return replace(least, **changes)

    def message(self, *groups: Group, encoding: str = "utf-8", **header: Any) -> bytes:
        """A message with these groups (the case's own when none is given)."""
        head = replace(Header(patient=f"{self.patient_id}^^^HOSP", control_id=f"C{next(_serial)}"), **header)
        values = {name: getattr(head, name) for name in head.__dataclass_fields__}
        lines = [MSH.format(**values), PID.format(**values), *head.patient_extra]
        lines.append(PV1.format(**values))
        for number, group in enumerate(groups or (self.group(),), 1):
            lines += group.segments(number)
        return "".join(line + "\r" for line in lines).encode(encoding)

    def order(self, *, encoding: str = "utf-8", header: dict[str, Any] | None = None, **changes: Any) -> bytes:
        """A message with the case's one order, changed; header holds changes of MSH and of the patient."""
        return self.message(self.group(**changes), encoding=encoding, **(header or {}))


def without(message: bytes, segment: str) -> bytes:
    """The message without the segments of this name."""
    lines = [line for line in message.split(b"\r") if line and not line.startswith(segment.encode())]
    return b"".join(line + b"\r" for line in lines)
