"""An alarm without a detail leaves its reader to guess; one about an early cancel names the message that brought it."""

from __future__ import annotations

from pathlib import Path

from tests.kit.brokers import running
from tests.kit.databases import Databases
from tests.kit.messages import Case


def test_an_order_after_its_cancel_names_the_cancel(databases: Databases, tmp_path: Path, case: Case) -> None:
    with databases.fresh("sqlite", tmp_path) as url, running(tmp_path, url) as broker:
        cancel = broker.send(case.order(control="CA"))
        broker.send(case.order())

        (alarm,) = broker.alarms()

    message = cancel.field("MSH", 10).removeprefix("MWL")
    assert alarm["kind"] == "order-after-cancel"
    assert alarm["detail"] == (
        f"a cancel came before it (message {message}) and is remembered for 24 hours; newer is taken"
    )


def test_an_old_cancel_says_what_it_did_not_change(databases: Databases, tmp_path: Path, case: Case) -> None:
    with databases.fresh("sqlite", tmp_path) as url, running(tmp_path, url) as broker:
        broker.send(case.order())
        broker.send(case.order(control="CA", order_time="20260101000000", header={"message_time": "20260101000000"}))

        (alarm,) = broker.alarms()

    assert (alarm["kind"], alarm["detail"]) == (
        "cancel-superseded", "CA is older than what is known; the step stays SCHEDULED",
    )  # fmt: skip
