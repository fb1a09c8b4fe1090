"""Dates of certificates as their files have them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from broker.certificate_dates import validities
from broker.errors import SettingsError
from tests.kit.certificates import Authority


@pytest.mark.parametrize("days", [1, 40, 36_500], ids=["tomorrow", "soon", "in the next century"])
def test_a_certificate_ends_when_its_maker_said(tmp_path: Path, days: int) -> None:
    (validity,) = validities(Authority(tmp_path).issue("broker", days).certificate)

    assert abs(validity.begins - datetime.now(UTC)) < timedelta(minutes=5)
    assert abs(validity.ends - validity.begins - timedelta(days=days)) < timedelta(seconds=2)


def test_every_certificate_of_a_file_is_told(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    chain = tmp_path / "chain.pem"
    chain.write_bytes(authority.issue("broker", 3).certificate.read_bytes() + authority.certificate.read_bytes())

    first, second = validities(chain)

    assert first.ends < second.ends


@pytest.mark.parametrize(
    "content",
    ["", "no certificate", "-----BEGIN CERTIFICATE-----\nMAMC\n-----END CERTIFICATE-----\n",
     "-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n"],
    ids=["empty", "text", "too short", "no base64"],
)  # fmt: skip
def test_a_file_without_a_whole_certificate_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "file.pem").write_text(content)

    with pytest.raises(SettingsError):
        validities(tmp_path / "file.pem")


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="nowhere.pem"):
        validities(tmp_path / "nowhere.pem")
