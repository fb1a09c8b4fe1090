"""Requests counted by command and final status, around any service."""

from __future__ import annotations

from collections.abc import Iterator

from broker.dicom.contract import Reply, Request, Service
from broker.dicom.status import failure, is_pending, reply_for
from broker.errors import BrokerError
from broker.tally import Counts


class RequestCounts:
    """Counts what services answer; a request whose peer went away before its end is not counted."""

    def __init__(self) -> None:
        self._counts: Counts[str] = Counts()

    def counting(self, service: Service) -> Service:
        """The same service, counted."""

        def counted(request: Request) -> Iterator[Reply]:
            name = request.command.name.replace("_", "-")
            try:
                for reply in service(request):
                    if not is_pending(reply.status):
                        self._counts.add(f"{name} {reply.status:04X}")
                    yield reply
            except BrokerError as error:
                self._counts.add(f"{name} {reply_for(error, request.command).status:04X}")
                raise
            except Exception:
                self._counts.add(f"{name} {failure(request.command).status:04X}")
                raise

        return counted

    def snapshot(self) -> dict[str, int]:
        """By command and final status: "C-FIND 0000"."""
        return self._counts.snapshot()
