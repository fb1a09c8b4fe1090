"""Orders planted straight into a database, for tests that begin where a modality does."""

from __future__ import annotations

from datetime import UTC, datetime

from broker.domain.draft import Draft
from broker.domain.order import (
    Forest,
    Order,
    Patient,
    PatientIdentifier,
    RequestedProcedure,
    ScheduledStep,
    StepState,
)
from broker.domain.request import Identifier, Issuer
from broker.site.profile import Site
from broker.store.database import Database
from broker.workflow.save_orders import save_drafts

AT = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
ISSUER = Issuer("HOSP", "1.2.3", "ISO")


def plant(database: Database, site: Site, number: int, *modalities: str) -> int:
    """An order with one procedure and one step for each modality; returns the order's id.

    Patient P<n>, accession A<n>, requested procedure RP<n>, Study UID 1.2.<n>, steps S<n>-1, S<n>-2 ...
    """
    database.ids.top_up()
    with database.write() as tx:
        draft = Draft(Forest())
        patient = Patient(number, (PatientIdentifier(f"P{number}", ISSUER),), values={"PatientName": f"DOE^{number}"})
        draft.put(patient)
        draft.put(Order(number, number, "RIS|HOSP", Identifier(f"PL{number}"), None))
        draft.put(
            RequestedProcedure(number, number, 1, f"RP{number}", Identifier(f"A{number}"), f"1.2.{number}")
        )
        for ordinal, modality in enumerate(modalities or ("CT",), start=1):
            draft.put(_step(number, ordinal, modality))
        save_drafts(tx, site.rows, database.ids, [draft], AT)
    return number


def _step(number: int, ordinal: int, modality: str) -> ScheduledStep:
    return ScheduledStep(
        id=number * 10 + ordinal,
        order_id=number,
        procedure_id=number,
        ordinal=ordinal,
        step_id=f"S{number}-{ordinal}",
        state=StepState.SCHEDULED,
        held=None,
        modality=modality,
        stations=(),
        start_at="20260302090000",
        received_at=AT,
    )
