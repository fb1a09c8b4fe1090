"""Imports point down only, libraries stay in their rooms, nothing turns in a circle; and the check notices when not."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.architecture.law import EVERYWHERE, breaches

BROKER = Path(__file__).parents[2] / "broker"


def test_the_house_keeps_its_law() -> None:
    assert breaches(BROKER) == []


def test_every_room_has_its_place_in_the_law() -> None:
    rooms = {path.stem for path in BROKER.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}

    assert rooms - {"__init__"} <= EVERYWHERE


@pytest.mark.parametrize(
    ("file", "line", "said"),
    [
        ("domain/planted.py", "from broker.store.database import open_database", "upwards"),
        ("store/planted.py", "import broker.workflow.verb", "upwards"),
        ("hl7/planted.py", "from broker import app", "upwards"),
        ("hl7/planted.py", "from broker.dicom.contract import Reply", "sideways"),
        ("store/planted.py", "from ..mapping import rows", "sideways"),
        ("domain/planted.py", "from broker import log", "domain may not know log"),
        ("simulators/planted.py", "from broker.mapping.encode import encode", "simulators may not know mapping"),
        ("simulators/planted.py", "import broker.domain.matching", "simulators may not know domain"),
        ("simulators/planted.py", "from broker.hl7v2.writer import segment", "simulators may not know hl7v2"),
        ("simulators/planted.py", "from broker.dicom import contract", "simulators may not know dicom"),
        ("simulators/planted.py", "from broker.hl7.sender import send", "simulators may not know hl7"),
        ("workflow/planted.py", "from sqlalchemy import select", "sqlalchemy is not for workflow"),
        ("hl7/planted.py", "import pynetdicom.ae", "pynetdicom is not for hl7"),
        ("domain/planted.py", "import pydicom", "pydicom is not for domain"),
        ("cli/planted.py", "import requests", "requests is not for cli"),
        ("clock.py", "import structlog", "structlog is not for clock"),
        ("annex/planted.py", "from broker import errors", "has no place in the house"),
        ("store/planted.py", "import importlib; importlib.import_module('broker.app')", "written as imports"),
    ],
)
@pytest.mark.parametrize("form", ["{}", "def later():\n    {}", "if TYPE_CHECKING:\n    {}"])
def test_a_planted_import_is_found(tmp_path: Path, file: str, line: str, said: str, form: str) -> None:
    planted = tmp_path / "broker" / file
    planted.parent.mkdir(parents=True)
    planted.write_text(form.format(line))

    found = breaches(tmp_path / "broker")

    assert len(found) == 1
    assert said in found[0]


def test_a_planted_circle_is_found_also_when_a_function_hides_half_of_it(tmp_path: Path) -> None:
    room = tmp_path / "broker" / "domain"
    room.mkdir(parents=True)
    (room / "one.py").write_text("from broker.domain import two")
    (room / "two.py").write_text("from broker.domain.three import thing")
    (room / "three.py").write_text("def later():\n    from broker.domain.one import other")

    found = breaches(tmp_path / "broker")

    assert found == ["circle: broker.domain.one -> broker.domain.two -> broker.domain.three -> broker.domain.one"]


def test_good_imports_are_left_alone(tmp_path: Path) -> None:
    room = tmp_path / "broker" / "hl7"
    room.mkdir(parents=True)
    (room / "door.py").write_text("import hl7.mllp, json\nfrom broker.domain import order\nfrom . import frames\n")
    (room / "frames.py").write_text("from broker.errors import BrokerError\nfrom broker import __version__\n")

    assert breaches(tmp_path / "broker") == []
