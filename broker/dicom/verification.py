"""C-ECHO: the answer that says we are here (PS3.4 A.4, PS3.7 9.1.5)."""

from __future__ import annotations

from collections.abc import Iterator

from broker.dicom.contract import Reply, Request
from broker.dicom.status import Status


def verify(request: Request) -> Iterator[Reply]:
    """Answer success, whatever was asked."""
    yield Reply(Status.SUCCESS)
