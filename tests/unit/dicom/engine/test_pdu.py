"""Bytes into PDUs: at any cut the same, in bounds whatever comes; and back, as pynetdicom reads them."""

from __future__ import annotations

import os
import struct
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pynetdicom.pdu import A_ABORT_RQ, A_ASSOCIATE_RJ, A_RELEASE_RP, A_RELEASE_RQ, P_DATA_TF

from broker.dicom.engine.pdu import (
    ASSOCIATE_BYTES,
    RELEASE_RP_PDU,
    RELEASE_RQ_PDU,
    AbortReason,
    BadPdu,
    Pdu,
    PduReader,
    PduType,
    Pdv,
    abort_pdu,
    data_pdus,
    fragment_room,
    reject_pdu,
)

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "3000"))
MAXIMUM = 1_024

fragments = st.builds(Pdv, st.integers(0, 255), st.booleans(), st.booleans(), st.binary(max_size=40))


def data_pdu(pdvs: list[Pdv]) -> bytes:
    body = b"".join(
        struct.pack(">IBB", len(one.data) + 2, one.context_id, one.is_command | one.is_last << 1) + one.data
        for one in pdvs
    )
    return struct.pack(">BxI", 4, len(body)) + body


good_pdus = st.one_of(
    st.lists(fragments, min_size=1, max_size=5).map(data_pdu),
    st.binary(max_size=90).map(lambda body: struct.pack(">BxI", 1, len(body)) + body),
    st.sampled_from([RELEASE_RQ_PDU, RELEASE_RP_PDU, abort_pdu(0, 0), reject_pdu(1, 1, 1)]),
)


def read_all(chunks: list[bytes]) -> list[Pdu | BadPdu]:
    reader = PduReader(MAXIMUM)
    return [pdu for chunk in chunks for pdu in reader.feed(chunk)]


def cut(data: bytes, sizes: list[int]) -> list[bytes]:
    chunks, position = [], 0
    for size in sizes:
        chunks.append(data[position : position + size])
        position += size
    return [*chunks, data[position:]]


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.lists(good_pdus, max_size=6), st.lists(st.integers(1, 50), max_size=40))
def test_a_stream_gives_the_same_pdus_wherever_it_is_cut(pdus: list[bytes], sizes: list[int]) -> None:
    stream = b"".join(pdus)

    found = read_all(cut(stream, sizes))

    assert found == read_all([stream]) == [one for pdu in pdus for one in read_all([pdu])]
    assert len(found) == len(pdus)


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.lists(st.one_of(good_pdus, st.binary(max_size=60)), max_size=5), st.lists(st.integers(1, 50), max_size=20))
def test_whatever_comes_is_pdus_up_to_one_that_is_bad(parts: list[bytes], sizes: list[int]) -> None:
    reader = PduReader(MAXIMUM)

    found = [pdu for chunk in cut(b"".join(parts), sizes) for pdu in reader.feed(chunk)]

    assert all(isinstance(pdu, Pdu) for pdu in found[:-1])
    if found and isinstance(found[-1], BadPdu):
        assert reader.feed(RELEASE_RQ_PDU) == []
        assert not reader.has_begun


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.lists(good_pdus, min_size=1, max_size=4), st.data())
def test_a_flipped_byte_never_raises(pdus: list[bytes], data: st.DataObject) -> None:
    stream = bytearray(b"".join(pdus))
    position = data.draw(st.integers(0, len(stream) - 1))
    stream[position] = data.draw(st.integers(0, 255))

    found = read_all([bytes(stream)])

    assert [type(pdu) for pdu in found[:-1]] == [Pdu] * (len(found) - 1 if found else 0)


