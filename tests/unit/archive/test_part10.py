"""The frame of a Part 10 file: what it says is read back, and a dataset that is cut short is seen."""

from __future__ import annotations

import zlib
from pathlib import Path

import pytest
from pydicom.data import get_testdata_file

from broker.archive.part10 import DEFLATED, FileMeta, head_of, is_whole, read_head
from broker.errors import UnreadableDataset
from tests.kit.doubling import check_linear

META = FileMeta("1.2.840.10008.5.1.4.1.1.2", "1.2.3.4", "1.2.840.10008.1.2.1", "CT1")
EXPLICIT = META.transfer_syntax_uid
ENCODINGS = {
    "implicit": "rtplan.dcm",
    "big endian": "MR_small_bigendian.dcm",
    "deflated": "image_dfl.dcm",
    "encapsulated": "JPEG2000.dcm",
    "private sequences": "nested_priv_SQ.dcm",
    "a sequence of unknown VR": "UN_sequence.dcm",
    "a report": "test-SR.dcm",
}
ITEM, ITEM_END, SEQUENCE_END = (
    b"\xfe\xff" + part for part in (b"\x00\xe0\xff\xff\xff\xff", b"\x0d\xe0" + bytes(4), b"\xdd\xe0" + bytes(4))
)
SEQUENCE = b"\x40\x00\x75\x02SQ\x00\x00\xff\xff\xff\xff"


def test_what_a_head_says_is_read_back(tmp_path: Path) -> None:
    for meta in (META, FileMeta("1.2", "1.2.3.4.5", "1.2.840.10008.1.2", "")):
        (tmp_path / "file").write_bytes(head_of(meta) + b"dataset")

        assert read_head(tmp_path / "file") == (meta, len(head_of(meta)))


@pytest.mark.parametrize(
    "spoil",
    [lambda head: b"", lambda head: head[:140], lambda head: head[:-1], lambda head: head.replace(b"DICM", b"MCID"),
     lambda head: head[:140] + b"\xff\xff\xff\xff" + head[144:]],
    ids=["empty", "no length", "cut short", "other magic", "endless"],
)  # fmt: skip
def test_a_file_that_is_not_part_10_is_refused(tmp_path: Path, spoil) -> None:
    (tmp_path / "file").write_bytes(spoil(head_of(META)))

    with pytest.raises(UnreadableDataset):
        read_head(tmp_path / "file")


@pytest.mark.parametrize("name", ENCODINGS.values(), ids=ENCODINGS)
def test_a_dataset_that_is_cut_short_is_seen_whatever_its_encoding(tmp_path: Path, name: str) -> None:
    whole = Path(str(get_testdata_file(name)))
    meta, offset = read_head(whole)
    (tmp_path / "cut").write_bytes(whole.read_bytes()[:-20])

    assert is_whole(whole, offset, meta.transfer_syntax_uid)
    assert not is_whole(tmp_path / "cut", offset, meta.transfer_syntax_uid)


@pytest.mark.parametrize("syntax", sorted(DEFLATED))
def test_a_stream_that_is_cut_short_is_seen_in_each_deflated_syntax(tmp_path: Path, syntax: str) -> None:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    packed = packer.compress(b"\x08\x00\x60\x00CS\x02\x00CT") + packer.flush()
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    whole.write_bytes(packed)
    cut.write_bytes(packed[:-4])

    assert is_whole(whole, 0, syntax)
    assert not is_whole(cut, 0, syntax)


@pytest.mark.parametrize(
    "unit",
    [lambda size: (SEQUENCE + ITEM) * size + (ITEM_END + SEQUENCE_END) * size,
     lambda size: b"\x08\x00\x50\x00SH\x00\x00" * 6 * size, lambda size: (SEQUENCE + ITEM) * size],
    ids=["nested", "many", "nested without end"],
)  # fmt: skip
def test_its_cost_grows_with_the_number_of_elements(tmp_path: Path, unit) -> None:
    def made(size: int) -> Path:
        file = tmp_path / str(size)
        file.write_bytes(unit(size))
        return file

    check_linear(made, lambda file: is_whole(file, 0, EXPLICIT), 4_000)
