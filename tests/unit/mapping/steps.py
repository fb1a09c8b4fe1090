"""Steps, facts and queries for the tests of encoding and splicing; every person in them is invented."""

from __future__ import annotations

from typing import Any

from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

from broker.domain.order import Facts
from broker.domain.request import Identifier, Issuer
from broker.mapping.rows import RowSet
from broker.site.profile import load

ROWS: RowSet = load(None).rows
STEP = "ScheduledProcedureStepSequence"

FACTS = Facts(
    patient_id="4711",
    patient_issuer=Issuer("HOSP", "1.2.3.4", "ISO"),
    other_patient_ids=(Identifier("X77", Issuer("OTHER")),),
    study_uid="1.2.3.55",
    status="SCHEDULED",
    study_start=None,
)
VALUES: dict[str, Any] = {
    "PatientName": "Brook^Clara",
    "PatientID": "4711",
    "PatientBirthDate": "19710423",
    "PatientSex": "F",
    "PatientWeight": "72.5",
    "PregnancyStatus": "3",
    "Allergies": ["Penicillin", "Nuts"],
    "StudyInstanceUID": "1.2.3.55",
    "AccessionNumber": "ACC1",
    "RequestedProcedureID": "RP1",
    "RequestedProcedureDescription": "CT of the chest",
    "RequestedProcedureCodeSequence": [
        {"CodeValue": "CTCHEST", "CodingSchemeDesignator": "L", "CodeMeaning": "CT of the chest"}
    ],
    f"{STEP}.ScheduledStationAETitle": ["CT1", "CT2"],
    f"{STEP}.ScheduledProcedureStepStartDate": "20260302",
    f"{STEP}.ScheduledProcedureStepStartTime": "101500",
    f"{STEP}.Modality": "CT",
    f"{STEP}.ScheduledProcedureStepID": "SPS1",
    f"{STEP}.ScheduledProtocolCodeSequence": [
        {"CodeValue": "A", "CodingSchemeDesignator": "L", "CodeMeaning": "one"},
        {"LongCodeValue": "a code of more than 16", "CodingSchemeDesignator": "L", "CodeMeaning": "two"},
    ],
}


def query(*keywords: str, step: tuple[str, ...] | None = None, charset: str = "", **values: Any) -> Dataset:
    """A worklist identifier. keywords: asked without a value; step: keys of the step's item; values: asked with one."""
    asked = Dataset()
    if charset:
        asked.SpecificCharacterSet = charset
    for keyword in keywords:
        asked.add(empty(keyword))
    for keyword, value in values.items():
        setattr(asked, keyword, value)
    if step is not None:
        item = Dataset()
        for keyword in step:
            item.add(empty(keyword))
        asked.ScheduledProcedureStepSequence = [item]
    return asked


def empty(keyword: str) -> DataElement:
    """An element without a value."""
    tag = tag_for_keyword(keyword)
    assert tag is not None, keyword
    vr = dictionary_VR(tag)
    return DataElement(tag, vr, [] if vr == "SQ" else "")


def everything(rows: RowSet = ROWS) -> Dataset:
    """A query for every attribute that has a row."""
    roots = [row.keyword for row in rows.by_levels.values() if len(row.levels) == 1 and row.keyword != STEP]
    inside = tuple(row.keyword for row in rows.rows if row.key.startswith(f"{STEP}."))
    return query(*roots, step=inside)
