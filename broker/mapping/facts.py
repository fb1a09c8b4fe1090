"""Values of the house that a row may name as its source: `@patient_id`, `@patient_issuer.1`, `@study_start` ..."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from broker.domain.order import Facts
from broker.domain.request import Identifier, Issuer, Value
from broker.mapping import fit
from broker.mapping.paths import Fact
from broker.mapping.row import Row

KEPT_TEXTS = 1_024
"""Texts kept as they were fitted: issuers and states come again and again."""

_PART_OF_INSTANT = {"DA": slice(8), "TM": slice(8, 14)}


def fact_value(row: Row, facts: Facts) -> Value | None:
    """The value that the first of a row's facts gives, in the form of the row's VR; None when it is not known."""
    for fact in row.facts:
        found = _items(fact, facts) if row.vr == "SQ" else _text(row, fact, facts)
        if found:
            return found
    return None


def _items(fact: Fact, facts: Facts) -> list[Any]:
    if fact.name == "other_patient_ids":
        return [_number_item(number) for number in facts.other_patient_ids]
    if fact.name == "patient_issuer":
        return [item] if (item := issuer_item(facts.patient_issuer)) else []
    return []


def _text(row: Row, fact: Fact, facts: Facts) -> Value | None:
    found = _plain(row, fact, facts)
    text = _fitted(row.vr, row.too_long, found) if found else None
    return [text] if text and row.multi else text


@lru_cache(maxsize=KEPT_TEXTS)
def _fitted(vr: str, too_long: str, found: str) -> str | None:
    text = fit.clean(vr, found)
    problem = fit.check(vr, text)
    if problem is fit.Problem.TOO_LONG and too_long == "cut":
        text = fit.cut(vr, text)
        problem = fit.check(vr, text)
    return text if text and not problem else None


def _plain(row: Row, fact: Fact, facts: Facts) -> str | None:
    if fact.name == "patient_issuer":
        return _issuer_part(facts.patient_issuer, fact.part)
    if fact.name == "study_start" and facts.study_start:
        return facts.study_start[_PART_OF_INSTANT.get(row.vr, slice(None))]
    found: str | None = None if fact.name == "other_patient_ids" else getattr(facts, fact.name)
    return found


def _issuer_part(issuer: Issuer, part: int) -> str | None:
    if part == 3 and not issuer.universal_id:
        return None
    return (issuer.namespace, issuer.namespace, issuer.universal_id, issuer.universal_type)[part]


def issuer_item(issuer: Issuer) -> dict[str, str]:
    """An item of an HL7v2 Hierarchic Designator (PS3.3 10.17); the type stands only beside a universal id."""
    item = {"LocalNamespaceEntityID": issuer.namespace or ""}
    if issuer.universal_id:
        item["UniversalEntityID"] = issuer.universal_id
        kind = fit.clean("CS", issuer.universal_type or "").upper()
        item["UniversalEntityIDType"] = "" if fit.check("CS", kind) else kind
    return {keyword: text for keyword, text in item.items() if text}


def _number_item(number: Identifier) -> dict[str, Any]:
    """An item of Other Patient IDs Sequence (PS3.3 C.2.2)."""
    item: dict[str, Any] = {"PatientID": fit.cut("LO", fit.clean("LO", number.value)), "TypeOfPatientID": "TEXT"}
    if number.issuer.namespace:
        item["IssuerOfPatientID"] = fit.cut("LO", fit.clean("LO", number.issuer.namespace))
    universal = issuer_item(Issuer(None, number.issuer.universal_id, number.issuer.universal_type))
    if universal:
        item["IssuerOfPatientIDQualifiersSequence"] = [universal]
    return item
