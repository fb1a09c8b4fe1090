"""The plain way to a worklist answer, made by pydicom element by element; shares no code with encode and splice."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from io import BytesIO
from typing import Any

from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_dataset
from pydicom.uid import ImplicitVRLittleEndian

from broker.domain.order import Facts
from broker.mapping.rows import RowSet

STATION = "ScheduledProcedureStepSequence.ScheduledStationAETitle"
CODECS = {
    "ISO_IR 100": "latin_1",
    "ISO_IR 101": "iso8859_2",
    "ISO_IR 144": "iso8859_5",
    "ISO_IR 192": "utf_8",
}


class Twin:
    """One step and one query."""

    def __init__(self, rows: RowSet, values: Mapping[str, Any], facts: Facts, absent_type_3: bool = False) -> None:
        self.rows = rows
        self.values = values
        self.facts = facts
        self.absent_type_3 = absent_type_3

    def answer(self, asked: Dataset, syntax: str, station: str | None = None) -> bytes:
        found = self._items(self._known("", station), asked)
        charset = _charset(found, str(asked.get("SpecificCharacterSet", "")))
        if charset:
            found.SpecificCharacterSet = charset
        return encoded(found, syntax, charset)

    def _known(self, above: str, station: str | None) -> dict[str, Any]:
        """Every attribute below a key: VR, type and value (None: unknown), by keyword."""
        found = {}
        for row in self.rows.by_levels.values():
            if row.key.rpartition(".")[0] != above or row.levels[:-1] != self._levels(above):
                continue
            children = [r for r in self.rows.rows if r.key.startswith(f"{row.key}.")]
            if children:
                inner = self._known(row.key, station)
                value: Any = [inner] if any(entry[2] for entry in inner.values()) else None
            else:
                value = self._value(row.key)
                if row.key == STATION and not value and station:
                    value = [station]
            found[row.keyword] = (row.vr, row.returns, value, bool(children))
        return found

    def _levels(self, above: str) -> tuple[int, ...]:
        return tuple(int(tag_for_keyword(part) or 0) for part in above.split(".")) if above else ()

    def _value(self, key: str) -> Any:
        row = self.rows.by_key[key]
        if self.values.get(key):
            return self.values[key]
        fact = {
            "IssuerOfPatientID": self.facts.patient_issuer.namespace,
            "PatientID": None,
            "IssuerOfPatientIDQualifiersSequence.UniversalEntityID": self.facts.patient_issuer.universal_id,
            "IssuerOfPatientIDQualifiersSequence.UniversalEntityIDType": self.facts.patient_issuer.universal_type,
            "ReferencedStudySequence.ReferencedSOPInstanceUID": self.facts.study_uid,
            "ScheduledProcedureStepSequence.ScheduledProcedureStepStatus": self.facts.status,
            "StudyDate": (self.facts.study_start or "")[:8],
            "StudyTime": (self.facts.study_start or "")[8:],
            "OtherPatientIDsSequence": [
                {"PatientID": number.value, "IssuerOfPatientID": number.issuer.namespace, "TypeOfPatientID": "TEXT"}
                for number in self.facts.other_patient_ids
            ],
        }.get(key)
        return fact or (row.default if not row.follows or self._value(row.follows) else None)

    def _items(self, known: Mapping[str, Any], asked: Dataset) -> Dataset:
        answer = Dataset()
        for element in asked:
            if element.keyword not in known:
                continue
            vr, returns, value, of_rows = known[element.keyword]
            keys = element.value[0] if vr == "SQ" and element.value and len(element.value[0]) else None
            if not value:
                if returns not in ("1", "1C") and not (self.absent_type_3 and returns == "3"):
                    answer.add(DataElement(element.tag, vr, [] if vr == "SQ" else ""))
            elif vr == "SQ":
                inner = [self._item(item, keys, of_rows) for item in value]
                answer.add(DataElement(element.tag, vr, inner))
            else:
                answer.add(DataElement(element.tag, vr, int(value) if vr == "US" else value))
        return answer

    def _item(self, item: Mapping[str, Any], keys: Dataset | None, of_rows: bool) -> Dataset:
        if of_rows:
            return self._items(item, keys if keys is not None else _all_keys(item))
        answer = Dataset()
        for keyword, value in item.items():
            if value and (keys is None or keyword in keys):
                setattr(answer, keyword, value)
        return answer


def _all_keys(item: Mapping[str, Any]) -> Dataset:
    keys = Dataset()
    for keyword, (vr, *_) in item.items():
        keys.add(DataElement(int(tag_for_keyword(keyword) or 0), vr, [] if vr == "SQ" else ""))
    return keys


def _texts(dataset: Dataset) -> Iterator[str]:
    for element in dataset:
        if element.VR == "SQ":
            for item in element.value:
                yield from _texts(item)
        elif element.VR in ("LO", "LT", "PN", "SH", "ST", "UC", "UT"):
            values = element.value if element.VM > 1 else [element.value]
            yield from (str(value) for value in values)


def _charset(answer: Dataset, wanted: str) -> str:
    text = "".join(_texts(answer))
    if text.isascii():
        return ""
    try:
        text.encode(CODECS.get(wanted, "ascii"))
    except UnicodeError:
        return "ISO_IR 192"
    return wanted


def encoded(dataset: Dataset, syntax: str, charset: str = "") -> bytes:
    """A dataset as bytes; also how the tests make queries."""
    buffer = DicomBytesIO()
    buffer.is_little_endian = True
    buffer.is_implicit_VR = syntax == ImplicitVRLittleEndian
    write_dataset(buffer, dataset, charset or "ISO_IR 6")
    return bytes(buffer.getvalue())


def decoded(answer: bytes, syntax: str) -> Dataset:
    """An answer as pydicom reads it."""
    return read_dataset(BytesIO(answer), syntax == ImplicitVRLittleEndian, True)
