"""What is agreed on equals what pynetdicom's own acceptor agrees on, for any request; and what only we answer."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.uid import UID
from pynetdicom import build_context
from pynetdicom.pdu import A_ASSOCIATE_AC
from pynetdicom.pdu_primitives import (
    AsynchronousOperationsWindowNegotiation,
    SCP_SCU_RoleSelectionNegotiation,
    SOPClassExtendedNegotiation,
    UserIdentityNegotiation,
)
from pynetdicom.presentation import negotiate_as_acceptor

from broker.dicom.limits import OFFERED_PDU_BYTES
from broker.dicom.negotiation import (
    APPLICATION_CONTEXT_UNKNOWN,
    CALLED_TITLE_UNKNOWN,
    CALLING_TITLE_UNKNOWN,
    NO_REASON,
    PROTOCOL_VERSION_UNKNOWN,
    Agreement,
    AssociationRequest,
    BadRequest,
    agree,
    offer_for,
    read_request,
    rejection,
    storage_classes,
)
from tests.kit.raw_dicom import CT_IMAGE, IMPLICIT, PERFORMED, VERIFICATION, WORKLIST, associate_rq

pytestmark = pytest.mark.filterwarnings("ignore")  # the library warns of each wrong UID

OFFER = offer_for((VERIFICATION, WORKLIST, PERFORMED, *storage_classes()))
EXPLICIT, BIG_ENDIAN, JPEG = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.4.50"

abstract_syntaxes = st.sampled_from([VERIFICATION, WORKLIST, PERFORMED, CT_IMAGE, "1.2.840.10008.5.1.1.1", "1.2.826.1"])
transfer_syntaxes = st.sampled_from([IMPLICIT, EXPLICIT, BIG_ENDIAN, JPEG, "1.2.826.2"])
contexts = st.lists(
    st.tuples(abstract_syntaxes, st.lists(transfer_syntaxes, min_size=1, max_size=4, unique=True)),
    min_size=1,
    max_size=12,
)
roles = st.dictionaries(abstract_syntaxes, st.sampled_from([(True, True), (True, False), (False, True)]), max_size=4)


class Anybody:
    """Peer rules that keep out STRANGER and do not answer to WRONG."""

    def allows(self, calling_ae_title: str, called_ae_title: str) -> bool:
        return calling_ae_title != "STRANGER"

    def answers_to(self, called_ae_title: str) -> bool:
        return called_ae_title != "WRONG"


def role_item(uid: str, scu: bool, scp: bool) -> SCP_SCU_RoleSelectionNegotiation:
    item = SCP_SCU_RoleSelectionNegotiation()
    item.sop_class_uid, item.scu_role, item.scp_role = UID(uid), scu, scp
    return item


def answer_to(pdu: bytes) -> tuple[Agreement, A_ASSOCIATE_AC]:
    agreement = agree(read_request(pdu[6:]), OFFER)
    answer = A_ASSOCIATE_AC()
    answer.decode(agreement.answer)
    return agreement, answer


@settings(max_examples=200, deadline=None)
@given(contexts, roles, st.integers(128, 2**32 - 1))
def test_contexts_roles_and_lengths_are_agreed_on_as_pynetdicom_does(
    asked: list[tuple[str, list[str]]], wanted: dict[str, tuple[bool, bool]], maximum: int
) -> None:
    items = [role_item(uid, *role) for uid, role in wanted.items()]
    ours = [build_context(uid, list(syntaxes)) for uid, syntaxes in OFFER.items()]
    theirs = []
    for number, (abstract, syntaxes) in enumerate(asked):
        context = build_context(abstract, syntaxes)
        context.context_id = 2 * number + 1
        theirs.append(context)
    for context in ours:
        context.scu_role, context.scp_role = True, False
    pdu = associate_rq(asked, maximum, extra=items)

    expected, expected_roles = negotiate_as_acceptor(theirs, ours, {UID(uid): role for uid, role in wanted.items()})
    agreement, answer = answer_to(pdu)

    assert [(one.context_id, one.result, one.transfer_syntax) for one in answer.presentation_context] == [
        (one.context_id, one.result, one.transfer_syntax[0]) for one in expected
    ]
    assert {number: context.transfer_syntax for number, context in agreement.contexts.items()} == {
        one.context_id: one.transfer_syntax[0] for one in expected if one.result == 0
    }
    assert {uid: (item.scu_role, item.scp_role) for uid, item in answer.user_information.role_selection.items()} == {
        one.sop_class_uid: (one.scu_role, one.scp_role) for one in expected_roles
    }
    assert answer.user_information.maximum_length == OFFERED_PDU_BYTES
    assert read_request(pdu[6:]).maximum_pdu_bytes == maximum


def test_the_answer_echoes_titles_and_names_us() -> None:
    pdu = associate_rq(calling="CT ROOM 1", called="MWL")

    _, answer = answer_to(pdu)

    assert answer.encode()[10:42] == pdu[10:42]
    assert answer.user_information.implementation_version_name == "MWL-BROKER"
    assert answer.user_information.implementation_class_uid.startswith("2.25.")
    assert answer.application_context_name == "1.2.840.10008.3.1.1.1"


def test_preferred_transfer_syntaxes_come_first_where_they_may_be_taken() -> None:
    offer = offer_for((WORKLIST, CT_IMAGE), (JPEG, IMPLICIT))
    request = read_request(associate_rq([(uid, [EXPLICIT, IMPLICIT, JPEG]) for uid in (WORKLIST, CT_IMAGE)])[6:])

    chosen = agree(request, offer).contexts

    assert [context.transfer_syntax for context in chosen.values()] == [IMPLICIT, JPEG]


@pytest.mark.parametrize(
    ("asked", "answered"),
    [(b"\1\1\1", b"\1\1\0"), (b"\1\1\1\1", b"\1\1\0\0"), (b"\1\1\1\1\1", b"\1\1\0\0"), (b"\1\1", None)],
)
def test_fuzzy_names_and_time_zones_are_refused_in_as_many_bytes_as_were_asked(
    asked: bytes, answered: bytes | None
) -> None:
    item = SOPClassExtendedNegotiation()
    item.sop_class_uid, item.service_class_application_information = UID(WORKLIST), asked

    _, answer = answer_to(associate_rq(extra=[item]))

    assert [one.app_info for one in answer.user_information.ext_neg] == ([answered] if answered else [])


def test_extended_negotiation_of_a_class_that_was_not_accepted_is_not_answered() -> None:
    item = SOPClassExtendedNegotiation()
    item.sop_class_uid, item.service_class_application_information = UID(WORKLIST), b"\1\1\1"

    _, answer = answer_to(associate_rq([(VERIFICATION, [IMPLICIT])], extra=[item]))

    assert answer.user_information.ext_neg == []


@pytest.mark.parametrize(
    ("kind", "wants_reply", "has_reply"),
    [(1, True, True), (2, True, True), (1, False, False), (3, True, False), (4, True, False), (5, True, False)],
)
def test_user_name_and_passcode_are_acknowledged_when_that_is_asked(
    kind: int, wants_reply: bool, has_reply: bool
) -> None:
    item = UserIdentityNegotiation()
    item.user_identity_type, item.positive_response_requested = kind, wants_reply
    item.primary_field, item.secondary_field = b"who", b"secret" if kind == 2 else b""

    _, answer = answer_to(associate_rq(extra=[item]))

    assert (answer.user_information.user_identity is not None) == has_reply


def test_asynchronous_operations_are_answered_one_and_one() -> None:
    item = AsynchronousOperationsWindowNegotiation()
    item.maximum_number_operations_invoked, item.maximum_number_operations_performed = 0, 8

    _, answer = answer_to(associate_rq(extra=[item]))

    window = answer.user_information.async_ops_window
    assert (window.max_operations_invoked, window.max_operations_performed) == (1, 1)


def with_item(pdu: bytes, item: bytes) -> bytes:
    grown = pdu + item
    return grown[:2] + (len(grown) - 6).to_bytes(4, "big") + grown[6:]


def test_items_that_nobody_knows_are_ignored() -> None:
    pdu = associate_rq()
    user = pdu.rindex(b"\x50\x00")
    length = int.from_bytes(pdu[user + 2 : user + 4], "big")
    pdu = pdu[: user + 2] + (length + 7).to_bytes(2, "big") + pdu[user + 4 :]

    unknown = with_item(with_item(pdu, b"\x9a\x00\x00\x03xyz"), b"\x60\x00\x00\x02ab")

    assert agree(read_request(unknown[6:]), OFFER) == agree(read_request(associate_rq()[6:]), OFFER)


def reject(pdu: bytes) -> Any:
    return rejection(read_request(pdu[6:]), Anybody())


def test_each_wrong_whole_has_its_rejection() -> None:
    good = associate_rq()

    assert reject(good) is None
    assert reject(associate_rq(calling="STRANGER")) == CALLING_TITLE_UNKNOWN == (1, 1, 3)
    assert reject(associate_rq(called="WRONG")) == CALLED_TITLE_UNKNOWN == (1, 1, 7)
    assert reject(good[:26] + b" " * 16 + good[42:]) == CALLING_TITLE_UNKNOWN
    assert reject(good[:6] + b"\x00\x02" + good[8:]) == PROTOCOL_VERSION_UNKNOWN == (1, 2, 2)
    assert reject(good[:6] + b"\x00\x03" + good[8:]) is None
    assert reject(good.replace(b"1.2.840.10008.3.1.1.1", b"1.2.840.10008.3.1.1.2")) == APPLICATION_CONTEXT_UNKNOWN
    assert reject(associate_rq(maximum_bytes=100)) == NO_REASON
    assert reject(associate_rq(maximum_bytes=0)) is None


@pytest.mark.parametrize("numbers", [b"\x02\x03", b"\x01\x01", b"\x00\x01"])
def test_context_ids_that_are_even_or_twice_there_are_refused(numbers: bytes) -> None:
    pdu = bytearray(associate_rq([(VERIFICATION, [IMPLICIT]), (WORKLIST, [IMPLICIT])]))
    first = pdu.index(b"\x20\x00", 74)
    second = pdu.index(b"\x20\x00", first + 4 + int.from_bytes(pdu[first + 2 : first + 4], "big"))
    pdu[first + 4], pdu[second + 4] = numbers

    with pytest.raises(BadRequest):
        read_request(bytes(pdu[6:]))


@settings(max_examples=600, deadline=None)
@given(contexts, st.data())
def test_a_damaged_request_is_read_or_refused_and_nothing_else(
    asked: list[tuple[str, list[str]]], data: st.DataObject
) -> None:
    pdu = bytearray(associate_rq(asked))
    for _ in range(data.draw(st.integers(1, 4))):
        pdu[data.draw(st.integers(6, len(pdu) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.one_of(st.none(), st.integers(6, len(pdu))))

    try:
        request = read_request(bytes(pdu[6:cut]))
    except BadRequest:
        return

    assert isinstance(request, AssociationRequest)
    if rejection(request, Anybody()) is None:
        A_ASSOCIATE_AC().decode(agree(request, OFFER).answer)
