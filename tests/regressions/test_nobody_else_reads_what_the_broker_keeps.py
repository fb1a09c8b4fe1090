"""Database, locks, ports, objects and folders are their owner's alone, whatever the umask and whoever made them."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from tests.kit.certificates import Authority
from tests.kit.messages import Case
from tests.kit.processes import ServedBroker

OTHERS = 0o077


def open_to_others(folder: Path) -> list[str]:
    """What others have any right to, by its path below the folder and its mode."""
    found = [folder, *folder.rglob("*")]
    modes = {str(path.relative_to(folder)): stat.S_IMODE(path.lstat().st_mode) for path in found}
    return [f"{name} {mode:o}" for name, mode in modes.items() if mode & OTHERS]


@pytest.mark.parametrize("processes", [(), ("--dicom-processes", "2")], ids=["one", "two"])
def test_what_is_made_under_umask_0_in_a_folder_for_everybody(tmp_path, processes):
    data = tmp_path / "data"
    broker = ServedBroker(data, f"sqlite:///{data}/broker.db", *processes)
    data.chmod(0o777)
    broker.through_shell('umask 0; exec "$@"')
    with broker:
        case = Case()
        broker.send(case.order())
        item = broker.item(case)
        scanner = broker.scanner()
        scanner.start(item)
        assert scanner.store(scanner.take(item)) == [0x0000]

        made = {"broker.db", "broker.db-wal", "broker.db-shm", "serve.lock", "write.lock", "ports.json", "objects"}
        assert {path.name for path in data.iterdir()} >= made
        assert open_to_others(data) == []
        assert broker.command("orders", "list").returncode == 0
        assert open_to_others(data) == []


def test_a_folder_of_the_version_before_is_closed_at_the_start(tmp_path):
    data = tmp_path / "data"
    with ServedBroker(data, f"sqlite:///{data}/broker.db"):
        pass
    for path in (data, *data.rglob("*")):
        path.chmod(path.stat().st_mode | 0o055)

    with ServedBroker(data, f"sqlite:///{data}/broker.db"):
        assert open_to_others(data) == []


def test_a_database_in_a_folder_of_its_own_is_closed_too(tmp_path):
    broker = ServedBroker(tmp_path / "data", f"sqlite:///{tmp_path}/elsewhere/broker.db")
    broker.through_shell('umask 0; exec "$@"')
    with broker:
        broker.send(Case().order())

        assert open_to_others(tmp_path / "elsewhere") == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to another user")
def test_what_is_not_ours_to_close_is_said_at_the_start_and_by_the_doctor(tmp_path):
    data, keys = tmp_path / "data", tmp_path / "keys"
    keys.mkdir()
    files = Authority(keys).issue("localhost")
    files.key.chmod(0o644)
    tls = ("--hl7-tls-port", "0", "--hl7-tls-certificate", str(files.certificate), "--hl7-tls-key", str(files.key))
    broker = ServedBroker(data, f"sqlite:///{data}/broker.db", "--log", "json", *tls)
    os.chown(data, 12345, 12345)
    data.chmod(0o755)
    with broker:
        said = broker.printed()
        found = broker.command("doctor", *tls, "--json").stdout

        assert f"Warning: other users have rights to {data}, which is not ours to close" in said
        assert f"Warning: other users can read the TLS key {files.key}" in said
        assert [line["path"] for line in broker.logged("data.open_to_others")] == [str(data)]
        assert [line["path"] for line in broker.logged("tls.key_open_to_others")] == [str(files.key)]
        assert f"other users of this machine have rights to {data}" in found
        assert f"other users can read the key {files.key}" in found
