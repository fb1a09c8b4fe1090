"""What a peer sends to the DICOM door costs what it weighs; past a bound the refusal names it."""

from __future__ import annotations

import struct
from contextlib import suppress

import pytest

from broker.dataset.attributes import read_attributes
from broker.dataset.reading import MOST_LEVELS
from broker.dicom.command_set import BadCommand, read_command_set
from broker.dicom.contract import Command
from broker.dicom.engine.pdu import PduReader
from broker.dicom.negotiation import BadRequest, agree, offer_for, read_request
from broker.dicom.performed_attributes import faults_of_create, faults_of_set, read_progress
from broker.dicom.status import reply_for
from broker.errors import BeyondBounds, UnreadableDataset
from tests.kit.doubling import check_linear
from tests.kit.heavy_datasets import HEAVY, SCHEDULED, elements, items, nested
from tests.kit.raw_dicom import CT_IMAGE, IMPLICIT, VERIFICATION, WORKLIST, associate_rq, data

OFFER = offer_for((VERIFICATION, WORKLIST, CT_IMAGE))
LONGEST_REQUEST = 240_000


def read(content):
    dataset = read_attributes(content, IMPLICIT)
    faults_of_create(dataset)
    faults_of_set(dataset)
    return read_progress(dataset)


@pytest.mark.parametrize("make", HEAVY.values(), ids=HEAVY)
def test_a_performed_step_costs_what_it_weighs(make):
    def refused_or_read(content):
        with suppress(UnreadableDataset):
            read(content)

    check_linear(make, refused_or_read, 10_000)


BEYOND = {
    "nested sequences": (nested(SCHEDULED, MOST_LEVELS + 1), SCHEDULED),
    "items": (items(SCHEDULED, 120_000), SCHEDULED),
    "elements": (elements(120_000), 0x00090000 + 100_000),
}


@pytest.mark.parametrize(("content", "tag"), BEYOND.values(), ids=BEYOND)
def test_past_a_bound_a_performed_step_is_refused_with_0106_and_the_attribute_is_named(content, tag):
    with pytest.raises(BeyondBounds) as refused:
        read(content)

    reply = reply_for(refused.value, Command.N_CREATE)
    assert (reply.status, reply.offending) == (0x0106, (tag,))
    assert "too" in reply.comment


def test_a_step_for_too_many_scheduled_ones_is_refused_without_a_look_at_them():
    assert faults_of_create(read_attributes(items(SCHEDULED, 5_000), IMPLICIT)).invalid == (SCHEDULED,)


def item(kind, content):
    return struct.pack(">BxH", kind, len(content)) + content


def context(number, *syntaxes):
    content = bytes([number, 0, 0, 0]) + item(0x30, VERIFICATION.encode())
    return item(0x20, content + b"".join(item(0x40, uid) for uid in syntaxes))


def request(*content):
    """The body of an A-ASSOCIATE-RQ with more items than the usual ones."""
    return associate_rq()[6:] + b"".join(content)


def user(*content):
    return item(0x50, item(0x51, b"\0\0\x40\0") + item(0x52, b"1.2.3") + b"".join(content))


def role(number):
    uid = b"1.2.%04d" % (number % 10_000)
    return item(0x54, struct.pack(">H", len(uid)) + uid + b"\1\1")


EXTENDED = item(0x56, struct.pack(">H", len(WORKLIST)) + WORKLIST.encode() + b"\1\1\1")

REQUESTS = {
    "contexts": lambda size: request(*(context(9 + 2 * n & 0xFF, IMPLICIT.encode()) for n in range(size // 48))),
    "transfer syntaxes": lambda size: request(*(context(9 + 2 * n, *[b"1"] * 1_000) for n in range(size // 5_000))),
    "roles": lambda size: request(*(user(*map(role, range(100))) for _ in range(size // 1_500))),
    "extended negotiations": lambda size: request(*(user(*[EXTENDED] * 100) for _ in range(size // 3_100))),
    "unknown items": lambda size: request(*[item(0x99, b"")] * (size // 4)),
    "unknown sub-items": lambda size: request(*(user(*[item(0x57, b"")] * 1_000) for _ in range(size // 4_000))),
    "application contexts": lambda size: request(*[item(0x10, b"1.2")] * (size // 7)),
    "long UIDs": lambda size: request(*(context(9 + 2 * n, b"1." * 15_000) for n in range(size // 30_000))),
}


@pytest.mark.parametrize("make", REQUESTS.values(), ids=REQUESTS)
def test_an_association_request_costs_what_it_weighs(make):
    def refused_or_agreed(body):
        with suppress(BadRequest):
            agree(read_request(body), OFFER)

    check_linear(make, refused_or_agreed, LONGEST_REQUEST // 8)


@pytest.mark.parametrize("what", ["contexts", "transfer syntaxes", "roles", "unknown items", "unknown sub-items"])
def test_a_request_with_too_much_of_anything_is_refused(what):
    with pytest.raises(BadRequest):
        read_request(REQUESTS[what](LONGEST_REQUEST))


def test_a_request_with_all_that_a_peer_may_ask_for_is_agreed_on():
    syntaxes = [b"1.2.840.10008.1.2.4.%d" % number for number in range(60)]
    contexts = [context(9 + 2 * n, *syntaxes, IMPLICIT.encode()) for n in range(124)]

    agreement = agree(read_request(request(*contexts)), OFFER)

    assert len(agreement.contexts) == 127  # the fourth of the usual contexts asks for what is not offered


def test_a_command_set_costs_what_it_weighs():
    def made(size):
        return b"".join(struct.pack("<HHI", 0, number, 0) for number in range(size // 8))

    def refused_or_read(content):
        with suppress(BadCommand):
            read_command_set(content)

    check_linear(made, refused_or_read, 8_192, 65_536)


@pytest.mark.parametrize("step", [1, 7, 1_000])
def test_pdus_cost_what_they_weigh_however_they_arrive(step):
    def made(size):
        return data(3, bytes(min(size, 100_000)), command=False) * max(1, size // 100_000)

    def fed(content):
        reader = PduReader(131_072)
        for at in range(0, len(content), step):
            reader.feed(content[at : at + step])

    check_linear(made, fed, 2_000)


