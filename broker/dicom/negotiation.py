"""What is agreed on when an association is asked for (PS3.8 9.3.2, 9.3.3; PS3.7 Annex D): a pure function.

The items are decoded and encoded by pynetdicom's classes. Before, the request is cut down to what those classes know:
items that nobody knows are ignored (PS3.8 9.3.1), lengths that do not add up are refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from struct import Struct
from typing import NamedTuple

from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import ALL_TRANSFER_SYNTAXES, AllStoragePresentationContexts
from pynetdicom.pdu import A_ASSOCIATE_AC, A_ASSOCIATE_RQ
from pynetdicom.pdu_items import (
    ApplicationContextItem,
    AsynchronousOperationsWindowSubItem,
    ImplementationClassUIDSubItem,
    ImplementationVersionNameSubItem,
    MaximumLengthSubItem,
    PresentationContextItemAC,
    PresentationContextItemRQ,
    SCP_SCU_RoleSelectionSubItem,
    SOPClassExtendedNegotiationSubItem,
    TransferSyntaxSubItem,
    UserIdentitySubItemAC,
    UserIdentitySubItemRQ,
    UserInformationItem,
)

from broker.archive.part10 import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION
from broker.dicom.contract import Context
from broker.dicom.dispatch import COMMANDS, MODALITY_WORKLIST_FIND
from broker.dicom.engine.pdu import SMALLEST_PDU_BYTES
from broker.dicom.limits import OFFERED_PDU_BYTES, PeerRules

APPLICATION_CONTEXT = "1.2.840.10008.3.1.1.1"
MOST_CONTEXTS = 128
"""Odd numbers of one byte (PS3.8 7.1.1.13)."""

MOST_ITEMS = 10_000
"""Items and sub-items of one request: 128 contexts, each with all transfer syntaxes there are, have fewer."""

KNOWN_ITEMS = frozenset({0x10, 0x20, 0x50})
KNOWN_SUB_ITEMS: Mapping[int, frozenset[int]] = {
    0x10: frozenset(),
    0x20: frozenset({0x30, 0x40}),
    0x50: frozenset({0x51, 0x52, 0x53, 0x54, 0x55, 0x56, 0x58}),
}
"""Sub-items that we read, by item (PS3.8 Annex D, PS3.7 Annex D.3); 57H wants no answer."""

ACCEPTED, USER_REJECTED, ABSTRACT_SYNTAX_UNKNOWN, TRANSFER_SYNTAXES_UNKNOWN = 0, 1, 3, 4
"""Result/Reason of a presentation context (PS3.8 9.3.3.2)."""

_ITEM = Struct(">BxH")
_TITLES = slice(4, 68)
"""Of the PDU's body: both AE titles and what is reserved after them; echoed in the answer (PS3.8 9.3.3)."""


class BadRequest(Exception):
    """An A-ASSOCIATE-RQ that cannot be read, or whose parameters contradict each other."""


class Rejection(NamedTuple):
    """Result, source and reason of an A-ASSOCIATE-RJ (PS3.8 9.3.4)."""

    result: int
    source: int
    reason: int


NO_REASON = Rejection(1, 2, 1)
APPLICATION_CONTEXT_UNKNOWN = Rejection(1, 1, 2)
CALLING_TITLE_UNKNOWN = Rejection(1, 1, 3)
CALLED_TITLE_UNKNOWN = Rejection(1, 1, 7)
PROTOCOL_VERSION_UNKNOWN = Rejection(1, 2, 2)
TEMPORARY_CONGESTION = Rejection(2, 3, 1)
LOCAL_LIMIT_EXCEEDED = Rejection(2, 3, 2)

REASONS: Mapping[Rejection, str] = {
    NO_REASON: "maximum PDU length too small",
    APPLICATION_CONTEXT_UNKNOWN: "application context",
    CALLING_TITLE_UNKNOWN: "calling AE title",
    CALLED_TITLE_UNKNOWN: "called AE title",
    PROTOCOL_VERSION_UNKNOWN: "protocol version",
    TEMPORARY_CONGESTION: "temporary congestion",
    LOCAL_LIMIT_EXCEEDED: "local limit exceeded",
}
"""Words for logs and counters."""


@dataclass(frozen=True, slots=True)
class AssociationRequest:
    """What a peer asks for. titles: as the answer has to echo them."""

    calling_ae_title: str
    called_ae_title: str
    protocol_version: int
    application_context: str
    contexts: tuple[PresentationContextItemRQ, ...]
    user: UserInformationItem
    titles: bytes

    @property
    def maximum_pdu_bytes(self) -> int:
        """Longest PDU the peer takes; 0: any (PS3.8 D.1.1)."""
        return self.user.maximum_length or 0


