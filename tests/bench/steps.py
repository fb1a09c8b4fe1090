"""The steps that every server of a run holds: invented, of 45 attributes each, and known by their number."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

STEP = "ScheduledProcedureStepSequence"
MODALITIES = ("CT", "MR", "US", "DX")
STEPS_A_MODALITY = 2_500
STEPS_A_DAY = 72
STATIONS = 14
FIRST_DAY = date(2031, 3, 3)
STUDY_ROOT = "2.25.880000000000000000000000"
NAME_PREFIX_STEPS = 10
"""Steps whose name begins alike: the prefix is the name without its last figure."""

_SURNAMES = ("Ashdown", "Bramwell", "Calder", "Dunmore", "Ellwood", "Fairbank", "Garside", "Hartnell")
_OTHER_SURNAMES = ("Börner", "Lefèvre", "Núñez", "Åkesson")
"""Latin-1 names: the modality MR has one in every tenth step."""
_GIVEN = ("Ann", "Ben", "Cleo", "Dan", "Eve", "Finn", "Gwen", "Hugh")

SEQUENCES = ("RequestedProcedureCodeSequence", f"{STEP}.ScheduledProtocolCodeSequence")
TOP = (
    "AccessionNumber", "InstitutionName", "ReferringPhysicianName", "PatientName", "PatientID", "PatientBirthDate",
    "PatientSex", "PatientSize", "PatientWeight", "PatientAddress", "MedicalAlerts", "Allergies",
    "PregnancyStatus", "StudyInstanceUID", "RequestingPhysician", "RequestedProcedureDescription",
    "RequestedProcedureCodeSequence", "AdmissionID", "SpecialNeeds", "CurrentPatientLocation", "PatientState",
    "RequestedProcedureID", "ReasonForTheRequestedProcedure", "RequestedProcedurePriority",
    "PatientTransportArrangements", "RequestedProcedureComments", "PlacerOrderNumberImagingServiceRequest",
    "FillerOrderNumberImagingServiceRequest", "ConfidentialityConstraintOnPatientDataDescription",
    "PatientComments", "ConfidentialityCode",
)  # fmt: skip
IN_STEP = (
    "ScheduledStationAETitle", "ScheduledProcedureStepStartDate", "ScheduledProcedureStepStartTime", "Modality",
    "ScheduledPerformingPhysicianName", "ScheduledProcedureStepDescription", "ScheduledProtocolCodeSequence",
    "ScheduledProcedureStepID", "ScheduledStationName", "ScheduledProcedureStepLocation", "PreMedication",
    "RequestedContrastAgent", "ScheduledProcedureStepStatus", "CommentsOnTheScheduledProcedureStep",
)  # fmt: skip
"""What every query asks for: 31 attributes on top and 14 in the step item."""


@dataclass(frozen=True, slots=True)
class BenchStep:
    """One step. values: by row key (keywords joined by dots)."""

    number: int
    modality: str
    start_at: str
    station: str
    patient_id: str
    values: dict[str, Any]

    @property
    def folded_name(self) -> str:
        return str(self.values["PatientName"]).casefold()


def steps(count: int) -> Iterator[BenchStep]:
    """The first `count` steps: 2,500 of each modality, 72 a day, on 14 stations a modality."""
    return (step(number) for number in range(count))


def step(number: int) -> BenchStep:
    """One step. Beyond the first 10,000 lie other years, other patients and other names on the same stations."""
    block, within = divmod(number, STEPS_A_MODALITY)
    year, kind = divmod(block, len(MODALITIES))
    day, place = divmod(within, STEPS_A_DAY)
    modality = MODALITIES[kind]
    on = FIRST_DAY + timedelta(days=day + 366 * year)
    start_at = f"{on:%Y%m%d}{7 + place // 8:02d}{place % 8 * 7:02d}00"
    station = f"{modality}ROOM{place % STATIONS:02d}"
    patient_id = f"PAT{number:08d}"
    return BenchStep(number, modality, start_at, station, patient_id,
                     _values(number, modality, start_at, station, patient_id))  # fmt: skip


def day_of(modality_day: int) -> str:
    """The date (DA) of a modality's n-th day."""
    return f"{FIRST_DAY + timedelta(days=modality_day):%Y%m%d}"


