"""The site profile: what it says, and where and how a wrong one is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from broker.domain.order_control import SHIPPED
from broker.domain.request import NO_ISSUER, Issuer
from broker.domain.rules import Authority, ModalityRule, Policy, Station, StationRule
from broker.errors import SettingsError
from broker.site.model import render_json_schema
from broker.site.profile import Site, load
from broker.site.toml import line_of
from broker.site.zones import machine_zone

ROOT = Path(__file__).parents[3]
STEP = "ScheduledProcedureStepSequence."


@pytest.fixture
def profile(tmp_path: Path) -> Any:
    """Read a profile with this text."""

    def read(text: str) -> Site:
        path = tmp_path / "site.toml"
        path.write_text(text, encoding="utf-8")
        return load(path)

    return read


def test_without_a_file_the_shipped_profile_holds() -> None:
    site = load(None)

    assert site.path is None
    assert site.versions == {"2.3", "2.3.1", "2.4", "2.5", "2.5.1"}
    assert site.processing_ids == {"P"}
    assert site.rules.missing.start is Policy.NOW
    assert site.rules.order_control == SHIPPED
    assert site.zone == machine_zone()
    assert site.sender("RIS", "HOSP").group == "RIS|HOSP"
    assert site.peers.allows("ANY", "BROKER")


def test_an_empty_file_changes_nothing(profile: Any) -> None:
    site = profile("")

    assert site.rows.hash == load(None).rows.hash
    assert site.text == ""


def test_the_sample_says_what_its_comments_say() -> None:
    site = load(ROOT / "samples" / "site.toml")

    rules = site.rules
    assert site.zone == ZoneInfo("Europe/Berlin")
    assert rules.default_issuer == Issuer("HOSP", "1.2.276.0.76.3.1.99", "ISO")
    assert rules.authorities == (
        Authority(Issuer("HOSP", "1.2.276.0.76.3.1.99", "ISO"), 1, (Issuer("HOSPITAL"), Issuer("HIS"))),
    )
    assert rules.numbers.accession_prefix == "A"
    assert rules.stations["CT_1"] == Station("CT_1", ("CT",))
    assert rules.station_rules[1] == StationRule({STEP + "Modality": "MR"}, ("MR_1", "MR_2"))
    assert rules.modality_rules[0] == ModalityRule({"RequestedProcedureCodeSequence.CodeValue": "CT*"}, "CT")
    assert rules.order_control["XO/DC"]["started"] == "discontinue"
    assert rules.order_control["CA"] == SHIPPED["CA"]
    assert "EthnicGroup" in site.rows.by_key
    assert site.rows.by_key["PatientWeight"].unit == "kg"


def test_a_sender_has_a_number_space_an_issuer_and_rows_of_its_own() -> None:
    site = load(ROOT / "samples" / "site.toml")

    new, old, other = site.sender("RIS", "HOSP"), site.sender("OLDRIS", "EAST"), site.sender("HIS", "HOSP")

    assert (new.group, old.group, other.group) == ("ris", "ris", "HIS|HOSP")
    assert (new.issuer, old.issuer) == (Issuer("HOSP"), NO_ISSUER)
    assert site.rows_for(old).by_key[STEP + "Modality"].sources[0].text == "OBR-25"
    assert site.rows_for(new) is site.rows


def test_a_sender_s_rows_change_the_hash_of_the_site_s(profile: Any) -> None:
    site = profile('[senders."A|B".rows.PatientSex]\nvalues = { X = "O" }')

    assert site.rows.hash != load(None).rows.hash
    assert site.rows_for(site.sender("A", "B")).by_key["PatientSex"].values["X"] == "O"
    assert "X" not in site.rows.by_key["PatientSex"].values


def test_a_row_is_changed_in_the_points_that_are_named(profile: Any) -> None:
    row = profile('[rows.PatientSex]\nsource = ["PID-30"]').rows.by_key["PatientSex"]

    assert [source.text for source in row.sources] == ["PID-30"]
    assert (row.transform, row.match, row.returns, row.values["A"]) == ("upper", "single", "2", "O")


def test_a_row_may_be_removed(profile: Any) -> None:
    assert "Allergies" not in profile("[rows.Allergies]\nremove = true").rows.by_key


def test_one_row_adds_an_attribute(profile: Any) -> None:
    site = profile('[rows.EthnicGroup]\nsource = ["PID-22"]')

    assert site.rows.by_key["EthnicGroup"].owner == "patient"
    assert len(site.rows.rows) == len(load(None).rows.rows) + 1


def test_one_row_adds_an_order_control(profile: Any) -> None:
    row = {"unknown": "create", "not_started": "update", "started": "nothing", "finished": "nothing",
           "canceled": "nothing"}  # fmt: skip

    site = profile("[order_control.RP]\n" + "\n".join(f'{cell} = "{action}"' for cell, action in row.items()))

    assert site.rules.order_control["RP"] == row


def test_peers_may_be_closed_and_see_other_things(profile: Any) -> None:
    site = profile("[worklist]\nclosed = true\nhide_started = true\n[peers.CT_1]\nhide_started = false\n[peers.CT_2]\n"
                   "absent_type_3 = true")  # fmt: skip

    assert [site.peers.allows(title, "BROKER") for title in ("CT_1", "CT_2", "CT_3")] == [True, True, False]
    assert [site.peers.hides_started(title) for title in ("CT_1", "CT_2", "CT_3")] == [False, True, True]
    assert [site.peers.absent_type_3(title) for title in ("CT_1", "CT_2", "CT_3")] == [False, True, False]


WRONG = [
    ("colour = 1", 1, "colour", "unknown key"),
    ("[missing]\n\nstart = 'later'", 3, "missing.start", '"now", "reject", "hold"'),
    ("[missing]\nstudy_uid = 'now'", 2, "missing.study_uid", '"generate", "reject", "hold"'),
    ("[missing]\nstation = 'generate'", 2, "missing.station", '"open", "hold", "reject"'),
    ("[missing]\nmodality = true", 2, "missing.modality", '"hold", "reject"'),
    ("time_zone = 'Europe/Berlinn'", 1, "time_zone", "Europe/Berlin"),
    ("time_zone = 1", 1, "time_zone", 'text in quotes: "1"'),
    ("[numbers]\naccession_width = '8'", 2, "numbers.accession_width", "a whole number"),
    ("[numbers]\naccession_prefix = 'TOOLONGAPREFIX'", 1, "numbers", "at most 16 characters"),
    ("[numbers]\nuid_root = '1.02'", 2, "numbers.uid_root", "a UID"),
    ("[stations.'TOO LONG A TITLE FOR AE']", 1, "stations.TOO LONG A TITLE FOR AE", "1 to 16 characters"),
    ("[stations.CT_1]\nmodalities = ['ct']", 2, "stations.CT_1.modalities.0", "capitals"),
    ("[[station_rules]]\nstations = []", 2, "station_rules.0.stations", "at least 1"),
    ("[[station_rules]]\nstations = ['A']\n[[station_rules]]\nwhen = { Modality = 'x' }\nstations = ['B']", 4,
     "station_rules.1.when.Modality", "sender, or the key of a row"),
    ("[stations.CT_1]\n[[station_rules]]\nstations = ['CT_2']", 3, "station_rules.0.stations", "CT_1"),
    ("[order_control.NW]\nstarted = 'update'", 2, "order_control.NW.started", "descriptive"),
    ("[order_control.ZZ]\nunknown = 'create'", 1, "order_control.ZZ.not_started", "cancel"),
    ("[order_control.'NW SC']\nunknown = 'create'", 1, "order_control.NW SC", "SC/IP"),
    ("[senders.RIS]\ngroup = 'x'", 1, "senders.RIS", "pattern"),
    ("[senders.'A|B'.rows.Nothing]\ntake = 'all'", 1, "senders.A|B.rows.Nothing", "rows.Nothing"),
    ("[senders.'A|B'.rows.PatientSex]\nmatch = 'none'", 2, "senders.A|B.rows.PatientSex.match", "unknown key"),
    ("[senders.'A|B'.rows.PatientSex]\ntransform = 'shout'", 2, "senders.A|B.rows.PatientSex.transform", "upper"),
    ("[authorities.A]\nrank = 0", 2, "authorities.A.rank", "greater than or equal to 1"),
    ("default_issuer = 'A&B&C&D'", 1, "default_issuer", "NAMESPACE"),
    ("[hl7]\nprocessing_ids = ['X']", 2, "hl7.processing_ids.0", '"P", "T", "D"'),
    ("[rows.PatientNme]\nsource = ['PID-5']", 1, "rows.PatientNme", "did you mean PatientName?"),
    ("[rows.PatientComments]\n\nsource = ['PID3']", 3, "rows.PatientComments.source", "[FAMILY:]"),
    ("[rows.PatientComments]\ntransform = 'shout'", 2, "rows.PatientComments.transform", '"text", "lines"'),
    ("[rows.PatientComments]\nvr = 'LO'", 1, "rows.PatientComments", "LT"),
    ("[rows.PatientComments]\nretrun = '3'", 2, "rows.PatientComments.retrun", "did you mean return?"),
    ("[rows.PatientComments]\nreturn = 3", 2, "rows.PatientComments.return", 'one of "1", "1C", "2", "2C", "3"'),
    ("[rows.PatientComments]\nsource = 'PID-5'", 2, "rows.PatientComments.source", 'a list: ["PID-5"]'),
    ("[worklist]\nclosed = 'yes'", 2, "worklist.closed", "true or false"),
    ("rows.PatientName.remove = true", 1, "rows.PatientName.remove", "cannot be removed"),
    (f"[rows.'{STEP}Modality']\nreturn = '3'", 2, f"rows.{STEP}Modality.return", "1"),
    (f"[rows.'{STEP}Modality']\nmatch = 'none'", 2, f"rows.{STEP}Modality.match", "K.6-1"),
    ("[rows.SpecialNeeds]\nfollows = 'Nobody'", 2, "rows.SpecialNeeds.follows", "another row"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "line", "key", "said"), WRONG, ids=[key for _, _, key, _ in WRONG])
def test_a_wrong_profile_is_refused_with_file_line_key_and_what_would_be_right(
    profile: Any, text: str, line: int, key: str, said: str
) -> None:
    with pytest.raises(SettingsError) as refused:
        profile(text)

    shown = str(refused.value)
    assert "site.toml" in shown
    assert key in shown
    assert f"line {line}" in shown or f"line={line}" in shown
    assert said in shown


def test_all_wrong_values_of_a_file_are_told_at_once(profile: Any) -> None:
    with pytest.raises(SettingsError) as refused:
        profile("colour = 1\n[missing]\nstart = 'later'\nmodality = 'open'")

    shown = str(refused.value)
    assert all(said in shown for said in ("line 1, colour", "line 3, missing.start", "line 4, missing.modality"))


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"[missing\n\n", "line 1"),
        (b"\xff", "UTF-8"),
        (b"a = 1\na = 2\nb = 3", "line 2"),
        (b"x" * 5_000_000, "too long"),
    ],
)
def test_a_file_that_is_no_profile_is_refused(tmp_path: Path, raw: bytes, said: str) -> None:
    (tmp_path / "site.toml").write_bytes(raw)

    with pytest.raises(SettingsError) as refused:
        load(tmp_path / "site.toml")

    assert said in str(refused.value)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read"):
        load(tmp_path / "nothing.toml")


LINES = """a = 1

['b'.c]  # here
d = 3
"f" . g = 2
[[e]]
h = 1
[[e]]
h = 2
"""


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("a", 1),
        ("b.c", 3),
        ("b.c.d", 4),
        ("b.c.x", 3),
        ("b.c.f.g", 5),
        ("e.0.h", 7),
        ("e.1.h", 9),
        ("e.1.i", 8),
        ("z", None),
    ],
)
def test_the_line_of_a_key_is_found(path: str, line: int | None) -> None:
    assert line_of(LINES, path) == line


def test_the_schema_for_editors_is_as_the_models_are() -> None:
    written = (ROOT / "schema" / "site.schema.json").read_text(encoding="utf-8")

    assert written == render_json_schema()
    assert set(json.loads(written)["properties"]) >= {"rows", "missing", "stations", "order_control", "senders"}


def test_the_machine_s_zone_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")

    assert machine_zone() == ZoneInfo("Asia/Tokyo")
