"""Command sets (PS3.7 6.3, Annex E): always Implicit VR Little Endian, read and written here without a library."""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct, pack

from broker.dicom.contract import Command, Reply
from broker.dicom.status import comment_of

COMMAND_BYTES = 65_536
"""Longest command set; the longest that peers send have some hundred bytes."""

C_CANCEL = 0x0FFF
RESPONSE = 0x8000
"""Bit of Command Field that marks a response (PS3.7 E.1)."""

NORMALIZED = 0x0100
"""Bit of Command Field that marks the N-services (PS3.7 E.1)."""

NO_DATASET, DATASET = 0x0101, 0x0001
"""Command Data Set Type (0000,0800) (PS3.7 E.1)."""

INSTANCE_OF_REQUEST = (Command.C_STORE, Command.N_SET)
"""Their responses name the instance of the request, unless the service names one."""

_ELEMENT = Struct("<HHI")
_AFFECTED_CLASS, _REQUESTED_CLASS = 0x0002, 0x0003
_FIELD, _MESSAGE_ID, _RESPONDED_TO, _DATASET_TYPE = 0x0100, 0x0110, 0x0120, 0x0800
_AFFECTED_INSTANCE, _REQUESTED_INSTANCE = 0x1000, 0x1001


class BadCommand(Exception):
    """Bytes that are no command set, or one without an element that every message of its kind has."""


@dataclass(frozen=True, slots=True)
class CommandSet:
    """A request's command set.

    message_id    (0000,0110); of C-CANCEL: the request's that is to be cancelled
    sop_*         Affected or Requested, whichever there is; "" when absent
    """

    field: int
    message_id: int
    has_dataset: bool
    sop_class_uid: str
    sop_instance_uid: str

    @property
    def command(self) -> Command | None:
        """The request; None for one that no service takes."""
        return _COMMANDS.get(self.field)


_COMMANDS = {int(command): command for command in Command}


def read_command_set(data: bytes) -> CommandSet:
    """Read the command set of a request. raises BadCommand; a response counts as one, for we ask nothing here."""
    elements = _elements(data)
    field = _number(elements, _FIELD)
    if field & RESPONSE:
        raise BadCommand("response to nothing")
    has_dataset = _number(elements, _DATASET_TYPE) != NO_DATASET
    message_id = _number(elements, _RESPONDED_TO if field == C_CANCEL else _MESSAGE_ID)
    if field == C_CANCEL and has_dataset:
        raise BadCommand("cancel with a dataset")
    return CommandSet(
        field,
        message_id,
        has_dataset,
        _uid(elements, _AFFECTED_CLASS, _REQUESTED_CLASS),
        _uid(elements, _AFFECTED_INSTANCE, _REQUESTED_INSTANCE),
    )


def write_response(request: CommandSet, reply: Reply) -> bytes:
    """The command set of a response (PS3.7 9.3, 10.3), Command Group Length included."""
    instance = reply.sop_instance_uid
    if not instance and request.field in INSTANCE_OF_REQUEST:
        instance = request.sop_instance_uid
    parts = []
    if request.sop_class_uid:
        parts.append(_text(_AFFECTED_CLASS, request.sop_class_uid, b"\0"))
    parts.append(_us(_FIELD, request.field | RESPONSE))
    parts.append(_us(_RESPONDED_TO, request.message_id))
    parts.append(_us(_DATASET_TYPE, DATASET if reply.dataset or reply.datasets else NO_DATASET))
    parts.append(_us(0x0900, reply.status))
    normalized = request.field & NORMALIZED
    if reply.offending and not normalized:
        parts.append(_tags(0x0901, reply.offending))
    if reply.comment:
        parts.append(_text(0x0902, comment_of(reply.comment), b" "))
    if reply.error_id is not None:
        parts.append(_us(0x0903, reply.error_id))
    if instance:
        parts.append(_text(_AFFECTED_INSTANCE, instance, b"\0"))
    if reply.offending and normalized:
        parts.append(_tags(0x1005, reply.offending))
    content = b"".join(parts)
    return pack("<HHII", 0, 0, 4, len(content)) + content


def _elements(data: bytes) -> dict[int, bytes]:
    """Value by element number of group 0000."""
    elements: dict[int, bytes] = {}
    position, end = 0, len(data)
    while position < end:
        if end - position < _ELEMENT.size:
            raise BadCommand("cut off")
        group, element, length = _ELEMENT.unpack_from(data, position)
        start = position + _ELEMENT.size
        position = start + length
        if group or position > end or element in elements:
            raise BadCommand("foreign, cut off or twice")
        elements[element] = data[start:position]
    return elements


def _number(elements: dict[int, bytes], element: int) -> int:
    value = elements.get(element, b"")
    if len(value) != 2:
        raise BadCommand("a number is missing or no number")
    return value[0] | value[1] << 8


def _uid(elements: dict[int, bytes], *names: int) -> str:
    found = {elements[name].decode("ascii", "replace").strip("\0 ") for name in names if name in elements}
    if len(found) > 1:
        raise BadCommand("two UIDs that differ")
    return found.pop() if found else ""


def _us(element: int, value: int) -> bytes:
    return pack("<HHIH", 0, element, 2, value & 0xFFFF)


def _tags(element: int, tags: tuple[int, ...]) -> bytes:
    return pack("<HHI", 0, element, 4 * len(tags)) + b"".join(pack("<HH", tag >> 16, tag & 0xFFFF) for tag in tags)


def _text(element: int, value: str, pad: bytes) -> bytes:
    encoded = value.encode("ascii", "replace")
    encoded += pad * (len(encoded) % 2)
    return pack("<HHI", 0, element, len(encoded)) + encoded
