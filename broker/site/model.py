"""The profile as a whole: its sections, as pydantic checks them and as the JSON schema for editors shows them."""

from __future__ import annotations

import json
from typing import Annotated, Any

from pydantic import Field

from broker.site.hl7 import Hl7Section
from broker.site.issuers import AuthoritySection, IssuerText
from broker.site.missing import MissingSection
from broker.site.numbers import NumbersSection
from broker.site.order_control import OrderControlSection
from broker.site.peers import PeerSection, WorklistSection
from broker.site.rows import RowSection
from broker.site.section import AeTitle, Section
from broker.site.senders import SenderSection
from broker.site.stations import ModalityRuleSection, StationRuleSection, StationSection
from broker.site.zones import ZoneName

SenderName = Annotated[str, Field(pattern=r"^[^|]*\|[^|]*$")]
"""application|facility"""


class Profile(Section):
    """Site profile of mwl-broker: names only what differs from the shipped one."""

    time_zone: ZoneName = Field(
        default="", description='of the department, like "Europe/Berlin"; empty: the machine\'s'
    )
    default_issuer: IssuerText = Field(
        default="", description="who gave patient ids when neither message nor sender says so"
    )
    missing: MissingSection = MissingSection()
    numbers: NumbersSection = NumbersSection()
    hl7: Hl7Section = Hl7Section()
    worklist: WorklistSection = WorklistSection()
    peers: dict[AeTitle, PeerSection] = Field(default_factory=dict)
    authorities: dict[str, AuthoritySection] = Field(default_factory=dict)
    senders: dict[SenderName, SenderSection] = Field(default_factory=dict)
    stations: dict[AeTitle, StationSection] = Field(default_factory=dict)
    station_rules: list[StationRuleSection] = Field(default_factory=list)
    modality_rules: list[ModalityRuleSection] = Field(default_factory=list)
    order_control: dict[str, OrderControlSection] = Field(default_factory=dict)
    rows: dict[str, RowSection] = Field(default_factory=dict)


def render_json_schema() -> str:
    """The shape of site.toml as JSON schema, for editors."""
    schema: dict[str, Any] = Profile.model_json_schema(by_alias=True)
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
