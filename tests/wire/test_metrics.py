"""/metrics: what happened at the doors and in the store, in Prometheus' form, and nobody's data."""

from __future__ import annotations

import urllib.request
from collections.abc import Callable

from prometheus_client.parser import text_string_to_metric_families

from tests.kit.brokers import RunningBroker
from tests.kit.messages import Case

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def scrape(broker: RunningBroker) -> tuple[str, Samples]:
    with urllib.request.urlopen(f"http://127.0.0.1:{broker.http_port}/metrics", timeout=10) as answer:
        assert answer.headers["Content-Type"].startswith("text/plain")
        text = answer.read().decode()
    families = text_string_to_metric_families(text)
    return text, {(s.name, frozenset(s.labels.items())): s.value for family in families for s in family.samples}


def value(samples: Samples, name: str, **labels: str) -> float:
    return samples.get((f"mwl_broker_{name}", frozenset(labels.items())), 0.0)


def test_what_happens_at_the_doors_is_counted_and_no_patient_is_told(
    broker_with: Callable[..., RunningBroker], case: Case
) -> None:
    broker = broker_with()
    broker.send(case.order(header={"name": "Secret^Sarah", "birth_date": "19510607"}))
    broker.send(case.message(case.group(control="CA", placer="NOBODY", filler="")))
    broker.item(case)
    with broker.scanner("LATE").association():
        _, meanwhile = scrape(broker)

    text, samples = scrape(broker)

    assert value(samples, "hl7_messages_total", outcome="created") == 1
    assert value(samples, "hl7_messages_total", outcome="rejected") == 1
    assert value(samples, "hl7_connections_total", door="hl7", how="accepted") == 2
    assert value(samples, "dicom_requests_total", command="C-FIND", status="0000") == 1
    assert value(meanwhile, "dicom_associations_open", door="dicom") == 1
    peer = {"door": "dicom", "calling_ae_title": "LATE", "host": "127.0.0.1"}
    assert value(meanwhile, "dicom_peer_associations_open", **peer) == 1
    assert value(samples, "dicom_peer_last_seen_timestamp_seconds", **peer) > 1_700_000_000
    assert value(samples, "writer_batch_requests_count") == 2
    assert value(samples, "steps", state="SCHEDULED", held="false") == 1
    assert value(samples, "database_up") == 1
    for secret in ("Secret", "SECRET", "19510607", case.patient_id, case.accession):
        assert secret not in text


def test_open_alarms_and_held_steps_are_counted(broker_with: Callable[..., RunningBroker], case: Case) -> None:
    broker = broker_with()
    broker.send(case.order(modality=""))
    broker.send(case.order(header={"patient": "OTHER^^^HOSP", "control_id": "X1"}))

    _, samples = scrape(broker)

    assert value(samples, "steps", state="SCHEDULED", held="true") == 1
    assert value(samples, "alarms_open", kind="other-patient") == 1
