"""The doctor: nothing wrong where nothing is, each fault named with its remedy, nothing changed by looking."""

from __future__ import annotations

import json
import resource
import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from broker.app import Broker
from broker.cli import main as cli
from broker.doctor import OK, PROBLEM, WARNING, Finding, examine
from broker.settings import Settings
from tests.kit.brokers import running
from tests.kit.certificates import Authority
from tests.kit.clock import SettableClock
from tests.kit.messages import Case

FREE = {"hl7_port": 0, "dicom_port": 0, "http_port": 0}


def settings(data: Path, **changed: object) -> Settings:
    data.mkdir(exist_ok=True)
    profile = data / "site.toml"
    if not profile.exists():
        profile.write_text('time_zone = "Europe/Berlin"\n')
    return Settings.load({}, {"data": data, **FREE, **changed})


def found(findings: list[Finding], check: str) -> Finding:
    return next(finding for finding in findings if finding.check == check)


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as other:
        yield int(other.getsockname()[1])


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


def test_where_nothing_is_wrong_everything_is_ok_and_nothing_was_made(tmp_path: Path, clock: SettableClock) -> None:
    findings = examine(settings(tmp_path / "data"), clock)

    assert {finding.status for finding in findings if finding.check != "space"} == {OK}
    assert {finding.check for finding in findings} >= {
        "data folder", "space", "database", "port hl7", "port dicom", "port http", "open files", "site profile",
        "time zone",
    }  # fmt: skip
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["site.toml"]


def test_beside_a_running_broker_its_own_ports_are_no_problem(tmp_path: Path, clock: SettableClock) -> None:
    chosen = settings(tmp_path / "data")
    house = Broker(chosen)
    house.start()
    try:
        findings = examine(chosen, clock)
    finally:
        house.stop()

    assert PROBLEM not in {finding.status for finding in findings}
    assert str(house.ports["dicom"]) in found(findings, "port dicom").found
    assert found(findings, "readiness").status == OK


def test_a_port_that_another_program_has_is_a_problem_with_a_way_out(
    tmp_path: Path, clock: SettableClock, taken: int
) -> None:
    finding = found(examine(settings(tmp_path / "data", dicom_port=taken), clock), "port dicom")

    assert finding.status == PROBLEM
    assert "--dicom-port" in finding.mend


def test_an_address_that_is_not_ours_is_a_problem(tmp_path: Path, clock: SettableClock) -> None:
    finding = found(examine(settings(tmp_path / "data", host="192.0.2.1"), clock), "port hl7")

    assert finding.status == PROBLEM
    assert "--host" in finding.mend


def test_a_data_folder_that_is_a_file_is_a_problem(tmp_path: Path, clock: SettableClock) -> None:
    (tmp_path / "file").touch()

    finding = found(examine(Settings.load({}, {"data": tmp_path / "file", **FREE}), clock), "data folder")

    assert finding.status == PROBLEM


def test_a_database_that_does_not_answer_is_a_problem(tmp_path: Path, clock: SettableClock, taken: int) -> None:
    url = f"postgresql://nobody@127.0.0.1:{taken}/none?connect_timeout=2"

    assert found(examine(settings(tmp_path / "data", database=url), clock), "database").status == PROBLEM


def test_too_few_open_files_are_a_problem(
    tmp_path: Path, clock: SettableClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda which: (256, 512))

    finding = found(examine(settings(tmp_path / "data"), clock), "open files")

    assert finding.status == PROBLEM
    assert "LimitNOFILE" in finding.mend


def test_a_wrong_site_profile_is_a_problem_that_says_where(tmp_path: Path, clock: SettableClock) -> None:
    chosen = settings(tmp_path / "data")
    (tmp_path / "data" / "site.toml").write_text("[missing]\nmodality = 'guess'\n")

    finding = found(examine(chosen, clock), "site profile")

    assert finding.status == PROBLEM
    assert "missing.modality" in finding.found


