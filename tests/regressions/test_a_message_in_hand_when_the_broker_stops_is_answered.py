"""One answer to each message, also to the one that waits for a locked database while the broker is stopped."""

from __future__ import annotations

import threading
from pathlib import Path

from tests.kit.messages import Case
from tests.kit.mllp import Answer, Sender
from tests.kit.processes import ServedBroker, unavailable


def test_a_message_in_hand_when_the_broker_stops_is_answered(tmp_path: Path, case: Case) -> None:
    url = f"sqlite:///{tmp_path / 'data' / 'broker.db'}"
    answers: list[Answer] = []
    served = ServedBroker(tmp_path / "data", url)
    with served as broker, Sender(broker.ports["hl7"], 15.0) as sender, unavailable(url):
        asking = threading.Thread(target=lambda: answers.append(sender.send(case.order())))
        asking.start()
        asking.join(0.5)

        assert broker.stop() < 5.0
        asking.join(10.0)

    assert [answer.error for answer in answers] == ["207"]
