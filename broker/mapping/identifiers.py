"""The numbers that say who and what an order is about, read where the rows say, each with its issuer beside it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import islice

from broker.domain.request import NO_ISSUER, Cause, Identifier, Issuer, Refusal
from broker.hl7v2.segments import MOST_CHARACTERS
from broker.mapping import fit
from broker.mapping.fitting import REPLACEMENT, Fitter, Refused
from broker.mapping.groups import Group
from broker.mapping.paths import DELETED, Path, Piece, Place, find
from broker.mapping.row import PATIENT_ID, Row
from broker.mapping.values import OrderReader

_FORBIDDEN = re.compile(rf"[\\\x00-\x1f\x7f-\x9f{REPLACEMENT}]")
_DIGITS_AND_DOTS = re.compile(r"[0-9]+(?:\.[0-9]+)+", re.ASCII)
"""What every system takes for a UID, leading zeros or not."""
_IssuerOf = Callable[[Piece], Issuer]
MOST_IDENTIFIERS = 200
"""Numbers of one patient in a message; a hospital group's index knows some dozens."""
_CX_ISSUER = 4
"""Component of a CX that names the assigning authority (HL7 2.5.1 2.A.14)."""
_ISSUER_LENGTHS = (227, 227, 20)
"""Longest namespace, universal id and its type: a whole HD has 227 characters at most (HL7 2.5.1 2.A.33)."""


def patient_identifiers(reader: OrderReader, patient: Group) -> tuple[Identifier, ...]:
    """All numbers of the patient in the sender's order; raises Refused: none, too many, or no identifier."""
    row = reader.rows.by_key[PATIENT_ID]
    for path in row.paths:
        sent = tuple(islice(_numbers(row, path, patient, _of_cx), MOST_IDENTIFIERS + 1))
        if len(sent) > MOST_IDENTIFIERS:
            raise Refused(Refusal(Cause.TOO_MANY, PATIENT_ID, detail=f"more than {MOST_IDENTIFIERS} patient numbers"))
        if sent:
            return tuple(checked(reader, row, number, patient.number) for number in sent)
    raise Refused(Refusal(Cause.MISSING, PATIENT_ID))


def identifier(reader: OrderReader, key: str, group: Group) -> Identifier | None:
    """A number of the order, its issuer from the same field (EI.2 to EI.4); None when none was sent."""
    row = reader.rows.by_key.get(key)
    if row is None:
        return None
    sent = [number for path in row.paths for number in _numbers(row, path, group, _of_ei)]
    if not sent:
        if any(piece.deleted for path in row.paths for piece in find(path, group)):
            reader.warn(row, "an identifier cannot be deleted, kept")
        return None
    if any(number.value != sent[0].value for number in sent):
        reader.warn(row, "its sources differ, the first counts")
    return checked(reader, row, sent[0], group.number)


def _numbers(row: Row, path: Path, group: Group, issuer_of: _IssuerOf) -> Iterator[Identifier]:
    for place, whole in path.fields:
        for field in find(whole, group):
            if len(field.segment.field(place.field)) >= MOST_CHARACTERS:
                raise Refused(Refusal(Cause.TOO_LONG, row.key, group.number))  # its end was not looked at
            value = _value(row, place, field)
            if value:
                yield Identifier(value, issuer_of(field) if place.component <= 1 else NO_ISSUER)


def _value(row: Row, place: Place, field: Piece) -> str:
    component = field.piece(place.component or 1)
    chosen = component.piece(place.subcomponent or 1)
    if DELETED in (field.raw, component.raw, chosen.raw):
        return ""
    text = chosen.text().strip()
    if row.transform == "upper":
        text = text.upper()
    return row.values.get(text, row.values.get("*", text)) if row.values else text


def _of_cx(field: Piece) -> Issuer:
    return _issuer(field.piece(_CX_ISSUER).parts())


def _of_ei(field: Piece) -> Issuer:
    return _issuer(field.parts()[1:])


def _issuer(parts: list[str]) -> Issuer:
    namespace, universal_id, kind = ([*parts, "", "", ""])[:3]
    return Issuer(namespace or None, universal_id or None, kind or None) if namespace or universal_id else NO_ISSUER


def checked(reader: Fitter, row: Row, number: Identifier, group: int) -> Identifier:
    """An identifier is taken whole or refused: never shortened, never mended. group: of the order; raises Refused."""
    issuer = (number.issuer.namespace or "", number.issuer.universal_id or "", number.issuer.universal_type or "")
    if _FORBIDDEN.search("".join((number.value, *issuer))):
        raise Refused(Refusal(Cause.UNREADABLE, row.key, group, "characters that no identifier may have"))
    problem = fit.check(row.vr, number.value)
    too_long_issuer = any(len(part) > most for part, most in zip(issuer, _ISSUER_LENGTHS, strict=True))
    if too_long_issuer or len(number.value) > fit.LENGTHS.get(row.vr, 64):
        problem = fit.Problem.TOO_LONG
    if problem is fit.Problem.UNREADABLE and row.vr == "UI" and _DIGITS_AND_DOTS.fullmatch(number.value):
        reader.warn(row, "is no UID by the letter (PS3.5 9.1), kept")
        return number
    if problem is not None:
        cause = Cause.TOO_LONG if problem is fit.Problem.TOO_LONG else Cause.UNREADABLE
        raise Refused(Refusal(cause, row.key, group))
    return number
