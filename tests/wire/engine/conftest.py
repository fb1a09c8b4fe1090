"""The engine's door with small services, for peers that misbehave on real sockets."""

from __future__ import annotations

import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from broker.dicom.contract import Command, Reply, Request
from broker.dicom.limits import DicomLimits
from broker.dicom.listener import DicomListener, services_by_class
from broker.tls import TlsFiles, server_context
from tests.kit.certificates import Authority
from tests.kit.raw_dicom import IMPLICIT

ANSWER = b"\x08\x00\x50\x00\x04\x00\x00\x00A123" + b"\x10\x00\x00\x40" + struct.pack("<I", 1_000) + b"x" * 1_000
"""Implicit VR Little Endian: an accession number and a long comment."""

EXPLICIT_ANSWER = b"\x08\x00\x50\x00SH\x04\x00A123" + b"\x10\x00\x00\x40LT\xe8\x03" + b"x" * 1_000


class Anybody:
    """Peer rules that keep nobody out but STRANGER."""

    def allows(self, calling_ae_title: str, called_ae_title: str) -> bool:
        return calling_ae_title != "STRANGER"

    def answers_to(self, called_ae_title: str) -> bool:
        return called_ae_title != "WRONG"


class SmallServices:
    """Answers as many answers as `answers` says, takes objects without keeping them, and notes what it saw.

    refuses  a status for every object, before it is read
    """

    def __init__(self) -> None:
        self.answers = 3
        self.refuses = 0
        self.requests: list[Request] = []
        self.stored: list[int] = []
        self.cancelled = threading.Event()
        self.ended = threading.Event()

    def find(self, request: Request) -> Iterator[Reply]:
        self.requests.append(request)
        assert request.dataset is not None
        request.dataset.read()
        answer = ANSWER if request.context.transfer_syntax == IMPLICIT else EXPLICIT_ANSWER
        try:
            for _ in range(self.answers):
                if request.cancelled():
                    self.cancelled.set()
                    yield Reply(0xFE00)
                    return
                yield Reply(0xFF00, answer)
            yield Reply(0x0000)
        finally:
            self.ended.set()

    def perform(self, request: Request) -> Iterator[Reply]:
        self.requests.append(request)
        self.stored.append(len(request.dataset.read()) if request.dataset else 0)
        yield Reply(0x0000, sop_instance_uid=request.sop_instance_uid)

    def store(self, request: Request) -> Iterator[Reply]:
        self.requests.append(request)
        if self.refuses:
            yield Reply(self.refuses)
            return
        size = 0
        while request.dataset and (chunk := request.dataset.read(1 << 20)):
            size += len(chunk)
        self.stored.append(size)
        yield Reply(0x0000)

    def commands(self) -> list[Command]:
        return [request.command for request in self.requests]


@pytest.fixture
def services() -> SmallServices:
    return SmallServices()


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="session")
def tls_files(authority: Authority) -> TlsFiles:
    own = authority.issue("broker")
    return TlsFiles(own.certificate, own.key, authority.certificate)


@pytest.fixture
def open_door(services: SmallServices) -> Iterator[Callable[..., DicomListener]]:
    """Opens doors; tls: its files; everything else are limits."""
    doors: list[DicomListener] = []

    def start(tls: TlsFiles | None = None, **limits: float) -> DicomListener:
        context = server_context(tls) if tls else None
        classes = services_by_class(services.find, services.perform, services.store)
        door = DicomListener("127.0.0.1", 0, "BROKER", classes, Anybody(), DicomLimits(**limits), context)  # type: ignore[arg-type]
        door.start()
        doors.append(door)
        return door

    yield start
    for door in doors:
        door.stop(0.0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path
