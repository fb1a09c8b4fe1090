"""A worklist item from a file, to the request that places it as an order: the profile's rows, read in their places.

A value stands where its row puts it, so what is imported comes out again as it was. Zero length says that a value is
unknown (PS3.5 7.4.3) and is no statement; identifiers and their issuers are the typed fields of the request.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from struct import Struct
from typing import Any, Protocol

from pydicom.datadict import keyword_for_tag
from pydicom.tag import Tag

from broker.dataset import charsets
from broker.dataset.charsets import LONG_TEXT, TEXT
from broker.dataset.reading import Item, charset_of
from broker.domain.order import StepState
from broker.domain.request import (
    NO_ISSUER,
    Cause,
    Identifier,
    Issuer,
    KeepMessage,
    OrderRequest,
    Outcome,
    PatientRequest,
    PlaceOrder,
    ReceivedMessage,
    Refusal,
    Sender,
    Value,
)
from broker.hl7v2.charset import codec_of
from broker.mapping.fitting import MOST_VALUES, Fitter, Refused
from broker.mapping.identifiers import checked
from broker.mapping.layout import BINARY
from broker.mapping.row import (
    ACCESSION,
    FILLER,
    IDENTITY,
    PATIENT_ID,
    PATIENT_NAME,
    PLACER,
    PROCEDURE_ID,
    START_DATE,
    START_TIME,
    STATUS,
    STEP,
    STEP_ID,
    STUDY_UID,
    Row,
)
from broker.mapping.rows import RowSet
from broker.mapping.worklist_file import WorklistFile, read_file

MESSAGE_TYPE = ("WORKLIST", "FILE")
"""How the journal names an imported file where messages have MSH-9."""
CONTROL = "NW"
"""The order control whose row of the table an item takes: a new order, or the same one again."""

_ISSUERS = {
    PLACER: "OrderPlacerIdentifierSequence",
    FILLER: "OrderFillerIdentifierSequence",
    ACCESSION: "IssuerOfAccessionNumberSequence",
}
"""Where the issuers of numbers stand (PS3.3 C.4.11, C.4.12): items of HL7v2 Hierarchic Designator."""
_PATIENT_ISSUER = "IssuerOfPatientID"
_QUALIFIERS = "IssuerOfPatientIDQualifiersSequence"
_OTHER_IDS = "OtherPatientIDsSequence"
_TYPED = IDENTITY | {STATUS, _PATIENT_ISSUER, _OTHER_IDS, STEP}
_STEP_TAG = int(Tag(STEP))
_NO_KEYS = frozenset({0x00080005, 0x00080016, 0x00080018, 0x00080201})
"""Character set, SOP class and instance, time zone: of the dataset, not of the item."""
_PADDING = " \0"

MOST_STRANGERS = 1_000
"""Attributes without a row that are told of one file."""

MOST_VALUE_BYTES = 65_536
"""Of one text that count; no representation with a length of its own has as many (PS3.5 6.2)."""


class ItemReading(Protocol):
    """What reading an item needs to know of the site."""

    @property
    def rows(self) -> RowSet: ...

    def charset_for(self, sender: Sender) -> str:
        """Table 0211 name of what undeclared bytes mean that are no UTF-8."""


@dataclass(frozen=True, slots=True)
class WorklistItem:
    """A file, read. without_row: attributes with a value that no row takes, by keyword or tag."""

    request: PlaceOrder | KeepMessage
    without_row: frozenset[str]


def read_item(raw: bytes, received: ReceivedMessage, site: ItemReading) -> WorklistItem:
    """Read one worklist file.

    returns  a PlaceOrder; or a KeepMessage with the refusal, when a value refuses the file: no patient id or name, an
             identifier or a start that cannot be taken. Every other fault is a warning.
    raises   NoWorklistItem, UnreadableItem
    """
    file = read_file(raw)
    reader = _Reader(site.rows, file, codec_of(site.charset_for(received.sender)) or "latin_1")
    try:
        patient = reader.patient()
        orders = tuple(reader.order(number, step) for number, step in enumerate(file.steps, 1))
    except Refused as refused:
        refusal = refused.refusal
        text = f"{refusal.text} ({refusal.subject})" if refusal.subject else refusal.text
        return WorklistItem(KeepMessage(received, Outcome.REJECTED, text, refusal), frozenset())
    warnings = (*file.notes, *reader.warnings)
    return WorklistItem(PlaceOrder(received, patient, orders, warnings, imported=True), reader.without_row())


class _Reader(Fitter):
    """Reads rows in one file's dataset; `step` is the item of the step that is being read."""

    def __init__(self, rows: RowSet, file: WorklistFile, assumed_codec: str) -> None:
        super().__init__()
        self._rows = rows
        self._root = file.dataset
        self._steps = file.steps
        self._names = charset_of(file.dataset)
        self._order = ">" if file.big_endian else "<"
        self._assumed_codec = assumed_codec

    def patient(self) -> PatientRequest:
        changes = self._changes("patient", self._root, 0)
        if PATIENT_NAME not in changes:
            raise Refused(Refusal(Cause.MISSING, PATIENT_NAME))
        return PatientRequest(tuple(self._patient_identifiers()), changes)

    def order(self, number: int, step: Item) -> OrderRequest:
        changes = self._changes("step", step, number)
        if START_DATE not in changes:
            changes.pop(START_TIME, None)
        elif START_TIME not in changes:
            changes[START_TIME] = "000000"
        return OrderRequest(
            group=number,
            control=CONTROL,
            status="",
            order_time=None,
            placer=self._identifier(PLACER, step, number),
            filler=self._identifier(FILLER, step, number),
            accession=self._identifier(ACCESSION, step, number),
            requested_procedure_id=self._word(PROCEDURE_ID, step, number),
            study_uid=self._word(STUDY_UID, step, number),
            step_id=self._word(STEP_ID, step, number),
            ordinal=1,
            visit=self._changes("visit", step, number),
            step=changes,
            stated=self._state(step, number),
        )

    def without_row(self) -> frozenset[str]:
        """Attributes with a value that no row takes; of very many, some."""
        found = set(islice(self._strangers(self._root, ()), MOST_STRANGERS))
        for step in self._steps:
            found.update(islice(self._strangers(step, (_STEP_TAG,)), MOST_STRANGERS))
        return frozenset(found)

    def _strangers(self, dataset: Item, above: tuple[int, ...]) -> Iterator[str]:
        for tag in dataset:
            levels = (*above, tag)
            if tag in _NO_KEYS or tag & 0xFFFF == 0 or levels == (_STEP_TAG,) or not _has_value(dataset, tag):
                continue
            row = self._rows.at(levels)
            if row is None or (row.vr == "SQ" and not row.members and not self._has_rows_below(levels)):
                yield keyword_for_tag(tag) or f"{tag:08X}"

    def _has_rows_below(self, levels: tuple[int, ...]) -> bool:
        return any(known[: len(levels)] == levels and known != levels for known in self._rows.by_levels)

    def _changes(self, owner: str, step: Item, number: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for row in self._rows.rows:
            if row.owner != owner or row.key in _TYPED or row.key.startswith(_QUALIFIERS):
                continue
            holder = self._holder(row, step)
            if holder is not None and (value := self._value(row, holder, number)):
                found[row.key] = value
        return found

    def _holder(self, row: Row, step: Item) -> Item | None:
        """The dataset in which a row's attribute stands; None when the file has no such place."""
        levels = row.levels
        holder: Item | None = self._root
        if levels[0] == _STEP_TAG:
            holder, levels = step, levels[1:]
        for tag in levels[:-1]:
            items = _items(holder, tag) if holder is not None else ()
            holder = items[0] if items else None
        return holder if holder is not None and levels[-1] in holder else None

    def _value(self, row: Row, holder: Item, number: int) -> Value | None:
        if row.vr == "SQ":
            found = [item for item in self._items_of(row, holder) if self.item_fits(row, item)]
            return found or None
        texts = [text for raw in self._texts(row, holder) if (text := self._fitted(row, raw, number))]
        if not texts:
            return None
        if row.multi:
            return texts[:MOST_VALUES]
        if len(texts) > 1:
            self.warn(row, "holds one value only, the first counts")
        return texts[0]

    def _fitted(self, row: Row, raw: str, number: int) -> str:
        if row.vr == "DA":
            raw = raw.replace(".", "")  # ACR-NEMA, PS3.5 6.2
        elif row.vr == "TM":
            raw = raw.replace(":", "")
        text = self.fitting(row, raw, number)
        if raw.strip() and not text and row.key in (START_DATE, START_TIME):
            raise Refused(Refusal(Cause.UNREADABLE, row.key, number, "no day and time"))
        return text

    def _items_of(self, row: Row, holder: Item) -> Iterator[dict[str, Any]]:
        for item in _items(holder, row.tag)[:MOST_VALUES]:
            found = {
                member.keyword: texts[0]
                for member in row.members
                if member.vr != "SQ" and member.tag in item and (texts := self._texts(member, item)) and texts[0]
            }
            if found:
                yield found

    def _texts(self, row: Row, holder: Item) -> list[str]:
        """Values of an element as text, without padding."""
        if row.vr in BINARY:
            return self._numbers(row, holder)
        raw = holder.get(row.tag)
        if not isinstance(raw, bytes):
            return []
        if len(raw) > MOST_VALUE_BYTES:
            self.warn(row, f"longer than {MOST_VALUE_BYTES} bytes, the beginning was taken")
        text = self._decoded(row, raw[:MOST_VALUE_BYTES])
        parts = [text] if row.vr in LONG_TEXT else text.split("\\", MOST_VALUES + 1)[: MOST_VALUES + 1]
        return [part.strip(_PADDING) if row.vr not in LONG_TEXT else part.rstrip(_PADDING) for part in parts]

    def _numbers(self, row: Row, holder: Item) -> list[str]:
        raw, number = holder.get(row.tag), Struct(self._order + BINARY[row.vr].lstrip("<"))
        if not isinstance(raw, bytes) or len(raw) % number.size:
            return []
        return [str(value) for (value,) in number.iter_unpack(raw[: number.size * (MOST_VALUES + 1)])]

    def _decoded(self, row: Row, raw: bytes) -> str:
        """Bytes that the declared sets do not explain are UTF-8 where they are that, else as the site assumes."""
        if row.vr not in TEXT:
            return raw.decode("ascii", "replace")
        try:
            return charsets.decode(row.vr, raw, self._names)
        except (UnicodeError, LookupError):
            pass
        try:
            return raw.decode("utf-8")
        except UnicodeError:
            if self._names:
                return raw.decode("ascii", "replace")
        self.warn(row, "not ASCII and without a declared character set; it was assumed")
        return raw.decode(self._assumed_codec, "replace")

    def _word(self, key: str, step: Item, number: int) -> str | None:
        found = self._identifier(key, step, number)
        return found.value if found else None

    def _identifier(self, key: str, step: Item, number: int) -> Identifier | None:
        row = self._rows.by_key.get(key)
        holder = self._holder(row, step) if row else None
        if row is None or holder is None:
            return None
        texts = [text for text in self._texts(row, holder) if text]
        if not texts:
            return None
        if len(texts) > 1:
            raise Refused(Refusal(Cause.UNREADABLE, key, number, "more than one value"))
        return checked(self, row, Identifier(texts[0], self._issuer(_ISSUERS.get(key, ""), self._root)), number)

    def _patient_identifiers(self) -> Iterator[Identifier]:
        """The patient's own number, then the others that the file names as values."""
        row = self._rows.by_key[PATIENT_ID]
        texts = [text for text in self._texts(row, self._root) if text] if row.tag in self._root else []
        if len(texts) != 1:
            cause = Cause.UNREADABLE if texts else Cause.MISSING
            raise Refused(Refusal(cause, PATIENT_ID, detail="more than one value" if texts else ""))
        yield checked(self, row, Identifier(texts[0], self._patient_issuer(self._root)), 0)
        for item in _items(self._root, int(Tag(_OTHER_IDS)))[:MOST_VALUES]:
            numbers = self._texts(row, item) if row.tag in item else []
            if numbers and numbers[0] and numbers[0] != texts[0]:
                yield checked(self, row, Identifier(numbers[0], self._patient_issuer(item)), 0)

    def _patient_issuer(self, dataset: Item) -> Issuer:
        universal = self._issuer(_QUALIFIERS, dataset)
        namespace = self._plain(_PATIENT_ISSUER, "LO", dataset)
        if not namespace and not universal:
            return NO_ISSUER
        return Issuer(namespace or universal.namespace, universal.universal_id, universal.universal_type)

    def _issuer(self, sequence: str, dataset: Item) -> Issuer:
        items = _items(dataset, int(Tag(sequence))) if sequence else ()
        if not items:
            return NO_ISSUER
        members = (("LocalNamespaceEntityID", "UT"), ("UniversalEntityID", "UT"), ("UniversalEntityIDType", "CS"))
        namespace, universal_id, kind = (self._plain(keyword, vr, items[0]) for keyword, vr in members)
        return Issuer(namespace or None, universal_id or None, kind or None) if namespace or universal_id else NO_ISSUER

    def _plain(self, keyword: str, vr: str, dataset: Item) -> str:
        tag = int(Tag(keyword))
        texts = self._texts(Row(keyword, (tag,), vr, "1"), dataset) if tag in dataset else []
        return texts[0] if texts else ""

    def _state(self, step: Item, number: int) -> str:
        """PS3.3 C.4.10; a word that is none of them is left out."""
        row = self._rows.by_key.get(STATUS)
        holder = self._holder(row, step) if row else None
        texts = self._texts(row, holder) if row and holder is not None else []
        if not texts or not texts[0]:
            return ""
        if texts[0] in _STATES:
            return texts[0]
        if row is not None:
            self.warn(row, "no state of a scheduled procedure step, left out")
        return ""


_STATES = frozenset(state.value for state in StepState)


def _items(dataset: Item, tag: int) -> tuple[Item, ...]:
    """Items of a sequence; none when it is absent, or what stands there is no sequence."""
    found = dataset.get(tag, ())
    return found if isinstance(found, tuple) else ()


def _has_value(dataset: Item, tag: int) -> bool:
    value = dataset[tag]
    if isinstance(value, bytes):
        return bool(value.strip(b" \0"))
    return any(_has_value(item, inner) for item in value for inner in item)
