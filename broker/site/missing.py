"""Section [missing]: what to do about each value that an order leaves out."""

from __future__ import annotations

from typing import Literal

from broker.domain.rules import MissingPolicies, Policy
from broker.site.section import Section

Number = Literal["generate", "reject", "hold"]


class MissingSection(Section):
    """[missing]: a policy for each value. hold: kept and shown as held, on no list. reject: the message is refused."""

    study_uid: Number = "generate"
    accession: Number = "generate"
    requested_procedure_id: Number = "generate"
    step_id: Number = "generate"
    start: Literal["now", "reject", "hold"] = "now"
    station: Literal["open", "hold", "reject"] = "open"
    modality: Literal["hold", "reject"] = "hold"

    def policies(self) -> MissingPolicies:
        """The rules' value."""
        return MissingPolicies(**{name: Policy(word) for name, word in self})