@dataclass(frozen=True, slots=True)
class Agreement:
    """contexts: accepted ones by id; answer: the A-ASSOCIATE-AC."""

    contexts: Mapping[int, Context]
    answer: bytes


Offer = Mapping[str, Sequence[str]]
"""Transfer syntaxes that we take, best first, by abstract syntax; shared by all associations."""


def storage_classes() -> tuple[str, ...]:
    """SOP Class UIDs of all storage classes that pynetdicom knows."""
    return tuple(str(context.abstract_syntax) for context in AllStoragePresentationContexts)


def offer_for(abstract_syntaxes: Sequence[str], preferred: Sequence[str] = ()) -> Offer:
    """What we accept: every transfer syntax for storage classes, plain little endian for all that we must read.

    preferred  transfer syntaxes that come first where they may be taken at all
    """
    explicit, implicit = str(ExplicitVRLittleEndian), str(ImplicitVRLittleEndian)
    plain = [implicit, explicit]  # as steps are stored: an answer is a copy then, and no conversion
    stored = [explicit, implicit, *(str(one) for one in ALL_TRANSFER_SYNTAXES if str(one) not in plain)]
    plain, stored = (
        [uid for uid in preferred if uid in some] + [uid for uid in some if uid not in preferred]
        for some in (plain, stored)
    )
    return {uid: tuple(plain if uid in COMMANDS else stored) for uid in abstract_syntaxes}


def read_request(body: bytes) -> AssociationRequest:
    """Read an A-ASSOCIATE-RQ. raises BadRequest

    body  what follows the PDU's length
    """
    if len(body) < 68:
        raise BadRequest("too short")
    items = b"".join(_known(body[68:], KNOWN_ITEMS, iter(range(MOST_ITEMS))))
    # Titles may be anything; they are read here, so that the library sees some that it takes.
    head = _PDU_HEAD.pack(1, 68 + len(items), int.from_bytes(body[:2], "big")) + b"X".ljust(16) * 2 + bytes(32)
    request = A_ASSOCIATE_RQ()
    try:
        request.decode(head + items)
        contexts = tuple(request.presentation_context)
        user = next(item for item in request.variable_items if isinstance(item, UserInformationItem))
        application_context = str(request.application_context_name or "")
    except Exception as error:  # a parser that is fed with anything may raise anything
        raise BadRequest("unreadable items") from error
    numbers = {context.presentation_context_id for context in contexts}
    if len(numbers) != len(contexts) or len(contexts) > MOST_CONTEXTS or any(not (one or 0) % 2 for one in numbers):
        raise BadRequest("context ids")
    called, calling = (_title(body[at : at + 16]) for at in (4, 20))
    return AssociationRequest(
        calling, called, request.protocol_version, application_context, contexts, user, body[_TITLES]
    )


_PDU_HEAD = Struct(">BxIHxx")


def _title(raw: bytes) -> str:
    """An AE title, without padding (PS3.8 9.3.2); what follows a NUL was left there by a program that pads with it."""
    return raw.strip(b"\0 ").partition(b"\0")[0].decode("ascii", "replace").strip()


def rejection(request: AssociationRequest, peers: PeerRules) -> Rejection | None:
    """Why a request is refused as a whole; None when it is not."""
    if not request.protocol_version & 1:
        return PROTOCOL_VERSION_UNKNOWN
    if request.application_context != APPLICATION_CONTEXT:
        return APPLICATION_CONTEXT_UNKNOWN
    if not peers.answers_to(request.called_ae_title):
        return CALLED_TITLE_UNKNOWN
    if not request.calling_ae_title or not peers.allows(request.calling_ae_title, request.called_ae_title):
        return CALLING_TITLE_UNKNOWN
    if 0 < request.maximum_pdu_bytes < SMALLEST_PDU_BYTES:
        return NO_REASON
    return None


def agree(request: AssociationRequest, offer: Offer) -> Agreement:
    """Choose for each context, and write the answer (PS3.8 9.3.3)."""
    roles = {str(uid): (bool(item.scu_role), bool(item.scp_role)) for uid, item in request.user.role_selection.items()}
    contexts: dict[int, Context] = {}
    answers: list[PresentationContextItemAC] = []
    for asked in sorted(request.contexts, key=lambda one: one.presentation_context_id or 0):
        abstract, proposed = str(asked.abstract_syntax or ""), [str(uid) for uid in asked.transfer_syntax]
        result, chosen = _choose(abstract, proposed, offer, roles)
        number = asked.presentation_context_id or 0
        if result == ACCEPTED:
            contexts[number] = Context(abstract, chosen)
        answers.append(_context_item(number, result, chosen))
    accepted = {context.abstract_syntax for context in contexts.values()}
    answer = A_ASSOCIATE_AC()
    answer.variable_items = [ApplicationContextItem(), *answers, _user_item(request.user, accepted, roles)]
    encoded = bytearray(answer.encode())
    encoded[10:74] = request.titles
    return Agreement(contexts, bytes(encoded))


