"""Images for the tests of the store, and the files they become."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

from pydicom.dataset import Dataset
from pydicom.filebase import DicomIO
from pydicom.filewriter import write_dataset

CT = "1.2.840.10008.5.1.4.1.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"


def image(uid: str = "1.2.9.1", **says: object) -> bytes:
    """An image of order 1, unless it says otherwise; None leaves an attribute out."""
    values = {
        "SOPClassUID": CT, "SOPInstanceUID": uid, "Modality": "CT", "PatientID": "P1", "StudyInstanceUID": "1.2.1",
        "SeriesInstanceUID": "1.2.1.1",
    } | says  # fmt: skip
    dataset = Dataset()
    for keyword, value in values.items():
        if value is not None:
            setattr(dataset, keyword, value)
    stream = BytesIO()
    out = DicomIO(stream)
    out.is_little_endian, out.is_implicit_VR = True, False
    write_dataset(out, dataset)
    return stream.getvalue()


def files_in(data: Path) -> list[str]:
    """The object files of a data folder, as rows name them."""
    found = (data / "objects").rglob("*")
    return sorted(file.relative_to(data).as_posix() for file in found if file.is_file())
