"""What is nested, long or numerous beyond all use gets its answer at once, and another peer is served meanwhile."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.kit.brokers import RunningBroker, running
from tests.kit.databases import KINDS, Databases
from tests.kit.heavy_datasets import (
    PATIENT_NAME,
    PRIVATE,
    REQUESTS,
    SCHEDULED,
    deflated,
    element,
    elements,
    items,
    marks,
    nested,
    text,
)
from tests.kit.messages import Case
from tests.kit.raw_dicom import (
    CT_IMAGE,
    PERFORMED,
    VERIFICATION,
    WORKLIST,
    RawPeer,
    abort,
    associate_rq,
    command_set,
    data,
)

IMPLICIT, DEFLATED = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1.99"
AT_ONCE = 10
LONGEST_WAIT_SECONDS = 2.0
"""Of another peer, on a machine that does other work too; on a quiet one it waits a tenth of a second."""
FRAGMENT_BYTES = 100_000
CONTEXTS = ((VERIFICATION, [IMPLICIT]), (WORKLIST, [IMPLICIT]), (PERFORMED, [IMPLICIT]), (CT_IMAGE, [IMPLICIT]),
            (CT_IMAGE, [DEFLATED]))  # fmt: skip
FIND, CREATE, STORE, STORE_DEFLATED = (3, 0x0020, WORKLIST), (5, 0x0140, PERFORMED), (7, 0x0001, CT_IMAGE), (
    9, 0x0001, CT_IMAGE)  # fmt: skip

Dataset = Callable[[str], bytes]
"""A dataset whose SOP Instance UID is given."""


def image(uid: str, name: bytes = b"", before: bytes = b"", after: bytes = b"") -> bytes:
    head = text(0x00080016, CT_IMAGE.encode()) + text(0x00080018, uid.encode())
    return head + before + name + text(0x0020000D, b"1.2.3") + text(0x0020000E, b"1.2.3.4") + after


def deflated_image(uid: str) -> bytes:
    """Ten million values in twenty kilobytes."""
    values = b"A\\" * 10_000_000
    name = struct.pack("<HH2sHI", 0x0010, 0x0010, b"UC", 0, len(values)) + values
    uids = (0x00080016, CT_IMAGE), (0x00080018, uid), (0x0020000D, "1.2.3"), (0x0020000E, "1.2.3.4")
    first, second, *last = (explicit_uid(tag, value.encode()) for tag, value in uids)
    return deflated(first + second + name + b"".join(last))


def explicit_uid(tag: int, value: bytes) -> bytes:
    value += b"\0" * (len(value) % 2)
    return struct.pack("<HH2sH", tag >> 16, tag & 0xFFFF, b"UI", len(value)) + value


def step(name: bytes = b"", before: bytes = b"") -> bytes:
    scheduled = items(SCHEDULED, 1, text(0x0020000D, b"1.2.3"))
    rest = [text(0x00400241, b"CT1"), text(0x00400244, b"20260302"), text(0x00400245, b"0900"),
            text(0x00400252, b"IN PROGRESS"), text(0x00400253, b"P1")]  # fmt: skip
    return before + text(0x00080060, b"CT") + name + b"".join(rest) + scheduled


MANY_VALUES = element(PATIENT_NAME, b"A\\" * 2_500_000)
MARKS = element(PATIENT_NAME, marks(200_000)[26:])
UIDS = text(0x0020000D, "\\".join(f"1.2.{number}" for number in range(100_000)).encode())

CASES: dict[str, tuple[tuple[int, int, str], Dataset, int]] = {
    "a query for a name of marks": (FIND, lambda uid: marks(200_000), 0xA900),
    "a query for sixty thousand stars": (FIND, lambda uid: text(PATIENT_NAME, b"*" * 60_000), 0x0000),
    "a query for stars and letters": (FIND, lambda uid: text(0x00100020, b"*A" * 25_000), 0xA900),
    "a query for a hundred stars": (FIND, lambda uid: text(0x00100020, b"*A" * 100), 0x0000),
    "a query for a hundred thousand UIDs": (FIND, lambda uid: UIDS, 0x0000),
    "a query for thousands of keys": (FIND, lambda uid: elements(100_000), 0xA900),
    "a query for nested keys": (FIND, lambda uid: nested(SCHEDULED, 20_000), 0xA900),
    "a step with a name of marks": (CREATE, lambda uid: step(MARKS), 0x0000),
    "a step with millions of names": (CREATE, lambda uid: step(MANY_VALUES), 0x0000),
    "a step of nested sequences": (CREATE, lambda uid: step(before=nested(SCHEDULED, 20_000)), 0x0106),
    "a step of many items": (CREATE, lambda uid: step(before=items(SCHEDULED, 200_000)), 0x0106),
    "an image with a name of marks": (STORE, lambda uid: image(uid, MARKS), 0x0000),
    "an image with millions of names": (STORE, lambda uid: image(uid, MANY_VALUES), 0x0000),
    "an image with nested requests": (STORE, lambda uid: image(uid, after=nested(REQUESTS, 330)), 0xC000),
    "an image with nested private sequences": (
        STORE, lambda uid: image(uid, before=nested(PRIVATE, 20_000)), 0xC000),
    "an image of many elements": (STORE, lambda uid: image(uid, before=elements(200_000)), 0xC000),
    "an image of ten million deflated names": (STORE_DEFLATED, deflated_image, 0x0000),
}  # fmt: skip


@pytest.fixture(params=KINDS, scope="module")
def broker(
    request: pytest.FixtureRequest, databases: Databases, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningBroker]:
    folder = tmp_path_factory.mktemp("heavy")
    with databases.fresh(request.param, folder) as url, running(folder / "data", url) as found:
        yield found


def asked(peer: RawPeer, kind: tuple[int, int, str], content: bytes, uid: str) -> int:
    context, field, sop_class = kind
    instance = {} if kind == FIND else {"instance": uid}
    peer.send(data(context, command_set(field, 1, sop_class, dataset=True, **instance), command=True))
    for at in range(0, len(content), FRAGMENT_BYTES):
        last = at + FRAGMENT_BYTES >= len(content)
        peer.send(data(context, content[at : at + FRAGMENT_BYTES], command=False, last=last))
    return peer.status()


def check_that_nobody_waits(broker: RunningBroker, name: str) -> None:
    """Send a case ten times at once; everybody gets the answer, and another peer its echoes meanwhile."""
    kind, dataset, expected = CASES[name]
    uids = [f"1.2.{list(CASES).index(name) + 1}.{number + 10}" for number in range(AT_ONCE)]
    contents = [dataset(uid) for uid in uids]

    with ExitStack() as stack:
        peers = [stack.enter_context(RawPeer(broker.dicom_port)).associate(contexts=CONTEXTS) for _ in uids]
        other = stack.enter_context(RawPeer(broker.dicom_port)).associate(calling="OTHER")
        pool = stack.enter_context(ThreadPoolExecutor(AT_ONCE))
        answers = [pool.submit(asked, *one) for one in zip(peers, [kind] * AT_ONCE, contents, uids, strict=True)]
        waits = []
        while not all(answer.done() for answer in answers) or not waits:
            began = time.monotonic()
            assert other.echo() == 0x0000
            waits.append(time.monotonic() - began)
            time.sleep(0.01)

    assert [f"{answer.result():04X}" for answer in answers] == [f"{expected:04X}"] * AT_ONCE
    assert max(waits) < LONGEST_WAIT_SECONDS


WHERE = [(kind, name) for kind in KINDS for name in CASES if kind == "sqlite" or CASES[name][2] == 0x0000]
"""What is refused before the store is asked is tried on one database."""


@pytest.mark.parametrize(("broker", "name"), WHERE, indirect=["broker"])
def test_it_is_answered_and_another_peer_is_served_meanwhile(broker: RunningBroker, name: str) -> None:
    check_that_nobody_waits(broker, name)


def test_processes_of_the_dicom_door_bear_it_too(databases: Databases, tmp_path: Path) -> None:
    with (
        databases.fresh("sqlite", tmp_path) as url,
        running(tmp_path / "data", url, dicom_processes=2) as broker,
    ):
        for name in ("a query for a name of marks", "a step with a name of marks", "an image with nested requests"):
            check_that_nobody_waits(broker, name)


def test_an_association_request_with_thousands_of_contexts_is_aborted(broker: RunningBroker) -> None:
    context = b"\x20\0" + struct.pack(">H", 8) + b"\x09\0\0\0" + b"\x30\0\0\0"
    body = associate_rq()[6:] + context * 20_000

    with RawPeer(broker.dicom_port) as peer:
        peer.send(b"\x01\0" + struct.pack(">I", len(body)) + body)

        assert peer.rest() == abort(6)


@pytest.mark.parametrize("key", ["PatientID", "PatientName"])
def test_stars_between_all_letters_find_the_same_as_none_on_either_database(
    broker: RunningBroker, case: Case, key: str
) -> None:
    broker.send(case.order())
    value = str(broker.item(case)[key].value)

    starred = broker.scanner().items(**{key: "***".join(value)})
    other = broker.scanner().items(**{key: "***".join(value) + "*X"})

    assert case.patient_id in [item.PatientID for item in starred]
    assert other == []
