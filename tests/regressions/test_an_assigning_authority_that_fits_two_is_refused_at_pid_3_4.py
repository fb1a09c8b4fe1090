"""A patient number whose assigning authority fits two known ones is AE 205, and the answer says where: PID-3.4."""

from __future__ import annotations

from broker.domain.identity import Issuers, patient_keys
from broker.domain.request import Issuer, PatientRequest, Refusal, Sender
from broker.mapping.messages.locate import locate
from tests.unit.domain.orders import HOSP, named
from tests.unit.mapping.reading import ROWS, message, order


def test_the_refusal_of_an_ambiguous_authority_points_at_pid_3_4() -> None:
    two = Issuers(frozenset({Issuer("HOSP", "1.2.3", "ISO"), Issuer("HOSP", "1.2.4", "ISO")}))

    refusal = patient_keys(PatientRequest((named("P1", HOSP),)), Sender("RIS", "HOSP", "ris"), Issuer(), two)

    assert isinstance(refusal, Refusal)
    assert locate(message(*order()), refusal, ROWS) == "PID^1^3^1^4"
