"""A repeat was acknowledged and dropped when the file of its row had the right length, whatever was in it."""

from __future__ import annotations

from pathlib import Path

import pydicom
import pytest

from tests.kit.brokers import running
from tests.kit.messages import Case


@pytest.mark.parametrize("options", [{}, {"dicom_processes": 2}], ids=["one", "two"])
def test_of_the_same_length(database_url: str, tmp_path: Path, case: Case, options: dict[str, object]) -> None:
    with running(tmp_path / "data", database_url, **options) as broker:
        broker.send(case.order())
        image = broker.scanner().take(broker.item(case))
        assert broker.scanner().store(image) == [0]
        file = broker.file_of(image.SOPInstanceUID)
        damaged = bytearray(file.read_bytes())
        damaged[-3] ^= 0xFF
        file.write_bytes(damaged)

        assert broker.scanner().store(image) == [0]

        assert pydicom.dcmread(broker.file_of(image.SOPInstanceUID)) == image
