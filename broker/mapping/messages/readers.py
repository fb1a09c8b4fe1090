"""Which reader understands which message: one more message type is one file here and one row in this table.

A file has one function, `read(message, received, site) -> PlaceOrder | KeepMessage`; orm_o01 shows the long form. What
it returns says what is done: a PlaceOrder is placed, a KeepMessage only journalled (and refused where it holds a
Refusal; a type that is merely acknowledged returns `KeepMessage(received, Outcome.IGNORED)`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from broker.domain.request import KeepMessage, PlaceOrder, ReceivedMessage
from broker.hl7v2.reader import Message
from broker.mapping.messages import orm_o01

Reader = Callable[[Message, ReceivedMessage, Any], PlaceOrder | KeepMessage]

READERS: Mapping[tuple[str, str], Reader] = {
    ("ORM", "O01"): orm_o01.read,
}
"""MSH-9.1 and MSH-9.2 -> reader."""
