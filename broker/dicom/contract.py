"""What a DICOM service sees and says. No service knows the engine that carries it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import BinaryIO


class Command(IntEnum):
    """Command Field of the requests we take (PS3.7 E.1)."""

    C_STORE = 0x0001
    C_FIND = 0x0020
    C_ECHO = 0x0030
    N_SET = 0x0120
    N_CREATE = 0x0140


@dataclass(frozen=True, slots=True)
class Peer:
    """The other side of an association."""

    calling_ae_title: str
    called_ae_title: str
    address: str


@dataclass(frozen=True, slots=True)
class Context:
    """The presentation context a request came in."""

    abstract_syntax: str
    transfer_syntax: str


@dataclass(frozen=True, slots=True)
class Request:
    """One DIMSE request.

    sop_class_uid, sop_instance_uid  Affected or Requested, whichever the command has; "" when absent
    dataset                          in context.transfer_syntax, read once from the start; None when there is none
    cancelled                        True once a C-CANCEL for this request has come
    """

    peer: Peer
    context: Context
    command: Command
    message_id: int
    sop_class_uid: str
    sop_instance_uid: str
    dataset: BinaryIO | None
    cancelled: Callable[[], bool]


@dataclass(frozen=True, slots=True)
class Reply:
    """One DIMSE response, or many pending ones that differ in nothing but their datasets.

    status            (0000,0900)
    dataset           encoded in the context's transfer syntax; None for none
    datasets          those of many responses, each one's own; then `dataset` is None
    comment           (0000,0902), at most 64 characters, no patient data
    error_id          (0000,0903)
    offending         tags for (0000,0901), or attributes for 0120H/0106H's lists
    sop_instance_uid  Affected SOP Instance UID where the reply names one
    """

    status: int
    dataset: bytes | None = None
    comment: str = ""
    error_id: int | None = None
    offending: tuple[int, ...] = ()
    sop_instance_uid: str = ""
    datasets: Sequence[bytes] = ()


Service = Callable[[Request], Iterator[Reply]]
