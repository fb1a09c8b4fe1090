"""A device whose AE title is no title of the standard may still ask, report and store, on either database."""

from __future__ import annotations

import pytest

from tests.kit.brokers import running
from tests.kit.harm import image, request
from tests.kit.heavy_datasets import SCHEDULED, items, text
from tests.kit.messages import Case
from tests.kit.raw_dicom import CT_IMAGE, PERFORMED, RawPeer, associate_rq, find_rq

INSTANCE = "1.2.3.3"
STEP = (text(0x00080060, b"CT") + text(0x00400241, b"CT1") + text(0x00400244, b"20260302") + text(0x00400245, b"0900")
        + text(0x00400252, b"IN PROGRESS") + text(0x00400253, b"P1") + items(SCHEDULED, 1, text(0x0020000D, b"1.2.3"))
        )  # fmt: skip


@pytest.mark.parametrize("title", [b"CT\0left over", b"\xffCT\xfe", b"C\\T", b"\x1b[2JCT"])
def test_it_asks_reports_and_stores(database_url, tmp_path, title: bytes, case: Case) -> None:
    asked = bytearray(associate_rq())
    asked[26:42] = title.ljust(16)
    with running(tmp_path / "data", database_url) as broker, RawPeer(broker.dicom_port) as peer:
        peer.send(bytes(asked))
        assert peer.pdu()[:1] == b"\x02"

        peer.send(find_rq())
        found = peer.status()
        peer.send(request(0x0140, 5, PERFORMED, STEP, instance="1.2.4"))
        reported = peer.status()
        peer.send(request(0x0001, 7, CT_IMAGE, image(b""), instance=INSTANCE))
        stored = peer.status()

        assert (found, reported, stored) == (0x0000, 0x0000, 0x0000)
        assert broker.file_of(INSTANCE).exists()
