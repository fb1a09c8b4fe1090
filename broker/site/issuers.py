"""Section [authorities]: assigning authorities, their rank and the other names they go by; and issuers as one text."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from broker.domain.request import Issuer
from broker.domain.rules import Authority
from broker.site.section import Section


def _issuer_form(text: str) -> str:
    parts = text.split("&")
    if len(parts) > 3 or (text and not (parts[0] or parts[1:2] not in ([], [""]))):
        raise ValueError('an issuer is "NAMESPACE", or "NAMESPACE&UNIVERSAL ID&TYPE" as HL7 writes it')
    return text


IssuerText = Annotated[str, AfterValidator(_issuer_form)]
"""An issuer as HL7 writes it in a component: namespace & universal id & its type."""


def read_issuer(text: str) -> Issuer:
    """An issuer from its text; the empty text is no issuer."""
    namespace, universal_id, kind = ([*(part.strip() for part in text.split("&")), "", ""])[:3]
    return Issuer(namespace or None, universal_id or None, kind or None)


class AuthoritySection(Section):
    """[authorities.NAME]: NAME is the namespace, unless the table names another."""

    namespace: str | None = Field(default=None, description="HD.1; empty text: known by its universal id alone")
    universal_id: str = Field(default="", description="HD.2")
    universal_type: str = Field(default="", description="HD.3, for example ISO")
    rank: int | None = Field(
        default=None, ge=1, description="1 is highest: whose number becomes the primary patient id"
    )
    also: list[IssuerText] = Field(default_factory=list, description="other names of the same authority")

    def authority(self, name: str) -> Authority:
        """The rule's value; `name` is the table's."""
        namespace = name if self.namespace is None else self.namespace
        issuer = Issuer(namespace or None, self.universal_id or None, self.universal_type or None)
        return Authority(issuer, self.rank, tuple(read_issuer(text) for text in self.also))
