"""Settings: where they come from, what is refused and how it is said, and that the documentation says the same."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from broker.errors import SettingsError
from broker.settings import Settings, flag_of, table, variable_of

ROOT = Path(__file__).parents[3]


def test_nothing_given_means_loopback_and_the_registered_ports() -> None:
    found = Settings.load({})

    assert (found.host, found.hl7_port, found.dicom_port, found.http_port) == ("127.0.0.1", 2575, 11112, 8080)
    assert (found.ae_title, found.data, found.database, found.site) == ("MWLBROKER", Path("data"), None, None)


def test_a_flag_wins_over_its_variable_and_a_variable_over_the_default() -> None:
    settings = Settings.load({"BROKER_HL7_PORT": "1", "BROKER_DICOM_PORT": "2"}, {"hl7_port": "3", "http_port": None})

    assert (settings.hl7_port, settings.dicom_port, settings.http_port) == (3, 2, 8080)


@pytest.mark.parametrize("word", ["false", "False", "no", "off", "0"])
def test_a_word_for_no_is_not_taken_for_true(word: str) -> None:
    assert Settings.load({"BROKER_MIGRATE": word}).migrate is False


@pytest.mark.parametrize("name", ["BROKER_HL7_PROT", "BROKER_PORTS_HL7", "broker_hl7_port", "BROKER_"])
def test_an_unknown_variable_is_refused_by_name(name: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.load({name: "1"})

    assert name in str(caught.value)


def test_a_misspelt_variable_is_told_what_it_may_have_meant() -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.load({"BROKER_HL7_PROT": "1"})

    assert "did_you_mean=BROKER_HL7_PORT" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("hl7_port", "65536"),
        ("hl7_port", "-1"),
        ("http_port", "80.5"),
        ("migrate", "maybe"),
        ("ae_title", "SEVENTEENLETTERS1"),
        ("ae_title", "back\\slash"),
        ("ae_title", "MÜNCHEN"),
        ("ae_title", ""),
        ("database", "mysql://there"),
        ("stop_grace_seconds", "0"),
        ("stop_grace_seconds", "nan"),
        ("stop_grace_seconds", "inf"),
        ("writer_bytes", "many"),
        ("data", ""),
        ("log", "xml"),
    ],
)
def test_a_wrong_value_is_refused_with_its_name_and_what_would_be_right(name: str, value: str) -> None:
    with pytest.raises(SettingsError) as by_variable:
        Settings.load({variable_of(name): value})
    with pytest.raises(SettingsError) as by_flag:
        Settings.load({}, {name: value})

    assert variable_of(name) in str(by_variable.value)
    assert flag_of(name) in str(by_flag.value)
    assert by_flag.value.facts["wanted"]


def test_a_wrong_database_url_is_refused_without_showing_its_password() -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.load({"BROKER_DATABASE": "mysql://me:geheim@there/db"})

    assert "geheim" not in str(caught.value)


@pytest.mark.parametrize("known", fields(Settings), ids=lambda known: known.name)
def test_each_default_is_a_value_that_would_be_taken(known) -> None:  # type: ignore[no-untyped-def]
    if known.default is not None:
        assert known.metadata["kind"].read(str(known.default)) == known.default
    assert known.metadata["help"]


def test_the_documentation_holds_the_table_made_from_the_settings() -> None:
    assert table() in (ROOT / "docs" / "settings.md").read_text("utf-8"), "write it anew: make docs"


TLS = {"hl7_tls_port": "2576", "hl7_tls_certificate": "a.pem", "hl7_tls_key": "a.key"}


def test_a_door_without_a_tls_port_has_no_tls() -> None:
    assert Settings.load({}).tls("hl7") is None


def test_a_tls_port_brings_its_files() -> None:
    found = Settings.load({}, TLS | {"hl7_tls_clients": "required", "hl7_tls_authorities": "ca.pem"}).tls("hl7")

    assert found == {
        "certificate": Path("a.pem"), "key": Path("a.key"), "authorities": Path("ca.pem"),
        "client_certificates": "required",
    }  # fmt: skip


@pytest.mark.parametrize("left_out", sorted(TLS))
def test_half_of_what_tls_needs_is_refused_with_what_is_missing(left_out: str) -> None:
    settings = Settings.load({}, {name: value for name, value in TLS.items() if name != left_out})

    with pytest.raises(SettingsError, match=flag_of(left_out)):
        settings.tls("hl7")
