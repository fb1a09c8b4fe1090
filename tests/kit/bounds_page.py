"""docs/bounds.md: how much of each kind of input is read, with the numbers that the code has."""

from __future__ import annotations

from collections.abc import Iterator

from broker.archive.header import MOST_HEADER_BYTES
from broker.dataset.forward import Bounds
from broker.dataset.reading import MOST_ELEMENTS, MOST_LEVELS
from broker.dicom.limits import DicomLimits
from broker.dicom.negotiation import MOST_CONTEXTS, MOST_ITEMS
from broker.dicom.performed import MOST_BYTES as MOST_PERFORMED_BYTES
from broker.dicom.status import FIND_STATUS, NORMALIZED_STATUS, STORE_STATUS, Status, Table
from broker.domain.matching import MOST_NAME_CHARACTERS
from broker.domain.request import Cause
from broker.errors import BeyondBounds
from broker.hl7.answers import ANSWERS
from broker.hl7.frames import MAX_GARBAGE_BYTES
from broker.hl7v2.segments import MOST_CHARACTERS, MOST_FIELDS, MOST_NAMES, MOST_SEGMENTS
from broker.mapping.groups import MOST_GROUPS
from broker.mapping.query import MOST_ALTERNATIVES, MOST_KEY_BYTES, MOST_KEYS, MOST_PATTERN
from broker.mapping.worklist_file import MOST_BYTES as MOST_FILE_BYTES
from broker.mapping.worklist_file import MOST_STEPS
from broker.settings import Settings
from broker.web.app import HEADER_BYTES, REQUEST_BYTES, REQUEST_SECONDS

HEAD = """# Bounds of what peers send

How much of each kind of input is read, so that no peer can stop the broker or fill its memory. Ordinary
messages, queries and images stay far below. A bound that names a setting can be changed.

"""

Row = tuple[str, str, str, str]


def rows() -> Iterator[Row]:
    """Input, what of it, bound, and what happens past it."""
    many, long = _hl7(Cause.TOO_MANY), _hl7(Cause.TOO_LONG)
    nested, defaults = Bounds(MOST_HEADER_BYTES), DicomLimits()
    find, store, normalized = (_status(table) for table in (FIND_STATUS, STORE_STATUS, NORMALIZED_STATUS))
    yield "HL7 message", "bytes (`--hl7-message-bytes`)", _many(Settings().hl7_message_bytes), long
    yield "", "segments", _many(MOST_SEGMENTS), many
    yield "", "different names of segments", _many(MOST_NAMES - 1), many
    yield "", "orders", _many(MOST_GROUPS), many
    yield "", "fields of a segment", _many(MOST_FIELDS), "further ones are not read"
    yield "", "characters of a field", _many(MOST_CHARACTERS), "the rest is not read"
    yield "", "bytes outside a block", _many(MAX_GARBAGE_BYTES), "connection closed"
    yield "Association request", "contexts", _many(MOST_CONTEXTS), "A-ABORT"
    yield "", "items and sub-items", _many(MOST_ITEMS), "A-ABORT"
    yield "Worklist query", "keys and items", _many(MOST_KEYS), find
    yield "", "bytes of a key, except a list of UIDs", _many(MOST_KEY_BYTES), find
    yield "", "values of a key, except a list of UIDs", _many(MOST_ALTERNATIVES), find
    yield "", "characters of a name, or of a key with wild cards", _many(MOST_PATTERN), find
    yield "Name", "characters that are compared", _many(MOST_NAME_CHARACTERS), "the rest is not compared"
    yield "Performed step", "bytes", _many(MOST_PERFORMED_BYTES), f"{Status.RESOURCE_LIMITATION:04X}H"
    yield "", "elements and items", _many(MOST_ELEMENTS), normalized
    yield "", "sequences inside sequences", _many(MOST_LEVELS), normalized
    yield "Image", "bytes", _many(defaults.object_bytes), store
    yield "", "bytes of its header, unfolded", _many(MOST_HEADER_BYTES), store
    yield "", "elements and items of its header", _many(nested.elements), store
    yield "", "sequences inside sequences", _many(nested.levels), store
    yield "Worklist file", "bytes, also unfolded", _many(MOST_FILE_BYTES), "refused with the reason"
    yield "", "scheduled steps", _many(MOST_STEPS), "refused with the reason"
    yield "HTTP request", "bytes of an unfinished header", _many(HEADER_BYTES), "400"
    yield "", "seconds to the end of its header", f"{REQUEST_SECONDS:.0f}", "connection closed"
    yield "", "bytes", _many(REQUEST_BYTES), "connection closed"
    yield "All unread input", "bytes (`--input-bytes`)", _many(Settings().input_bytes), "waits"


def _hl7(cause: Cause) -> str:
    return f"`{ANSWERS[cause].code}` {ANSWERS[cause].error}"


def _status(table: Table) -> str:
    return f"{table[BeyondBounds]:04X}H"


def _many(number: int) -> str:
    return f"{number:,}"