def every_day() -> str:
    """A range of dates (DA) that holds all steps of one modality among the first 10,000."""
    return f"{day_of(0)}-{day_of((STEPS_A_MODALITY - 1) // STEPS_A_DAY)}"


def name_of(number: int, modality: str) -> str:
    """An invented name; ten neighbours share all but its last figure."""
    surnames = _OTHER_SURNAMES if modality == "MR" and number % 10 == 0 else _SURNAMES
    pick = number // NAME_PREFIX_STEPS % len(surnames)
    return f"{surnames[pick]}{number:08d}^{_GIVEN[number % len(_GIVEN)]}"


def _values(number: int, modality: str, start_at: str, station: str, patient_id: str) -> dict[str, Any]:
    code = f"{modality}{number % 40:03d}"
    room = station[-2:]
    top = {
        "AccessionNumber": f"ACC{number:08d}",
        "InstitutionName": "Northgate General Hospital",
        "ReferringPhysicianName": f"Quill^Rosa{number % 30:02d}",
        "PatientName": name_of(number, modality),
        "PatientID": patient_id,
        "PatientBirthDate": f"19{30 + number % 60:02d}{1 + number % 12:02d}{1 + number % 28:02d}",
        "PatientSex": "MFO"[number % 3],
        "PatientSize": f"1.{60 + number % 30:02d}",
        "PatientWeight": f"{55 + number % 40}",
        "PatientAddress": f"{1 + number % 90} Mill Lane^^Northgate",
        "MedicalAlerts": ["pacemaker"],
        "Allergies": ["latex"],
        "PregnancyStatus": "4",
        "StudyInstanceUID": f"{STUDY_ROOT}{number:08d}",
        "RequestingPhysician": f"Quill^Rosa{number % 30:02d}",
        "RequestedProcedureDescription": f"{modality} examination {number % 40:02d}",
        "RequestedProcedureCodeSequence": [_code(code, f"{modality} examination {number % 40:02d}")],
        "AdmissionID": f"ADM{number:08d}",
        "SpecialNeeds": "wheelchair",
        "CurrentPatientLocation": f"Ward {number % 12:02d}",
        "PatientState": "stable",
        "RequestedProcedureID": f"RP{number:08d}",
        "ReasonForTheRequestedProcedure": "follow-up",
        "RequestedProcedurePriority": "MEDIUM",
        "PatientTransportArrangements": "bed",
        "RequestedProcedureComments": "compare with the study of last year",
        "PlacerOrderNumberImagingServiceRequest": f"PLC{number:08d}",
        "FillerOrderNumberImagingServiceRequest": f"FIL{number:08d}",
        "ConfidentialityConstraintOnPatientDataDescription": "none",
        "PatientComments": "hard of hearing",
        "ConfidentialityCode": "INHOUSE",
    }
    inside = {
        "ScheduledStationAETitle": [station],
        "ScheduledProcedureStepStartDate": start_at[:8],
        "ScheduledProcedureStepStartTime": start_at[8:],
        "Modality": modality,
        "ScheduledPerformingPhysicianName": f"Reed^Tom{number % 9}",
        "ScheduledProcedureStepDescription": f"{modality} protocol {number % 40:02d}",
        "ScheduledProtocolCodeSequence": [_code(f"P{code}", f"{modality} protocol {number % 40:02d}")],
        "ScheduledProcedureStepID": f"SPS{number:08d}",
        "ScheduledStationName": [f"Room {room}"],
        "ScheduledProcedureStepLocation": f"Building {room}",
        "PreMedication": "none",
        "RequestedContrastAgent": "none",
        "ScheduledProcedureStepStatus": "SCHEDULED",
        "CommentsOnTheScheduledProcedureStep": "call the ward before",
    }
    return {**top, **{f"{STEP}.{keyword}": value for keyword, value in inside.items()}}


def _code(value: str, meaning: str) -> dict[str, str]:
    return {"CodeValue": value, "CodingSchemeDesignator": "99NORTH", "CodeMeaning": meaning}
