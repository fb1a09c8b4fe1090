"""`orders list` shows when an order last changed: its last event that changed something, and nothing else."""

from __future__ import annotations

from pathlib import Path

from tests.kit.brokers import PROFILE, RunningBroker, running
from tests.kit.databases import Databases
from tests.kit.messages import Case

OTHER_ROWS = '[rows.PatientWeight]\nremove = true\n'


def changed_at(broker: RunningBroker, case: Case) -> str:
    return str(broker.show(case.accession)["order"]["updated_at"])


def last_event(broker: RunningBroker, case: Case) -> str:
    return str(broker.show(case.accession)["events"][-1]["at"])


def test_a_cancel_and_a_new_start_move_it_and_a_message_without_news_does_not(
    databases: Databases, tmp_path: Path, case: Case
) -> None:
    with databases.fresh("sqlite", tmp_path) as url, running(tmp_path, url) as broker:
        broker.send(case.order())
        created = changed_at(broker, case)

        broker.send(case.order(control="XO", start="20260303083000", order_time="20260301100000"))
        moved = changed_at(broker, case)
        assert created < moved == last_event(broker, case)

        broker.send(case.order(control="XO", start="20260303083000", order_time="20260301100000"))
        assert changed_at(broker, case) == moved < last_event(broker, case)

        broker.send(case.order(control="CA", order_time="20260301110000"))
        assert moved < changed_at(broker, case) == last_event(broker, case)


def test_encoding_anew_does_not_move_it(databases: Databases, tmp_path: Path, case: Case) -> None:
    with databases.fresh("sqlite", tmp_path) as url:
        with running(tmp_path, url) as broker:
            broker.send(case.order())
            before = changed_at(broker, case)
        with running(tmp_path, url, PROFILE + OTHER_ROWS) as broker:
            after = changed_at(broker, case)

    assert after == before
