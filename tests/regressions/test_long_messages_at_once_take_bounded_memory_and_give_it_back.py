"""Sixteen messages of 10 MB at once: all are answered, memory stays bounded, and the system gets it back.

Seen: 4.7 GB, kept afterwards.
"""

from __future__ import annotations

import threading
from pathlib import Path

from tests.kit.messages import Case
from tests.kit.mllp import START, Sender
from tests.kit.processes import ServedBroker
from tests.kit.waiting import until

SENDERS = 16
MORE_MB = 400.0
KEPT_MB = 150.0
DOCUMENT = b"OBX|1|ED|DOC||^^PDF^Base64^" + b"QUJD" * 2_500_000 + b"||||||F\r"


def memory_mb(pid: int, what: str) -> float:
    """VmRSS is what it has now, VmHWM the most that it ever had."""
    lines = Path(f"/proc/{pid}/status").read_text("ascii").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(what))


def test_long_messages_at_once_take_bounded_memory_and_give_it_back(tmp_path):
    url = f"sqlite:///{tmp_path}/data/broker.db"
    codes: list[str] = []
    with ServedBroker(tmp_path / "data", url, "--log", "json") as broker:
        pid = broker.process.pid
        assert broker.send(Case().order()).code == "AA"
        before = memory_mb(pid, "VmRSS")

        def send() -> None:
            with Sender(broker.ports["hl7"], 60.0) as sender:
                codes.append(sender.send(Case().order() + DOCUMENT).code)

        threads = [threading.Thread(target=send) for _ in range(SENDERS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(90)

        assert codes == ["AA"] * SENDERS
        assert memory_mb(pid, "VmHWM") - before < MORE_MB
        assert broker.send(Case().order()).code == "AA"
        until(lambda: memory_mb(pid, "VmRSS") - before < KEPT_MB, 10.0)


def test_half_messages_that_hold_the_share_of_their_host_leave_room_for_others(tmp_path):
    url = f"sqlite:///{tmp_path}/data/broker.db"
    options = ("--log", "json", "--input-bytes", "40000000", "--hl7-message-seconds", "4")
    half = START + Case().order() + DOCUMENT[:9_000_000]
    with ServedBroker(tmp_path / "data", url, *options) as broker:
        port = broker.ports["hl7"]
        holding = [Sender(port, 0.5, "127.0.0.2") for _ in range(8)]
        for one in holding:
            try:
                one.write(half)
            except TimeoutError:  # it is not read any more
                one.socket.settimeout(20.0)

        with Sender(port, 20.0) as other:
            assert other.send(Case().order() + DOCUMENT).code == "AA"
            assert other.send(Case().order()).code == "AA"
        for one in holding:
            one.socket.close()
