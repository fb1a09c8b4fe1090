"""Worklist files for tests: one item with names of its own, in every form that a file may come in."""

from __future__ import annotations

import zlib
from io import BytesIO
from pathlib import Path
from typing import Any

from pydicom import dcmwrite
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

FORMS = ("part10", "bare implicit", "bare explicit", "bare big endian", "header without preamble", "big endian",
         "deflated", "dump")  # fmt: skip


def item(number: int, step: dict[str, Any] | None = None, **changed: Any) -> Dataset:
    """An item that names everything; a change to None leaves the attribute out."""
    dataset, inner = Dataset(), Dataset()
    told = {
        "SpecificCharacterSet": "ISO_IR 192", "PatientName": f"DÖE{number}^JANE", "PatientID": f"P{number}",
        "PatientBirthDate": "19700102", "PatientSex": "F", "AccessionNumber": f"A{number}",
        "RequestedProcedureID": f"R{number}", "StudyInstanceUID": f"1.2.3.{number}",
        "RequestedProcedureDescription": "CT CHEST",
    } | changed  # fmt: skip
    inside = {
        "Modality": "CT", "ScheduledStationAETitle": "CT1", "ScheduledProcedureStepStartDate": "20260302",
        "ScheduledProcedureStepStartTime": "081500", "ScheduledProcedureStepID": f"S{number}",
    } | (step or {})  # fmt: skip
    _fill(dataset, told)
    _fill(inner, inside)
    dataset.ScheduledProcedureStepSequence = [inner]
    return dataset


def encoded(dataset: Dataset, form: str = "part10") -> bytes:
    """The bytes of a file."""
    if form == "dump":
        return dump(dataset).encode()
    if form.startswith("bare") or form == "header without preamble":
        bare = _dataset(dataset, "implicit" in form, "big" not in form)
        return bare if form.startswith("bare") else _meta(ExplicitVRLittleEndian) + bare
    syntax = {"big endian": ExplicitVRBigEndian, "deflated": DeflatedExplicitVRLittleEndian}.get(form)
    if syntax is None:
        return _part10(dataset)
    body = _dataset(dataset, False, form != "big endian")
    if form == "deflated":
        deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        body = deflater.compress(body) + deflater.flush()
    return b"\0" * 128 + b"DICM" + _meta(syntax) + body


def dump(dataset: Dataset, depth: int = 0) -> str:
    """As dcmdump prints it."""
    lines = []
    for element in dataset:
        head = f"{'  ' * depth}({element.tag.group:04x},{element.tag.element:04x}) {element.VR}"
        if element.VR != "SQ":
            value = "\\".join(map(str, element.value)) if element.VM > 1 else str(element.value)
            shown = f"[{value}]" if value else "(no value available)"
            lines.append(f"{head} {shown} # {len(value)}, {element.VM} {element.keyword}\n")
            continue
        lines.append(f"{head} (Sequence with explicit length #={len(element.value)})\n")
        for one in element.value:
            lines += ["(fffe,e000) na\n", dump(one, depth + 1), "(fffe,e00d) na\n"]
        lines.append("(fffe,e0dd) na\n")
    return "".join(lines)


def put(folder: Path, name: str, dataset: Dataset, form: str = "part10") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(encoded(dataset, form))
    return folder


def _fill(dataset: Dataset, values: dict[str, Any]) -> None:
    for keyword, value in values.items():
        if value is not None:
            setattr(dataset, keyword, value)


def _dataset(dataset: Dataset, implicit: bool, little: bool) -> bytes:
    out = DicomBytesIO()
    out.is_implicit_VR, out.is_little_endian = implicit, little
    write_dataset(out, dataset, dataset.get("SpecificCharacterSet", "ISO_IR 6"))
    return out.getvalue()


def _part10(dataset: Dataset) -> bytes:
    out = BytesIO()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.31"
    dataset.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    dcmwrite(out, dataset, enforce_file_format=True)
    return out.getvalue()


def _meta(syntax: str) -> bytes:
    value = syntax.encode() + b"\0" * (len(syntax) % 2)
    return b"\x02\0\x10\0UI" + len(value).to_bytes(2, "little") + value
