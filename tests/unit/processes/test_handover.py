"""What a process of the DICOM door is handed makes it the same as the main one, or stops it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from broker.dicom.census import PeerSeen, Snapshot
from broker.errors import BrokerError, SettingsError
from broker.processes.door import limits_for
from broker.processes.handover import Handover
from broker.processes.report import Report, read_stop, stop_line
from broker.settings import Settings
from broker.site.profile import load

EVERYTHING = Settings.load(
    {},
    {
        "data": Path("some folder/data"),
        "database": "postgresql://broker:s%3Dcret@db/broker",
        "site": Path("ü.toml"),
        "migrate": False,
        "ae_title": "A B",
        "dicom_port": 0,
        "dicom_processes": 3,
        "lock_seconds": 0.1 + 0.2,
        "log": "json",
    },
)


@pytest.fixture
def handed(tmp_path):
    profile = tmp_path / "site.toml"
    profile.write_text('time_zone = "Asia/Tokyo"\n[worklist]\nhide_started = true\n', "utf-8")
    return Handover.of(2, EVERYTHING, load(profile), {"dicom": 7})


def test_settings_profile_and_sockets_arrive_as_they_were_sent(handed):
    line = handed.line()

    assert line.count(b"\n") == 1
    assert Handover.read(line) == handed


def test_the_profile_is_the_one_that_the_main_process_read_whatever_its_file_says_now(handed):
    assert handed.profile_path is not None
    handed.profile_path.write_text("no_such_key = 1\n", "utf-8")

    site = Handover.read(handed.line()).site()

    assert site.zone.key == "Asia/Tokyo"
    assert site.peers.hides_started("CT1")
    assert site.rows.hash == handed.rows_hash


def test_the_built_in_profile_needs_no_file():
    handed = Handover.of(1, EVERYTHING, load(None), {})

    assert Handover.read(handed.line()).site().rows.hash == handed.rows_hash


def test_a_profile_of_which_other_rows_come_is_refused(handed):
    with pytest.raises(SettingsError, match="has changed meanwhile"):
        replace(handed, rows_hash="of another installation").site()


def test_what_another_version_hands_over_is_refused(handed):
    line = json.dumps(json.loads(handed.line()) | {"version": "0.0.1"}).encode()

    with pytest.raises(BrokerError, match="another version"):
        Handover.read(line)


def test_a_report_and_the_order_to_stop_arrive_as_they_were_sent():
    peers = (PeerSeen("CT1", "10.0.0.1", 2, 1.5), PeerSeen("MR ü", "::1", 0, 1.25))
    report = Report(True, Snapshot(2, 1, peers, {"accepted": 4}, {"local limit": 1}, {"pdu length": 2}))

    assert Report.read(report.line()) == report
    assert Report.read(Report(False, failed="no database").line()) == Report(False, failed="no database")
    assert read_stop(stop_line(2.25)) == 2.25


@pytest.mark.parametrize(("in_total", "processes", "each"), [(200, 1, 200), (200, 2, 100), (200, 3, 67), (1, 8, 1)])
def test_processes_share_the_limit_of_associations_rounded_up(in_total, processes, each):
    settings = Settings.load({}, {"dicom_associations": in_total})

    assert limits_for(settings, processes).associations == each
