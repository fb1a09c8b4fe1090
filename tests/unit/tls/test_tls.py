"""The TLS context from files: right ones serve, wrong ones are named with what is wrong with them."""

from __future__ import annotations

import ssl
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from broker.errors import SettingsError
from broker.tls import TlsFiles, server_context
from tests.kit.certificates import Authority


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def files(authority: Authority) -> TlsFiles:
    own = authority.issue("broker")
    return TlsFiles(own.certificate, own.key, authority.certificate)


def test_the_context_speaks_tls_1_2_and_1_3_with_ecdhe_and_aead_only(files: TlsFiles) -> None:
    context = server_context(files)

    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert context.verify_mode is ssl.CERT_NONE
    old = [one["name"] for one in context.get_ciphers() if one["protocol"] == "TLSv1.2"]
    assert old
    assert all(name.startswith("ECDHE-") and ("GCM" in name or "CHACHA20" in name) for name in old)


@pytest.mark.parametrize(
    ("asked", "mode"),
    [("none", ssl.CERT_NONE), ("optional", ssl.CERT_OPTIONAL), ("required", ssl.CERT_REQUIRED)],
)
def test_client_certificates_are_asked_for_as_set(files: TlsFiles, asked: str, mode: ssl.VerifyMode) -> None:
    assert server_context(replace(files, client_certificates=asked)).verify_mode is mode  # type: ignore[arg-type]


@pytest.mark.parametrize("which", ["certificate", "key", "authorities"])
def test_a_missing_file_is_named(files: TlsFiles, tmp_path: Path, which: str) -> None:
    absent = tmp_path / "absent.pem"

    with pytest.raises(SettingsError) as refused:
        server_context(replace(files, **{which: absent}))

    assert refused.value.facts == {"which": which, "file": str(absent), "reason": "No such file or directory"}


@pytest.mark.parametrize("which", ["certificate", "key", "authorities"])
def test_a_file_that_is_no_pem_is_named(files: TlsFiles, tmp_path: Path, which: str) -> None:
    wrong = tmp_path / "wrong.pem"
    wrong.write_text("this is no certificate")

    with pytest.raises(SettingsError) as refused:
        server_context(replace(files, **{which: wrong}))

    assert str(wrong) in str(refused.value)


def test_a_key_of_another_certificate_is_told_so(files: TlsFiles, authority: Authority) -> None:
    with pytest.raises(SettingsError, match="does not belong"):
        server_context(replace(files, key=authority.issue("other").key))


def test_a_key_with_a_passphrase_is_told_so_and_nobody_is_asked(files: TlsFiles, tmp_path: Path) -> None:
    locked = tmp_path / "locked.key"
    subprocess.run(
        ["openssl", "pkey", "-in", files.key, "-aes256", "-passout", "pass:secret", "-out", locked],
        check=True,
        capture_output=True,
    )

    with pytest.raises(SettingsError, match="passphrase"):
        server_context(replace(files, key=locked))


def test_client_certificates_need_an_authority(files: TlsFiles) -> None:
    with pytest.raises(SettingsError, match="authorities"):
        server_context(replace(files, authorities=None, client_certificates="required"))


def test_another_word_for_client_certificates_is_refused(files: TlsFiles) -> None:
    with pytest.raises(SettingsError, match="wrong value"):
        server_context(replace(files, client_certificates="maybe"))  # type: ignore[arg-type]