@pytest.mark.parametrize(
    ("head", "reason"),
    [
        (b"\x00", AbortReason.UNRECOGNIZED_PDU),
        (b"\x08", AbortReason.UNRECOGNIZED_PDU),
        (b"\x16\x03\x01", AbortReason.UNRECOGNIZED_PDU),  # TLS ClientHello
        (b"GET / HTTP/1.1", AbortReason.UNRECOGNIZED_PDU),
        (struct.pack(">BxI", 1, ASSOCIATE_BYTES + 1), AbortReason.INVALID_PARAMETER),
        (struct.pack(">BxI", 1, 0xFFFFFFFF), AbortReason.INVALID_PARAMETER),
        (struct.pack(">BxI", 4, MAXIMUM + 1), AbortReason.INVALID_PARAMETER),
        (struct.pack(">BxI", 4, 0), AbortReason.INVALID_PARAMETER),
        (struct.pack(">BxI", 4, 5), AbortReason.INVALID_PARAMETER),
        (struct.pack(">BxI", 5, 5), AbortReason.INVALID_PARAMETER),
        (struct.pack(">BxI", 7, 0), AbortReason.INVALID_PARAMETER),
        (struct.pack(">BxIIBB", 4, 6, 3, 1, 0), AbortReason.INVALID_PARAMETER),  # PDV beyond its PDU
        (struct.pack(">BxIIBB", 4, 6, 1, 1, 0), AbortReason.INVALID_PARAMETER),  # PDV without header
        (struct.pack(">BxIIBBxx", 4, 8, 2, 1, 0), AbortReason.INVALID_PARAMETER),  # bytes after the last PDV
    ],
)
def test_a_wrong_type_or_length_is_judged_as_soon_as_it_is_there(head: bytes, reason: AbortReason) -> None:
    (found,) = PduReader(MAXIMUM).feed(head)

    assert isinstance(found, BadPdu)
    assert found.reason is reason


def test_more_values_than_any_peer_sends_are_refused() -> None:
    (found,) = PduReader(131_072).feed(data_pdu([Pdv(1, True, False, b"")] * 1_001))

    assert isinstance(found, BadPdu)


def test_bytes_that_come_one_by_one_cost_no_more_than_the_pdu() -> None:
    reader = PduReader(131_072)
    pdu = data_pdu([Pdv(1, False, True, bytes(100_000))])
    tracemalloc.start()

    found = [one for byte in pdu for one in reader.feed(bytes([byte]))]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert [one.pdvs[0].data for one in found] == [bytes(100_000)]
    assert peak < 600_000


@settings(max_examples=300, deadline=None)
@given(
    st.integers(0, 127).map(lambda number: 2 * number + 1),
    st.binary(max_size=3_000),
    st.one_of(st.just(0), st.integers(128, 2_000)),
    st.booleans(),
)
def test_data_is_cut_to_the_peers_maximum_as_pynetdicom_reads_it(
    context_id: int, data: bytes, maximum: int, command: bool
) -> None:
    stream = b"".join(data_pdus(context_id, data, fragment_room(maximum), command=command))

    pdus = PduReader(1_048_576).feed(stream)
    values = [pdv for pdu in pdus if isinstance(pdu, Pdu) for pdv in pdu.pdvs]

    assert b"".join(value.data for value in values) == data
    assert [value.is_last for value in values] == [False] * (len(values) - 1) + [True]
    assert {(value.context_id, value.is_command) for value in values} == {(context_id, command)}
    position = 0
    while position < len(stream):
        length = struct.unpack_from(">I", stream, position + 2)[0]
        assert not maximum or length <= maximum
        twin = P_DATA_TF()
        twin.decode(stream[position : position + 6 + length])
        (item,) = twin.presentation_data_value_items
        assert item.context_id == context_id
        position += 6 + length


def test_fixed_pdus_are_pynetdicoms() -> None:
    rejected, aborted = A_ASSOCIATE_RJ(), A_ABORT_RQ()
    rejected.result, rejected.source, rejected.reason_diagnostic = 2, 3, 1
    aborted.source, aborted.reason_diagnostic = 2, 6

    assert reject_pdu(2, 3, 1) == rejected.encode()
    assert abort_pdu(2, 6) == aborted.encode()
    assert A_RELEASE_RQ().encode() == RELEASE_RQ_PDU
    assert A_RELEASE_RP().encode() == RELEASE_RP_PDU
    assert PduReader(MAXIMUM).feed(RELEASE_RQ_PDU) == [Pdu(PduType.RELEASE_RQ, bytes(4))]
