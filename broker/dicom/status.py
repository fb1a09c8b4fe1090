"""The one table of DIMSE statuses, and from errors to them: each service answers the same cause in its own terms."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum

from broker.dicom.contract import Command, Reply
from broker.errors import (
    AlreadyRunning,
    BeyondBounds,
    BrokerError,
    Busy,
    DatabaseTooOld,
    DatabaseUnavailable,
    NotFound,
    PeerFailed,
    SettingsError,
    Stopping,
    StorageFull,
    TooMany,
    UnreadableDataset,
    UnreadableMessage,
)

COMMENT_CHARACTERS = 64
"""Error Comment (0000,0902) is LO."""


class Status(IntEnum):
    """Statuses we answer, each with the place that defines it."""

    SUCCESS = 0x0000  # PS3.7 C.1.1
    NO_SUCH_ATTRIBUTE = 0x0105  # PS3.7 10.1.x: attribute is not recognized
    INVALID_ATTRIBUTE_VALUE = 0x0106  # PS3.7 10.1.5.1.6: value is out of range or wrong
    PROCESSING_FAILURE = 0x0110  # PS3.7 10.1.x: general failure
    DUPLICATE_SOP_INSTANCE = 0x0111  # PS3.7 10.1.5.1.6: N-CREATE of a known instance
    NO_SUCH_SOP_INSTANCE = 0x0112  # PS3.7 10.1.3.1.9: N-SET of an unknown instance
    INVALID_SOP_INSTANCE = 0x0117  # PS3.7 10.1.x: UID construction rules broken
    NO_SUCH_SOP_CLASS = 0x0118  # PS3.7 10.1.x
    CLASS_INSTANCE_CONFLICT = 0x0119  # PS3.7 10.1.3.1.9
    MISSING_ATTRIBUTE = 0x0120  # PS3.7 10.1.5.1.6: required attribute not supplied
    MISSING_ATTRIBUTE_VALUE = 0x0121  # PS3.7 10.1.x: required attribute without value
    SOP_CLASS_NOT_SUPPORTED = 0x0122  # PS3.7 9.1.x, 10.1.x
    NOT_AUTHORIZED = 0x0124  # PS3.7 9.1.x, 10.1.x
    UNRECOGNIZED_OPERATION = 0x0211  # PS3.7 9.1.x, 10.1.x: not one of the agreed operations
    MISTYPED_ARGUMENT = 0x0212  # PS3.7 9.1.x, 10.1.x: a parameter is missing or not as agreed
    RESOURCE_LIMITATION = 0x0213  # PS3.7 10.1.x
    OUT_OF_RESOURCES = 0xA700  # PS3.4 B.2.3 (C-STORE), K.4.1.1.4 (C-FIND)
    DATASET_DOES_NOT_MATCH = 0xA900  # PS3.4 B.2.3 (C-STORE), K.4.1.1.4 (C-FIND identifier)
    CANNOT_UNDERSTAND = 0xC000  # PS3.4 B.2.3: C-STORE dataset cannot be read
    UNABLE_TO_PROCESS = 0xC001  # PS3.4 K.4.1.1.4, B.2.3: our own failure, in the range Cxxx
    CANCELLED = 0xFE00  # PS3.4 K.4.1.1.4: after C-CANCEL
    PENDING = 0xFF00  # PS3.4 K.4.1.1.4: all optional keys are supported
    PENDING_WARNING = 0xFF01  # PS3.4 K.4.1.1.4: some optional keys are not


Table = Mapping[type[BrokerError], Status]

FIND_STATUS: Table = {
    UnreadableDataset: Status.DATASET_DOES_NOT_MATCH,
    BeyondBounds: Status.DATASET_DOES_NOT_MATCH,
    DatabaseUnavailable: Status.OUT_OF_RESOURCES,
    Busy: Status.OUT_OF_RESOURCES,
    Stopping: Status.OUT_OF_RESOURCES,
    StorageFull: Status.OUT_OF_RESOURCES,
    NotFound: Status.UNABLE_TO_PROCESS,
    UnreadableMessage: Status.UNABLE_TO_PROCESS,
    TooMany: Status.UNABLE_TO_PROCESS,
    SettingsError: Status.UNABLE_TO_PROCESS,
    DatabaseTooOld: Status.UNABLE_TO_PROCESS,
    AlreadyRunning: Status.UNABLE_TO_PROCESS,
    PeerFailed: Status.UNABLE_TO_PROCESS,
}
"""C-FIND (PS3.4 K.4.1.1.4)."""

STORE_STATUS: Table = {
    **FIND_STATUS,
    UnreadableDataset: Status.CANNOT_UNDERSTAND,
    BeyondBounds: Status.CANNOT_UNDERSTAND,
}
"""C-STORE (PS3.4 B.2.3)."""

NORMALIZED_STATUS: Table = {
    UnreadableDataset: Status.PROCESSING_FAILURE,
    BeyondBounds: Status.INVALID_ATTRIBUTE_VALUE,  # not 0213H: the same dataset would fail for ever
    DatabaseUnavailable: Status.RESOURCE_LIMITATION,
    Busy: Status.RESOURCE_LIMITATION,
    Stopping: Status.RESOURCE_LIMITATION,
    StorageFull: Status.RESOURCE_LIMITATION,
    NotFound: Status.NO_SUCH_SOP_INSTANCE,
    UnreadableMessage: Status.PROCESSING_FAILURE,
    TooMany: Status.PROCESSING_FAILURE,
    SettingsError: Status.PROCESSING_FAILURE,
    DatabaseTooOld: Status.PROCESSING_FAILURE,
    AlreadyRunning: Status.PROCESSING_FAILURE,
    PeerFailed: Status.PROCESSING_FAILURE,
}
"""N-CREATE, N-SET (PS3.7 10.1.3.1.9, 10.1.5.1.6); C-ECHO has no failure of its own and takes these too."""

STATUS_FOR: Mapping[Command, Table] = {
    Command.C_ECHO: NORMALIZED_STATUS,
    Command.C_FIND: FIND_STATUS,
    Command.C_STORE: STORE_STATUS,
    Command.N_CREATE: NORMALIZED_STATUS,
    Command.N_SET: NORMALIZED_STATUS,
}

FAILURE: Mapping[Command, Status] = {
    Command.C_ECHO: Status.PROCESSING_FAILURE,
    Command.C_FIND: Status.UNABLE_TO_PROCESS,
    Command.C_STORE: Status.UNABLE_TO_PROCESS,
    Command.N_CREATE: Status.PROCESSING_FAILURE,
    Command.N_SET: Status.PROCESSING_FAILURE,
}
"""What a failure of ours is called, where no error class says more."""


def reply_for(error: BrokerError, command: Command) -> Reply:
    """The final answer for an error.

    The comment is the error's constant text, never its facts, which may hold values. A fact `tags` (a tuple of tags)
    names the offending elements.
    """
    tags = error.facts.get("tags", ())
    offending = tuple(tag for tag in tags if isinstance(tag, int)) if isinstance(tags, tuple) else ()
    return Reply(_status_of(error, command), comment=comment_of(error.text), offending=offending)


def failure(command: Command) -> Reply:
    """The final answer when we failed in a way nobody foresaw."""
    return Reply(FAILURE[command], comment="the broker could not process the request")


def is_pending(status: int) -> bool:
    """True when more responses follow (PS3.7 C.1.2: FF00H, FF01H)."""
    return status in (Status.PENDING, Status.PENDING_WARNING)


def comment_of(text: str) -> str:
    """A text as Error Comment: ASCII, at most 64 characters, no backslash."""
    return text.encode("ascii", "replace").decode("ascii").replace("\\", "/")[:COMMENT_CHARACTERS]


def _status_of(error: BrokerError, command: Command) -> Status:
    table = STATUS_FOR[command]
    return next((table[kind] for kind in type(error).__mro__ if kind in table), FAILURE[command])