def _known(data: bytes, kinds: frozenset[int], places: Iterator[int]) -> Iterator[bytes]:
    """The items of these kinds, each with those of its sub-items that we read. raises BadRequest

    places  one for each item that may come
    """
    position = 0
    while position < len(data):
        if next(places, None) is None:
            raise BadRequest("too many items")
        if len(data) - position < _ITEM.size:
            raise BadRequest("item cut off")
        kind, length = _ITEM.unpack_from(data, position)
        start = position + _ITEM.size
        position = start + length
        if position > len(data):
            raise BadRequest("item longer than its container")
        if kind not in kinds:
            continue
        content = data[start:position]
        if subs := KNOWN_SUB_ITEMS.get(kind):
            own = 4 if kind == 0x20 else 0  # context id and three reserved bytes come first (PS3.8 9.3.2.2)
            content = content[:own] + b"".join(_known(content[own:], subs, places))
        yield _ITEM.pack(kind, len(content)) + content


def _choose(
    abstract: str, proposed: Sequence[str], offer: Offer, roles: Mapping[str, tuple[bool, bool]]
) -> tuple[int, str]:
    """Result and transfer syntax of a context; of a refused one it has no meaning (PS3.8 9.3.3.2)."""
    any_syntax = proposed[0] if proposed else str(ImplicitVRLittleEndian)
    ours = offer.get(abstract)
    if ours is None:
        return ABSTRACT_SYNTAX_UNKNOWN, any_syntax
    chosen = next((syntax for syntax in ours if syntax in proposed), None)
    if chosen is None:
        return TRANSFER_SYNTAXES_UNKNOWN, any_syntax
    if not roles.get(abstract, (True, False))[0]:
        return USER_REJECTED, chosen  # the peer will not ask, and we never do (PS3.7 D.3.3.4)
    return ACCEPTED, chosen


def _context_item(number: int, result: int, syntax: str) -> PresentationContextItemAC:
    name = TransferSyntaxSubItem()
    name.transfer_syntax_name = UID(syntax)
    item = PresentationContextItemAC()
    item.presentation_context_id, item.result_reason, item.transfer_syntax_sub_item = number, result, [name]
    return item


def _user_item(
    asked: UserInformationItem, accepted: set[str], roles: Mapping[str, tuple[bool, bool]]
) -> UserInformationItem:
    """Our half of the user information (PS3.8 Annex D, PS3.7 D.3.3)."""
    length = MaximumLengthSubItem()
    length.maximum_length_received = OFFERED_PDU_BYTES
    uid = ImplementationClassUIDSubItem()
    uid.implementation_class_uid = UID(IMPLEMENTATION_CLASS_UID)
    item = UserInformationItem()
    item.user_data = [length, uid]
    if asked.async_ops_window is not None:
        window = AsynchronousOperationsWindowSubItem()
        window.maximum_number_operations_invoked = window.maximum_number_operations_performed = 1
        item.user_data.append(window)
    item.user_data += [_role_item(name) for name in sorted(roles) if name in accepted]
    version = ImplementationVersionNameSubItem()
    version.implementation_version_name = IMPLEMENTATION_VERSION
    item.user_data.append(version)
    item.user_data += [_extended_item(one) for one in asked.ext_neg if _is_answered(one, accepted)]
    identity = asked.user_identity
    if isinstance(identity, UserIdentitySubItemRQ) and identity.response_requested and identity.id_type in (1, 2):
        # User name, or user name and passcode: acknowledged, not checked (PS3.7 D.3.3.7).
        reply = UserIdentitySubItemAC()
        reply.server_response = b""
        item.user_data.append(reply)
    return item


def _role_item(name: str) -> SCP_SCU_RoleSelectionSubItem:
    """The peer may ask, we answer; nobody gets the other role (PS3.7 D.3.3.4)."""
    item = SCP_SCU_RoleSelectionSubItem()
    item.sop_class_uid, item.scu_role, item.scp_role = UID(name), 1, 0
    return item


def _is_answered(asked: SOPClassExtendedNegotiationSubItem, accepted: set[str]) -> bool:
    return asked.uid == MODALITY_WORKLIST_FIND in accepted and len(asked.app_info or b"") >= 3


def _extended_item(asked: SOPClassExtendedNegotiationSubItem) -> SOPClassExtendedNegotiationSubItem:
    """Worklist: no fuzzy matching of names; no time zone adjustment, to one that asks for it (PS3.4 K.5.1)."""
    item = SOPClassExtendedNegotiationSubItem()
    item.sop_class_uid = UID(MODALITY_WORKLIST_FIND)
    item.service_class_application_information = b"\1\1\0" if len(asked.app_info or b"") == 3 else b"\1\1\0\0"
    return item
