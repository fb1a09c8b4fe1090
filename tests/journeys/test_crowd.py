"""A department at eight in the morning: a thousand quiet scanners, fifty that ask at once, and one that means harm."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

from tests.kit.messages import Case
from tests.kit.processes import ServedBroker
from tests.kit.raw_dicom import RawPeer, data, find_rq, status_of

IDLE, ASKING, ROUNDS = 1_000, 50, 20
MOST_GROWTH_MB = 100
PENDING, SUCCESS = (0xFF00, 0xFF01), 0x0000


def test_a_thousand_quiet_ones_fifty_who_ask_and_one_who_harms_are_all_served(served: ServedBroker) -> None:
    cases = [Case() for _ in range(5)]
    for case in cases:
        assert served.send(case.order()).code == "AA"
    port, over = served.ports["dicom"], threading.Event()
    harm = threading.Thread(target=_harm, args=(port, over))
    harm.start()
    try:
        with ExitStack() as held:
            before = _resident_mb(served)
            idle = [held.enter_context(RawPeer(port).associate()) for _ in range(IDLE)]
            with ThreadPoolExecutor(ASKING) as crowd:
                answered = list(crowd.map(_ask, [port] * ASKING))
            grown = _resident_mb(served) - before

            assert answered == [[len(cases)] * ROUNDS] * ASKING
            assert {peer.echo() for peer in idle[::20]} == {SUCCESS}
            assert grown < MOST_GROWTH_MB
    finally:
        over.set()
        harm.join()


def _ask(port: int) -> list[int]:
    """How many steps each of a scanner's queries found."""
    found = []
    with RawPeer(port).associate() as scanner:
        for number in range(1, ROUNDS + 1):
            scanner.send(find_rq(number))
            statuses = list(_statuses(scanner))
            assert statuses[-1] == SUCCESS
            found.append(len(statuses) - 1)
    return found


def _statuses(scanner: RawPeer) -> Iterator[int]:
    """Of every response to a query, the final one last."""
    while True:
        pdu = scanner.pdu()
        assert pdu[:1] == b"\x04", pdu
        if pdu[11] & 1:  # a command set, not an identifier (PS3.8 E.2)
            yield (status := status_of(pdu[12:]))
            if status not in PENDING:
                return


def _harm(port: int, over: threading.Event) -> None:
    """Half PDUs held open, values on unknown contexts, lengths that cannot be: again and again until it is over."""
    with ExitStack() as held:
        while not over.wait(0.02):
            held.enter_context(RawPeer(port)).send(b"\x01\x00\x00\x00")
            with RawPeer(port).associate() as wrong:
                wrong.send(data(99, b"nobody asked", command=True))
            with RawPeer(port) as huge:
                huge.send(b"\x04\x00\xff\xff\xff\xff")


def _resident_mb(served: ServedBroker) -> float:
    assert served.process is not None
    pages = int(Path(f"/proc/{served.process.pid}/statm").read_text().split()[1])
    return pages * 4096 / 1e6
