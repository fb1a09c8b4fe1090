"""A newcomer's task: one more attribute is one row of site.toml, from the message to the scanner's answer."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset
from pydicom.uid import ExplicitVRLittleEndian

from broker.dataset.reading import read_identifier
from broker.mapping.encode import encode
from broker.mapping.splice import PENDING, PENDING_WITH_UNSUPPORTED_KEYS, plan
from broker.site.profile import load
from tests.unit.mapping.reading import order, placed
from tests.unit.mapping.steps import FACTS, VALUES
from tests.unit.mapping.twin import encoded

ROW = '[rows.EthnicGroup]\nsource = ["PID-22.2|22.1"]\nmatch = "wildcard"\n'


def test_one_row_brings_an_attribute_from_the_message_to_the_answer(tmp_path: Path) -> None:
    (tmp_path / "site.toml").write_text(ROW)
    rows = load(tmp_path / "site.toml").rows
    identifier = Dataset()
    identifier.EthnicGroup = "any*"
    asked = read_identifier(encoded(identifier, ExplicitVRLittleEndian), ExplicitVRLittleEndian)

    request = placed(*order(pid="PID|||4711||Brook^Clara" + "|" * 17 + "N^Not said"), rows=rows)
    made = plan(rows, asked, ExplicitVRLittleEndian)
    answer = made.dataset(encode(rows, {**VALUES, **request.patient.changes}, FACTS))

    assert read_dataset(BytesIO(answer), False, True).EthnicGroup == "Not said"
    assert made.pending_status == PENDING
    assert plan(load(None).rows, asked, ExplicitVRLittleEndian).pending_status == PENDING_WITH_UNSUPPORTED_KEYS
