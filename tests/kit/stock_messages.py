"""Between pynetdicom's DIMSE messages and ours: a request as the engine assembled it, a reply as the bytes to send."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from io import BytesIO
from typing import Any

from pydicom.dataset import Dataset
from pynetdicom.association import Association
from pynetdicom.dimse_messages import DIMSEMessage
from pynetdicom.dimse_primitives import (
    C_ECHO,
    C_FIND,
    C_GET,
    C_MOVE,
    C_STORE,
    N_ACTION,
    N_CREATE,
    N_DELETE,
    N_EVENT_REPORT,
    N_GET,
    N_SET,
)
from pynetdicom.dsutils import encode
from pynetdicom.pdu_primitives import P_DATA
from pynetdicom.presentation import PresentationContext

from broker.dicom.contract import Command, Context, Peer, Reply, Request
from broker.dicom.status import comment_of

COMMAND_FIELDS: Mapping[type[Any], int] = {
    C_STORE: 0x0001,
    C_GET: 0x0010,
    C_FIND: 0x0020,
    C_MOVE: 0x0021,
    C_ECHO: 0x0030,
    N_EVENT_REPORT: 0x0100,
    N_GET: 0x0110,
    N_SET: 0x0120,
    N_ACTION: 0x0130,
    N_CREATE: 0x0140,
    N_DELETE: 0x0150,
}
"""Command Field of each request (PS3.7 E.1); the response has bit 15 set."""

NO_DATASET, DATASET = 0x0101, 0x0001
"""Command Data Set Type (0000,0800) (PS3.7 E.1)."""


def command_of(message: Any) -> Command | None:
    """The command of a request; None for one that no service of ours takes."""
    try:
        return Command(COMMAND_FIELDS[type(message)])
    except (KeyError, ValueError):
        return None


def request_of(message: Any, context: PresentationContext, association: Association, gone: Any) -> Request:
    """A request as services see it.

    message  a request primitive of a known command, with its Message ID
    gone     called for "is nobody listening any more"; a service is told that it is cancelled then
    """
    cancels = association.dimse.cancel_req
    message_id: int = message.MessageID
    content: BytesIO | None = message._dataset
    if content is not None and not content.getbuffer().nbytes:
        content = None
    if content is not None:
        content.seek(0)
    return Request(
        peer=peer_of(association),
        context=Context(str(context.abstract_syntax), str(context.transfer_syntax[0])),
        command=Command(COMMAND_FIELDS[type(message)]),
        message_id=message_id,
        sop_class_uid=_uid(message, "AffectedSOPClassUID", "RequestedSOPClassUID"),
        sop_instance_uid=_uid(message, "AffectedSOPInstanceUID", "RequestedSOPInstanceUID"),
        dataset=content,
        cancelled=lambda: message_id in cancels or gone(),
    )


def peer_of(association: Association) -> Peer:
    """Who is at the other end, as it called itself and us."""
    asked = association.requestor.primitive
    called = str(asked.called_ae_title).strip() if asked is not None and asked.called_ae_title else ""
    calling = str(asked.calling_ae_title).strip() if asked is not None and asked.calling_ae_title else ""
    return Peer(calling, called, association.requestor.address)


def fragments(message: Any, context_id: int, reply: Reply, maximum_pdu_bytes: int) -> Iterator[P_DATA]:
    """A reply as P-DATA primitives: command set, then the dataset's bytes as the service made them."""
    response = DIMSEMessage()
    response.command_set = command_set(message, reply)
    response.data_set = BytesIO(reply.dataset) if reply.dataset else None
    return response.encode_msg(context_id, maximum_pdu_bytes)


def command_set(message: Any, reply: Reply) -> Dataset:
    """The command set of a response (PS3.7 9.3, 10.3), Command Group Length included."""
    field = COMMAND_FIELDS[type(message)]
    sop_class_uid = _uid(message, "AffectedSOPClassUID", "RequestedSOPClassUID")
    sop_instance_uid = reply.sop_instance_uid
    if field in (Command.C_STORE, Command.N_SET):
        sop_instance_uid = sop_instance_uid or _uid(message, "AffectedSOPInstanceUID", "RequestedSOPInstanceUID")
    command = Dataset()
    if sop_class_uid:
        command.AffectedSOPClassUID = sop_class_uid
    command.CommandField = field | 0x8000
    command.MessageIDBeingRespondedTo = message.MessageID
    command.CommandDataSetType = DATASET if reply.dataset else NO_DATASET
    command.Status = int(reply.status)
    if reply.offending and field & 0x0100:
        command.AttributeIdentifierList = list(reply.offending)
    elif reply.offending:
        command.OffendingElement = list(reply.offending)
    if reply.comment:
        command.ErrorComment = comment_of(reply.comment)
    if reply.error_id is not None:
        command.ErrorID = reply.error_id
    if sop_instance_uid:
        command.AffectedSOPInstanceUID = sop_instance_uid
    command.CommandGroupLength = len(encode(command, True, True) or b"")
    return command


def _uid(message: Any, *names: str) -> str:
    return next((str(uid) for name in names if (uid := getattr(message, name, None))), "")
