"""The TLS context of a listener from its certificate files: BCP 195, TLS 1.2 and 1.3 (PS3.15 B.12)."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from broker.errors import SettingsError

CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""Of TLS 1.2: forward secrecy and authenticated encryption only; those of TLS 1.3 are all of that kind."""

ClientCertificates = Literal["none", "optional", "required"]

_VERIFY = {"none": ssl.CERT_NONE, "optional": ssl.CERT_OPTIONAL, "required": ssl.CERT_REQUIRED}


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Files in PEM form.

    certificate          ours, then those that lead to its authority
    key                  of our certificate, without a passphrase
    authorities          whose certificates we take from clients; needed when any are asked for
    client_certificates  none: not asked for; optional: checked when there is one; required
    """

    certificate: Path
    key: Path
    authorities: Path | None = None
    client_certificates: ClientCertificates = "none"


def server_context(files: TlsFiles) -> ssl.SSLContext:
    """The context for wrap_socket(server_side=True). raises SettingsError naming the file and what is wrong with it"""
    for what, file in (("certificate", files.certificate), ("key", files.key), ("authorities", files.authorities)):
        if file is not None:
            _check_readable(what, file)
    if files.client_certificates not in _VERIFY:
        raise SettingsError(
            "wrong value for client certificates", value=files.client_certificates, wanted=" or ".join(_VERIFY)
        )
    if files.client_certificates != "none" and files.authorities is None:
        raise SettingsError("client certificates are asked for, but no authorities are named to check them by")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS)
    _load_own(context, files)
    if files.authorities is not None:
        _load_authorities(context, files.authorities)
    context.verify_mode = _VERIFY[files.client_certificates]
    return context


def _check_readable(what: str, file: Path) -> None:
    try:
        with file.open("rb") as opened:
            opened.read(1)
    except OSError as error:
        raise SettingsError(
            "a TLS file cannot be read", which=what, file=str(file), reason=error.strerror or "unknown"
        ) from None


def _load_own(context: ssl.SSLContext, files: TlsFiles) -> None:
    def no_passphrase() -> str:
        # Without this, OpenSSL would ask on the terminal, and the start would hang.
        raise SettingsError("the TLS key has a passphrase; take it off", file=str(files.key))

    facts = {"certificate": str(files.certificate), "key": str(files.key)}
    try:
        context.load_cert_chain(files.certificate, files.key, no_passphrase)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise SettingsError("the TLS key does not belong to the certificate", **facts) from None
        raise SettingsError(
            "the TLS certificate or key is not in PEM form", **facts, reason=error.reason or "no PEM lines"
        ) from None


def _load_authorities(context: ssl.SSLContext, file: Path) -> None:
    try:
        context.load_verify_locations(file)
    except ssl.SSLError as error:
        raise SettingsError(
            "the file of TLS authorities holds no certificate in PEM form",
            file=str(file),
            reason=error.reason or "no PEM lines",
        ) from None
