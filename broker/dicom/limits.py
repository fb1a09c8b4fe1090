"""What the DICOM door grants: how long, how many, how large; who may come; and how many requests are in hand."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

from broker.memory_budget import MemoryBudget

OFFERED_PDU_BYTES = 131_072
"""Maximum Length Received that we announce (PS3.8 D.1): an image in few PDUs."""


class PeerRules(Protocol):
    """Who may associate; the site profile says it."""

    def allows(self, calling_ae_title: str, called_ae_title: str) -> bool: ...

    def answers_to(self, called_ae_title: str) -> bool: ...


@dataclass(frozen=True, slots=True)
class DicomLimits:
    """How long, how many, how large; see the settings of the same names.

    associations           at once, from everybody
    associations_per_host  at once, from one address; 0: as many as from everybody
    network_seconds        until a silent association is aborted
    message_seconds        for a PDU that has begun, for a message that is no C-STORE, and for a write
    association_seconds    ARTIM (PS3.8 9.1.5): until the request has come, also for the TLS handshake
    message_bytes          longest dataset that is no object; services have smaller limits of their own and answer those
    object_bytes           longest dataset of a C-STORE; it is never held
    preferred_syntaxes     transfer syntaxes that are chosen first where a peer offers them
    memory                 what all doors of the process may hold of datasets that are no objects
    """

    associations: int = 1_000
    network_seconds: float = 300.0
    message_seconds: float = 60.0
    association_seconds: float = 30.0
    associations_per_host: int = 0
    message_bytes: int = 16_777_216
    object_bytes: int = 17_179_869_184
    preferred_syntaxes: tuple[str, ...] = ()
    memory: MemoryBudget = field(default_factory=MemoryBudget)


class RequestsInHand:
    """Counts the requests that are being answered, so that a stop can wait for them."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._count = 0
        self.stopping = False

    @contextlib.contextmanager
    def one(self) -> Iterator[None]:
        with self._changed:
            self._count += 1
        try:
            yield
        finally:
            with self._changed:
                self._count -= 1
                self._changed.notify_all()

    def wait_until_none(self, seconds: float) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: self._count == 0, seconds)
