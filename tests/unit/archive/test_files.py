"""Object files: whole or absent, byte for byte, and only what is not finished is ever removed by a start."""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import replace
from datetime import date
from hashlib import sha256
from io import BytesIO

import pydicom
import pytest
from pydicom.dataset import Dataset

from broker.archive import files as module
from broker.archive.files import FileMeta, NumberTaken, ObjectFiles
from broker.errors import StorageFull

DAY = date(2026, 3, 2)
META = FileMeta("1.2.840.10008.5.1.4.1.1.2", "1.2.3.4", "1.2.840.10008.1.2.1", "CT1")


@pytest.fixture
def files(tmp_path):
    return ObjectFiles(tmp_path)


def names(folder):
    return sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file())


def dataset_bytes():
    dataset = Dataset()
    dataset.SOPClassUID = META.sop_class_uid
    dataset.SOPInstanceUID = META.sop_instance_uid
    dataset.PatientID = "P1"
    out = BytesIO()
    pydicom.filewriter.write_dataset(_explicit(out), dataset)
    return out.getvalue()


def _explicit(out):
    stream = pydicom.filebase.DicomIO(out)
    stream.is_little_endian, stream.is_implicit_VR = True, False
    return stream


def test_an_object_is_a_part_10_file_whose_dataset_is_untouched(files, tmp_path):
    content = dataset_bytes()

    written = files.write(17, DAY, META, BytesIO(content))

    raw = (tmp_path / written.path).read_bytes()
    read = pydicom.dcmread(tmp_path / written.path)
    assert written.path == "objects/26/03/02/17.dcm"
    assert raw[written.dataset_offset :] == content
    assert (written.length, written.digest) == (len(raw), sha256(content).hexdigest())
    assert read.file_meta.MediaStorageSOPInstanceUID == "1.2.3.4"
    assert read.file_meta.TransferSyntaxUID == META.transfer_syntax_uid
    assert read.file_meta.SourceApplicationEntityTitle == "CT1"
    assert read.PatientID == "P1"


def test_an_object_of_odd_size_and_several_chunks_is_kept_byte_for_byte(files, tmp_path):
    content = os.urandom(3 * module.CHUNK_BYTES + 1)

    written = files.write(1, DAY, META, BytesIO(content))

    assert (tmp_path / written.path).read_bytes()[written.dataset_offset :] == content


def test_an_object_is_read_in_chunks_and_never_whole(files):
    class Source:
        asked: list[int] = []

        def read(self, size=-1):
            self.asked.append(size)
            return b"x" * size if len(self.asked) < 4 else b""

    files.write(1, DAY, META, Source())

    assert set(Source.asked) == {module.CHUNK_BYTES}


def test_only_the_owner_may_read_an_object(files, tmp_path):
    written = files.write(1, DAY, META, BytesIO(b"x"))

    assert stat.S_IMODE((tmp_path / written.path).stat().st_mode) == 0o600


def test_the_file_is_synced_before_it_gets_its_name_and_its_folders_after(files, tmp_path, monkeypatch):
    steps = []
    fsync, rename = os.fsync, type(tmp_path).rename

    def noted_fsync(descriptor):
        steps.append("file" if stat.S_ISREG(os.fstat(descriptor).st_mode) else "folder")
        fsync(descriptor)

    def noted_rename(self, target):
        steps.append("rename")
        return rename(self, target)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(type(tmp_path), "rename", noted_rename)

    files.write(1, DAY, META, BytesIO(b"x"))
    first = list(steps)
    steps.clear()
    files.write(2, DAY, META, BytesIO(b"x"))

    assert first == ["folder"] * 4 + ["file", "rename", "folder"]
    assert steps == ["file", "rename", "folder"]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS, errno.EIO])
