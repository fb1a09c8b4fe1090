"""From when until when the certificates of a PEM file hold, read from their bytes (RFC 5280 4.1), unverified."""

from __future__ import annotations

import binascii
import re
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from broker.errors import SettingsError

MOST_BYTES = 1_000_000
"""Of a file of certificates."""

_PEM = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)
_UTC_TIME, _GENERALIZED_TIME = 0x17, 0x18
_VERSION = 0xA0


@dataclass(frozen=True, slots=True)
class Validity:
    """Both ends included, UTC."""

    begins: datetime
    ends: datetime


def validities(file: Path) -> list[Validity]:
    """Of each certificate of the file, in its order: of a listener's own file the first is ours.

    raises  SettingsError when the file cannot be read or holds no certificate
    """
    try:
        with file.open("rb") as opened:
            text = opened.read(MOST_BYTES).decode("ascii", "replace")
    except OSError as error:
        raise SettingsError("a certificate cannot be read", file=str(file), reason=error.strerror) from None
    try:
        found = [_validity(ssl.PEM_cert_to_DER_cert(pem)) for pem in _PEM.findall(text)]
    except (ValueError, IndexError, binascii.Error):
        raise SettingsError("a certificate is damaged", file=str(file)) from None
    if not found:
        raise SettingsError("the file holds no certificate in PEM form", file=str(file))
    return found


def _validity(certificate: bytes) -> Validity:
    """Certificate > TBSCertificate > [version], serial number, signature, issuer, validity."""
    at = _inside(certificate, _inside(certificate, 0))
    if certificate[at] == _VERSION:
        at = _after(certificate, at)
    for _ in ("serial number", "signature", "issuer"):
        at = _after(certificate, at)
    begins = _inside(certificate, at)
    return Validity(_time(certificate, begins), _time(certificate, _after(certificate, begins)))


def _length(data: bytes, at: int) -> tuple[int, int]:
    """Where the value of the element at a place begins, and how long it is (X.690 8.1.3)."""
    first = data[at + 1]
    if first < 0x80:
        return at + 2, first
    count = first & 0x7F
    return at + 2 + count, int.from_bytes(data[at + 2 : at + 2 + count], "big")


def _inside(data: bytes, at: int) -> int:
    return _length(data, at)[0]


def _after(data: bytes, at: int) -> int:
    start, length = _length(data, at)
    return start + length


def _time(data: bytes, at: int) -> datetime:
    start, length = _length(data, at)
    text = data[start : start + length].decode("ascii")
    form = {_UTC_TIME: "%y%m%d%H%M%SZ", _GENERALIZED_TIME: "%Y%m%d%H%M%SZ"}.get(data[at])
    if form is None:
        raise ValueError("not a time")
    found = datetime.strptime(text, form).replace(tzinfo=UTC)
    # RFC 5280 4.1.2.5.1: two-digit years from 50 on are of the last century; the C library begins at 69.
    return found.replace(year=found.year - 100) if data[at] == _UTC_TIME and found.year >= 2050 else found
