"""A held step is on nobody's list: the timeline says since when and why, and an alarm waits for a person."""

from __future__ import annotations

from pathlib import Path

from tests.kit.brokers import PROFILE, RunningBroker, running
from tests.kit.databases import Databases
from tests.kit.messages import Case

KNOWS_THE_CODE = '[[modality_rules]]\nwhen = { "RequestedProcedureCodeSequence.CodeValue" = "CT*" }\nmodality = "CT"\n'


def holds(broker: RunningBroker, case: Case) -> list[tuple[str, str, str]]:
    events = broker.show(case.accession)["events"]
    return [(e["kind"], e["detail"]["reason"], e["actor"]) for e in events if e["kind"] in ("held", "released")]


def test_a_step_becomes_held_and_is_released_by_the_sender(databases: Databases, tmp_path: Path, case: Case) -> None:
    with databases.fresh("sqlite", tmp_path) as url, running(tmp_path, url) as broker:
        broker.send(case.order(modality=""))
        broker.send(case.order(modality=""))
        (alarm,) = broker.alarms()
        order_id = broker.show(case.accession)["order"]["id"]

        broker.send(case.order(control="XO", modality="CT", order_time="20260301100000"))

        assert (alarm["kind"], alarm["order_id"], alarm["detail"], alarm["count"]) == (
            "step-held", order_id, "no modality", 1,
        )  # fmt: skip
        assert alarm["subject"].startswith("step ")
        assert holds(broker, case) == [
            ("held", "no modality", "hl7:OF|HOSP"),
            ("released", "no modality", "hl7:OF|HOSP"),
        ]


def test_a_step_is_released_by_a_profile_that_knows_better(databases: Databases, tmp_path: Path, case: Case) -> None:
    with databases.fresh("sqlite", tmp_path) as url:
        with running(tmp_path, url) as broker:
            broker.send(case.order(modality=""))
        with running(tmp_path, url, PROFILE + KNOWS_THE_CODE) as broker:
            told = holds(broker, case)

    assert told == [("held", "no modality", "hl7:OF|HOSP"), ("released", "no modality", "broker")]


def test_a_message_that_is_refused_after_all_raises_no_alarm(databases: Databases, tmp_path: Path, case: Case) -> None:
    with databases.fresh("sqlite", tmp_path) as url, running(tmp_path, url) as broker:
        answer = broker.send(case.message(case.group(modality=""), case.group(control="QQ", placer="X")))

        assert (answer.code, broker.alarms()) == ("AE", [])
