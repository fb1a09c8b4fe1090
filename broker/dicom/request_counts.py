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
        self._counts: Counts[tuple[str, int]] = Counts()

    def counting(self, service: Service) -> Service:
        """The same service, counted."""

        def counted(request: Request) -> Iterator[Reply]:
            name = request.command.name.replace("_", "-")
            try:
                for reply in service(request):
                    if not is_pending(reply.status):
                        self._counts.add((name, int(reply.status)))
                    yield reply
            except BrokerError as error:
                self._counts.add((name, int(reply_for(error, request.command).status)))
                raise
            except Exception:
                self._counts.add((name, int(failure(request.command).status)))
                raise

        return counted

    def snapshot(self) -> dict[tuple[str, int], int]:
        """By command ("C-FIND") and final status."""
        return self._counts.snapshot()
