"""What a process of the DICOM door says on its standard output, one line a second; and the one order it takes."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from broker.dicom.census import PeerSeen, Snapshot


@dataclass(frozen=True, slots=True)
class Report:
    """ready: it can do its work; failed: why it could not start, "" when it did; the first report says: it serves."""

    ready: bool
    snapshot: Snapshot | None = None
    failed: str = ""

    def line(self) -> bytes:
        shown = {
            "ready": self.ready,
            "failed": self.failed,
            "snapshot": None if self.snapshot is None else asdict(self.snapshot),
        }
        return json.dumps(shown).encode() + b"\n"

    @classmethod
    def read(cls, line: bytes) -> Report:
        shown = json.loads(line)
        known = shown["snapshot"]
        if known is not None:
            known = Snapshot(**{**known, "peers": tuple(PeerSeen(**one) for one in known["peers"])})
        return cls(shown["ready"], known, shown["failed"])


def stop_line(grace_seconds: float) -> bytes:
    """The order to stop."""
    return json.dumps({"stop": grace_seconds}).encode() + b"\n"


def read_stop(line: bytes) -> float:
    """The grace time of an order to stop."""
    return float(json.loads(line)["stop"])