def test_a_department_without_a_time_zone_is_warned(
    tmp_path: Path, clock: SettableClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "UTC")
    chosen = settings(tmp_path / "data")
    (tmp_path / "data" / "site.toml").write_text("")

    assert found(examine(chosen, clock), "time zone").status == WARNING


@pytest.mark.parametrize(
    ("later_days", "status"), [(0, OK), (80, WARNING), (101, PROBLEM), (-2, PROBLEM)],
    ids=["valid", "expires soon", "expired", "not yet valid"],
)  # fmt: skip
def test_dates_of_certificates_are_told(
    tmp_path: Path, clock: SettableClock, authority: Authority, later_days: int, status: str
) -> None:
    own = authority.issue(f"broker{later_days}", 100)
    clock.set(datetime.now(UTC) + timedelta(days=later_days))
    tls = {"dicom_tls_port": 0, "dicom_tls_certificate": own.certificate, "dicom_tls_key": own.key}

    finding = found(examine(settings(tmp_path / "data", **tls), clock), "TLS dicom")

    assert finding.status == status


def test_a_key_that_does_not_belong_to_its_certificate_is_a_problem(
    tmp_path: Path, clock: SettableClock, authority: Authority
) -> None:
    one, other = authority.issue("one"), authority.issue("other")
    tls = {"hl7_tls_port": 0, "hl7_tls_certificate": one.certificate, "hl7_tls_key": other.key}

    assert found(examine(settings(tmp_path / "data", **tls), clock), "TLS hl7").status == PROBLEM


@pytest.mark.parametrize(("port", "code"), [("free", 0), ("taken", 1)])
def test_the_command_ends_with_1_when_there_are_problems(
    tmp_path: Path,
    taken: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    port: str,
    code: int,
) -> None:
    chosen = settings(tmp_path / "data")
    ports = ["--hl7-port", "0", "--http-port", "0", "--dicom-port", "0" if port == "free" else str(taken)]
    monkeypatch.setattr("sys.argv", ["mwl-broker", "doctor", "--json", "--data", str(chosen.data), *ports])

    with pytest.raises(SystemExit) as ended:
        cli.main()

    assert int(ended.value.code or 0) == code
    assert json.loads(capsys.readouterr().out)["problems"] == code


def test_images_without_a_file_and_files_without_a_row_are_told(tmp_path: Path, clock: SettableClock) -> None:
    with running(tmp_path / "data", f"sqlite:///{tmp_path / 'data' / 'broker.db'}") as broker:
        case = Case()
        broker.send(case.order())
        image = broker.scanner().take(broker.item(case))
        broker.scanner().store(image)
        broker.file_of(image.SOPInstanceUID).unlink()
    (tmp_path / "data" / "unclaimed").mkdir()
    (tmp_path / "data" / "unclaimed" / "7.dcm").touch()

    findings = examine(settings(tmp_path / "data"), clock)

    images = found(findings, "images")
    assert images.status == PROBLEM
    assert images.found == (
        f"1 stored images have no file: number 1; accession {case.accession}; study {image.StudyInstanceUID}"
    )
    assert found(findings, "unclaimed files").status == WARNING


def test_a_database_that_is_missing_beside_its_folder_is_a_problem(tmp_path: Path, clock: SettableClock) -> None:
    data = tmp_path / "data"
    with running(data, f"sqlite:///{data / 'broker.db'}"):
        pass
    (data / "broker.db").unlink()

    database = found(examine(settings(data), clock), "database")

    assert database.status == PROBLEM
    assert "restore it" in database.mend
    assert "--pair" in database.mend


def test_a_folder_whose_identity_cannot_be_read_is_a_problem(tmp_path: Path, clock: SettableClock) -> None:
    data = tmp_path / "data"
    with running(data, f"sqlite:///{data / 'broker.db'}"):
        pass
    (data / "identity.json").write_text("{}")

    folder = next(one for one in examine(settings(data), clock) if one.status == PROBLEM)

    assert folder.check == "data folder"
    assert "identity.json" in folder.mend
