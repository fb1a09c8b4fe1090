"""DICOM over TLS on the same engine: who is let in, what is refused, and the same messages inside."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from broker.dicom.listener import DicomListener
from broker.tls import TlsFiles
from tests.kit.certificates import Authority
from tests.kit.raw_dicom import (
    CT_IMAGE,
    RELEASE_RP,
    RELEASE_RQ,
    RawPeer,
    cancel_rq,
    command_set,
    data,
    echo_rq,
    find_rq,
)
from tests.wire.engine.conftest import SmallServices

OpenDoor = Callable[..., DicomListener]


def let_in(port: int, context: ssl.SSLContext) -> bool:
    """Whether a client gets as far as an answered C-ECHO; in TLS 1.3 the refusal comes after the handshake."""
    try:
        with RawPeer(port, context).associate() as peer:
            return peer.echo() == 0
    except (OSError, AssertionError):
        return False


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_an_association_works_as_it_does_without_tls(
    open_door: OpenDoor, tls_files: TlsFiles, authority: Authority, services: SmallServices, version: ssl.TLSVersion
) -> None:
    services.answers = 2_500
    context = authority.client_context()
    context.minimum_version = context.maximum_version = version
    with RawPeer(open_door(tls_files).port, context).associate() as peer:
        assert peer.echo() == 0
        peer.send(find_rq())
        assert peer.status() == 0
        peer.send(data(7, command_set(0x0001, 1, CT_IMAGE, dataset=True, instance="1.2.3"), command=True))
        for _ in range(30):
            peer.send(data(7, bytes(100_000), command=False, last=False))
        peer.send(data(7, b"", command=False))
        assert peer.status() == 0
        peer.send(RELEASE_RQ)
        assert peer.pdu() == RELEASE_RP
    assert services.stored == [3_000_000]


def test_a_cancel_is_seen_under_tls(
    open_door: OpenDoor, tls_files: TlsFiles, authority: Authority, services: SmallServices
) -> None:
    services.answers = 1_000_000
    with RawPeer(open_door(tls_files).port, authority.client_context()).associate() as peer:
        peer.send(find_rq(7))
        peer.pdu()
        peer.send(cancel_rq(7))

        assert peer.status() == 0xFE00


def test_bytes_that_tls_has_read_already_never_wait(
    open_door: OpenDoor, tls_files: TlsFiles, authority: Authority
) -> None:
    with RawPeer(open_door(tls_files).port, authority.client_context()).associate() as peer:
        for _ in range(20):
            began = time.monotonic()
            first, second = echo_rq()[:30], echo_rq()[30:]
            peer.send(first)
            peer.send(second)
            assert peer.status() == 0
            assert time.monotonic() - began < 1.0


@pytest.mark.parametrize(
    ("asked", "nobody", "stranger", "known"),
    [("none", True, True, True), ("optional", True, False, True), ("required", False, False, True)],
)
def test_client_certificates_are_none_optional_or_required(
    open_door: OpenDoor,
    tls_files: TlsFiles,
    authority: Authority,
    tmp_path,
    asked: str,
    nobody: bool,
    stranger: bool,
    known: bool,
) -> None:
    port = open_door(replace(tls_files, client_certificates=asked)).port  # type: ignore[arg-type]
    foreign = Authority(tmp_path, "foreign").issue("stranger")

    assert let_in(port, authority.client_context()) == nobody
    assert let_in(port, authority.client_context(foreign)) == stranger
    assert let_in(port, authority.client_context(authority.issue("ct"))) == known


def test_what_is_older_than_tls_1_2_is_refused(open_door: OpenDoor, tls_files: TlsFiles, authority: Authority) -> None:
    context = authority.client_context()
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")

    assert not let_in(open_door(tls_files).port, context)


def test_ciphers_without_forward_secrecy_are_refused(
    open_door: OpenDoor, tls_files: TlsFiles, authority: Authority
) -> None:
    context = authority.client_context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("AES128-GCM-SHA256:AES256-SHA")

    assert not let_in(open_door(tls_files).port, context)


def test_a_stop_aborts_associations_under_tls(open_door: OpenDoor, tls_files: TlsFiles, authority: Authority) -> None:
    door = open_door(tls_files)
    with RawPeer(door.port, authority.client_context()).associate() as peer:
        began = time.monotonic()
        door.stop(1.0)

        assert peer.pdu()[:1] == b"\x07"
        assert time.monotonic() - began < 2.0
