"""From a request to its service and always to a final answer; the door's one catch-all. It knows no engine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import structlog

from broker.dicom.contract import Command, Reply, Request, Service
from broker.dicom.status import Status, failure, is_pending, reply_for
from broker.errors import BrokerError

VERIFICATION = "1.2.840.10008.1.1"
MODALITY_WORKLIST_FIND = "1.2.840.10008.5.1.4.31"
PERFORMED_STEP = "1.2.840.10008.3.1.2.3.3"

COMMANDS: Mapping[str, frozenset[Command]] = {
    VERIFICATION: frozenset({Command.C_ECHO}),
    MODALITY_WORKLIST_FIND: frozenset({Command.C_FIND}),
    PERFORMED_STEP: frozenset({Command.N_CREATE, Command.N_SET}),
}
"""DIMSE services of each SOP class (PS3.4 A.4, K.4, F.7.1); every other class is a storage class."""

STORAGE_COMMANDS = frozenset({Command.C_STORE})

log = structlog.get_logger()


def answer(services: Mapping[str, Service], request: Request) -> Iterator[Reply]:
    """All replies to a request: any number of pending ones, then exactly one that is final, whatever the service does.

    services  by abstract syntax
    """
    service = services.get(request.context.abstract_syntax)
    if service is None:
        yield Reply(Status.SOP_CLASS_NOT_SUPPORTED)
        return
    if request.command not in COMMANDS.get(request.context.abstract_syntax, STORAGE_COMMANDS):
        yield Reply(Status.UNRECOGNIZED_OPERATION)
        return
    if wrong := _wrong_class(request):
        yield Reply(wrong, comment="the SOP class is not the presentation context's")
        return
    try:
        for reply in service(request):
            yield reply
            if not is_pending(reply.status):
                return
        raise RuntimeError("service ended without a final reply")
    except BrokerError as error:
        refused = reply_for(error, request.command)
        log.warning("dicom.refused", status=f"{refused.status:04X}", reason=error.text, **_facts(request))
        yield refused
    except Exception as error:
        # Its text may hold values of the request: only its kind and place are logged.
        log.error("dicom.failed", error=type(error).__name__, place=_place(error), **_facts(request))
        yield failure(request.command)


def _wrong_class(request: Request) -> Status | None:
    """What is wrong with the SOP class that a command names; storage has a status of its own for it (PS3.4 B.2.3)."""
    if request.sop_class_uid == request.context.abstract_syntax or request.command is Command.C_STORE:
        return None
    if not request.sop_class_uid:
        return Status.MISTYPED_ARGUMENT
    normalized = request.command in (Command.N_CREATE, Command.N_SET)
    return Status.NO_SUCH_SOP_CLASS if normalized else Status.SOP_CLASS_NOT_SUPPORTED


def _facts(request: Request) -> dict[str, object]:
    return {
        "command": request.command.name,
        "peer": request.peer.address,
        "calling_ae_title": request.peer.calling_ae_title,
        "message_id": request.message_id,
    }


def _place(error: Exception) -> str:
    """File and line where the error was raised."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return "" if trace is None else f"{trace.tb_frame.f_code.co_filename.rpartition('/')[2]}:{trace.tb_lineno}"
