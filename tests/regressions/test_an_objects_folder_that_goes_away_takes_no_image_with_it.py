"""An objects folder that is moved away, or whose disk is not mounted any more: no other folder takes its images."""

from __future__ import annotations

import pytest

from tests.kit.brokers import running
from tests.kit.harm import image, request
from tests.kit.raw_dicom import CT_IMAGE, RawPeer

NO_ROOM = 0xA700
INSTANCE = "1.2.3.3"


def store(port: int, uid: str) -> int:
    content = image(b"").replace(INSTANCE.encode(), uid.encode())
    with RawPeer(port) as peer:
        peer.associate().send(request(0x0001, 7, CT_IMAGE, content, instance=uid))
        return peer.status()


@pytest.mark.parametrize("processes", [0, 2])
@pytest.mark.parametrize("instead", ["nothing", "a folder"])
def test_images_are_refused_until_it_is_back(tmp_path, instead: str, processes: int) -> None:
    data, away = tmp_path / "data", tmp_path / "away"
    url = f"sqlite:///{data}/broker.db"
    (data / "objects").mkdir(parents=True)
    with running(data, url, dicom_processes=processes) as broker:
        assert store(broker.dicom_port, "1.2.3.1") == 0x0000

        (data / "objects").rename(away)
        if instead == "a folder":
            (data / "objects").mkdir()
        while_away = store(broker.dicom_port, "1.2.3.2")
        made = list((data / "objects").rglob("*"))
        if instead == "a folder":
            (data / "objects").rmdir()
        away.rename(data / "objects")
        afterwards = store(broker.dicom_port, "1.2.3.2")

        assert (while_away, made, afterwards) == (NO_ROOM, [], 0x0000)
        assert broker.file_of("1.2.3.1").exists()
        assert broker.file_of("1.2.3.2").exists()
