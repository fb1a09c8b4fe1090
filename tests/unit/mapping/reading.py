"""Messages for the tests of reading; every person in them is invented."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from broker.domain.request import KeepMessage, OrderRequest, PlaceOrder, ReceivedMessage, Refusal, Sender
from broker.hl7v2.reader import Message
from broker.hl7v2.reader import read as read_segments
from broker.mapping.groups import Group, split
from broker.mapping.messages import orm_o01
from broker.mapping.rows import RowSet
from broker.site.profile import load
from broker.site.profile import read as read_profile
from broker.site.toml import parse_toml

ROWS = load(None).rows
STEP = "ScheduledProcedureStepSequence."
MSH = r"MSH|^~\&|RIS|HOSP|MWLBROKER|RAD|20260301090000||{kind}|C1|P|{version}||||||UNICODE UTF-8"


@dataclass(frozen=True)
class Reading:
    """What the reader asks of a site."""

    rows: RowSet = ROWS
    zone: ZoneInfo = field(default_factory=lambda: ZoneInfo("Europe/Berlin"))

    def rows_for(self, sender: Sender) -> RowSet:
        return self.rows


def message(*segments: str, kind: str = "ORM^O01", version: str = "2.3.1") -> Message:
    return read_segments("\r".join((MSH.format(kind=kind, version=version), *segments)).encode())


def order(
    *, pid: str = "PID|||4711^^^HOSP||Brook^Clara", pv1: str = "", orc: Mapping[int, str] | None = None,
    obr: Mapping[int, str] | None = None, after: tuple[str, ...] = (), notes: tuple[str, ...] = (),
) -> tuple[str, ...]:  # fmt: skip
    """Segments of a message with one order. orc, obr: fields by number."""
    parts = (pid, *notes, pv1, segment("ORC", {1: "NW", 2: "PO1", **(orc or {})}),
             segment("OBR", {4: "CT1^CT of the chest^L", 24: "CT", **(obr or {})}), *after)  # fmt: skip
    return tuple(part for part in parts if part)


def segment(name: str, fields: Mapping[int, str]) -> str:
    return "|".join([name, *(fields.get(number, "") for number in range(1, max(fields) + 1))])


def read(
    *segments: str, rows: RowSet = ROWS, kind: str = "ORM^O01", version: str = "2.3.1"
) -> PlaceOrder | KeepMessage:
    found = message(*segments, kind=kind, version=version)
    received = ReceivedMessage(
        found.raw, "peer", datetime(2026, 3, 1, tzinfo=UTC), Sender("RIS", "HOSP", "RIS|HOSP"), version=version
    )
    return orm_o01.read(found, received, Reading(rows))


def placed(*segments: str, **options: Any) -> PlaceOrder:
    found = read(*segments, **options)
    assert isinstance(found, PlaceOrder), found
    return found


def only_order(*segments: str, **options: Any) -> OrderRequest:
    (found,) = placed(*segments, **options).orders
    return found


def refused(*segments: str, **options: Any) -> Refusal:
    found = read(*segments, **options)
    assert isinstance(found, KeepMessage)
    assert found.refusal is not None
    return found.refusal


def site_rows(text: str) -> RowSet:
    """The shipped rows with a site's laid over them."""
    return read_profile(text, parse_toml(text, "site.toml"), None).rows


def first_group(*segments: str, kind: str = "ORM^O01") -> Group:
    return split(message(*segments, kind=kind))[1][0]
