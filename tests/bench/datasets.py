"""Steps and queries as DICOM datasets: worklist files, identifiers, and what an answer must say."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset
from pydicom.filewriter import dcmwrite, write_dataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from tests.bench.steps import IN_STEP, SEQUENCES, STEP, TOP, BenchStep, day_of, every_day

LATIN_1 = "ISO_IR 100"
WORKLIST_FIND = "1.2.840.10008.5.1.4.31"
CODE_MEMBERS = ("CodeValue", "CodingSchemeDesignator", "CodeMeaning")


@dataclass(frozen=True)
class Query:
    """A worklist query. keys: by row key; members: True asks for two members inside each code sequence."""

    name: str
    keys: Mapping[str, str]
    members: bool = False

    def encoded(self) -> bytes:
        """The identifier in Implicit VR Little Endian."""
        return encode(self.dataset())

    def dataset(self) -> Dataset:
        """Its keys, and all 45 attributes asked for."""
        asked, inside = Dataset(), Dataset()
        asked.SpecificCharacterSet = LATIN_1
        for keyword in TOP:
            asked.add(_element(keyword, self._asked(keyword)))
        for keyword in IN_STEP:
            inside.add(_element(keyword, self._asked(f"{STEP}.{keyword}")))
        asked.ScheduledProcedureStepSequence = [inside]
        return asked

    def file(self, folder: Path) -> Path:
        """A Part 10 file of the identifier, for findscu."""
        path = folder / f"{self.name}.dcm"
        if not path.exists():
            write_file(self.dataset(), path)
        return path

    def finds(self, step: BenchStep) -> bool:
        """Whether the step is an answer: exact keys, name prefixes and ranges of dates, all that these queries use."""
        return all(_key_finds(step, key, asked) for key, asked in self.keys.items())

    def _asked(self, key: str) -> Any:
        if self.members and key in SEQUENCES:
            return [dict.fromkeys(CODE_MEMBERS, "")]
        return self.keys.get(key) or None


KIND = f"{STEP}.Modality"
DAY = f"{STEP}.ScheduledProcedureStepStartDate"
STATION = f"{STEP}.ScheduledStationAETitle"
QUERY_5 = Query("5", {KIND: "CT", DAY: day_of(3), STATION: "CTROOM07"})
QUERY_72 = Query("72", {KIND: "CT", DAY: day_of(5)})
QUERY_2500 = Query("2500", {KIND: "CT", DAY: every_day()})
QUERY_MEMBERS = Query("2500-members", {KIND: "MR", DAY: every_day()}, members=True)


def dataset_of(step: BenchStep) -> Dataset:
    """A worklist item of one step."""
    item, inside = Dataset(), Dataset()
    for keyword in TOP:
        item.add(_element(keyword, step.values[keyword]))
    for keyword in IN_STEP:
        inside.add(_element(keyword, step.values[f"{STEP}.{keyword}"]))
    item.ScheduledProcedureStepSequence = [inside]
    if not str(item.PatientName).isascii():
        item.SpecificCharacterSet = LATIN_1
    return item


def write_worklist(folder: Path, steps: Iterable[BenchStep]) -> int:
    """The steps as `.wl` files and the lock file that wlmscpfs wants; how many there are."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "lockfile").touch()
    count = 0
    for step in steps:
        path = folder / f"step{step.number:08d}.wl"
        if not path.exists():
            write_file(dataset_of(step), path)
        count += 1
    return count


def write_file(dataset: Dataset, path: Path) -> None:
    """A Part 10 file, complete or not at all."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = WORKLIST_FIND
    meta.MediaStorageSOPInstanceUID = generate_uid(prefix=None)
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta = meta
    part = path.with_suffix(".part")
    dcmwrite(part, dataset, enforce_file_format=True, implicit_vr=False, little_endian=True)
    part.rename(path)


def encode(dataset: Dataset) -> bytes:
    """Implicit VR Little Endian."""
    buffer = DicomBytesIO()
    buffer.is_implicit_VR, buffer.is_little_endian = True, True
    write_dataset(buffer, dataset)
    return buffer.getvalue()


def differences(query: Query, expected: Iterable[BenchStep], answers: Iterable[bytes]) -> list[str]:
    """What is wrong with the answers (Implicit VR Little Endian): their number, or an attribute; empty: all is well."""
    wanted = {step.values["AccessionNumber"]: dataset_of(step) for step in expected}
    found = [read_dataset(BytesIO(answer), True, True) for answer in answers]
    if len(found) != len(wanted):
        return [f"{len(found)} answers instead of {len(wanted)}"]
    wrong = []
    for answer in found:
        accession = str(answer.get("AccessionNumber", ""))
        step = wanted.pop(accession, None)
        if step is None:
            wrong.append(f"answer {accession!r} is none of those expected, or came twice")
        else:
            wrong += [f"{accession}: {keyword}" for keyword in _different(step, answer)]
    return wrong


def _different(step: Dataset, answer: Dataset) -> list[str]:
    answer.decode()
    there = {keyword for keyword in TOP if _plain(step, keyword) != _plain(answer, keyword)}
    inside, answered = step.ScheduledProcedureStepSequence[0], answer.ScheduledProcedureStepSequence[0]
    return [*there, *(keyword for keyword in IN_STEP if _plain(inside, keyword) != _plain(answered, keyword))]


def _plain(dataset: Dataset, keyword: str) -> Any:
    """A value to compare: empty and absent are the same, of codes all members that have a value."""
    value = dataset.get(keyword)
    if dictionary_VR(keyword) == "SQ":
        return [{e.keyword: str(e.value) for e in item if e.value not in ("", None)} for item in value or []]
    if keyword in ("PatientSize", "PatientWeight"):
        return float(value)
    return "" if value is None else str(value)


def _key_finds(step: BenchStep, key: str, asked: str) -> bool:
    stored = step.values[key]
    stored = stored[0] if isinstance(stored, list) else stored
    if key == DAY and "-" in asked:
        low, high = asked.split("-")
        return low <= stored <= high
    if asked.endswith("*"):
        return bool(stored.casefold().startswith(asked[:-1].casefold()))
    return bool(stored == asked)


def _element(keyword: str, value: Any) -> DataElement:
    tag = tag_for_keyword(keyword)
    assert tag is not None
    vr = dictionary_VR(tag)
    if vr == "SQ":
        return DataElement(tag, vr, [_item(item) for item in value or []])
    if vr == "US" and value is not None:
        value = int(value)
    return DataElement(tag, vr, value)


def _item(values: Mapping[str, str]) -> Dataset:
    item = Dataset()
    for keyword, value in values.items():
        item.add(_element(keyword, value))
    return item