def test_a_full_or_forbidden_disk_leaves_no_half_file(files, tmp_path, monkeypatch, code):
    write = os.write

    def short_of_room(descriptor, chunk):
        if len(chunk) < 100:
            raise OSError(code, os.strerror(code))
        return write(descriptor, chunk)

    monkeypatch.setattr(os, "write", short_of_room)

    with pytest.raises(StorageFull) as caught:
        files.write(1, DAY, META, BytesIO(b"x"))

    assert caught.value.facts["errno"] == code
    assert names(tmp_path) == []


def test_a_folder_that_is_a_file_is_no_room(files, tmp_path):
    (tmp_path / "objects").write_bytes(b"")

    with pytest.raises(StorageFull):
        files.write(1, DAY, META, BytesIO(b"x"))


def test_a_source_that_breaks_leaves_no_half_file(files, tmp_path):
    class Broken:
        def read(self, size):
            raise RuntimeError("gone")

    with pytest.raises(RuntimeError):
        files.write(1, DAY, META, Broken())

    assert names(tmp_path) == []


def test_a_name_that_is_taken_is_never_overwritten(files, tmp_path):
    first = files.write(1, DAY, META, BytesIO(b"first"))

    with pytest.raises(NumberTaken):
        files.write(1, DAY, META, BytesIO(b"second"))

    assert (tmp_path / first.path).read_bytes().endswith(b"first")
    assert names(tmp_path) == [first.path]


def test_a_path_never_comes_from_a_peer(files, tmp_path):
    meta = FileMeta("../../class", "../../../etc/passwd", "1.2.840.10008.1.2", "../AE")

    written = files.write(5, DAY, meta, BytesIO(b"x"))

    assert names(tmp_path) == [written.path] == ["objects/26/03/02/5.dcm"]


def test_the_start_removes_half_files_and_nothing_else(files, tmp_path):
    kept = files.write(7, DAY, META, BytesIO(b"x"))
    (tmp_path / "objects/26/03/02/9.dcm.part").write_bytes(b"half")
    (tmp_path / "objects/26/03/02/notes.dcm").write_bytes(b"not ours")
    (tmp_path / "objects/26/03/02/99999999999999999999.dcm").write_bytes(b"no number of ours")

    assert files.clear_parts() == (1, 7)
    assert names(tmp_path) == [kept.path, "objects/26/03/02/99999999999999999999.dcm", "objects/26/03/02/notes.dcm"]


def test_a_folder_without_objects_has_no_numbers(files):
    assert files.clear_parts() == (0, 0)


def test_only_files_with_lower_numbers_are_looked_at(files):
    for number in (1, 5, 9):
        files.write(number, DAY, META, BytesIO(b"x"))

    assert list(files.whole(9)) == [{1: "objects/26/03/02/1.dcm", 5: "objects/26/03/02/5.dcm"}]


def test_a_found_file_says_what_was_written(files):
    written = files.write(17, DAY, META, BytesIO(dataset_bytes()))

    found = files.look(17, written.path)

    assert (found.meta, found.written) == (META, written)


def test_a_file_that_is_set_aside_keeps_its_date_and_overwrites_nothing(files, tmp_path):
    for _ in range(3):
        files.set_aside(files.write(1, DAY, META, BytesIO(b"x")).path)

    assert names(tmp_path) == [f"unclaimed/26/03/02/1.dcm{suffix}" for suffix in ("", ".2", ".3")]
    assert files.count_unclaimed() == 3


def test_datasets_are_compared_without_what_the_files_say_of_their_senders(files):
    one = files.write(1, DAY, META, BytesIO(b"same"))
    other = files.write(2, DAY, replace(META, peer="LONGER_NAME"), BytesIO(b"same"))
    third = files.write(3, DAY, META, BytesIO(b"else"))

    assert files.same_dataset(one.path, other.path)
    assert not files.same_dataset(one.path, third.path)
    assert not files.same_dataset(one.path, "objects/26/03/02/4.dcm")


def test_removing_a_file_that_is_gone_is_fine(files):
    files.remove("objects/26/03/02/9.dcm")
