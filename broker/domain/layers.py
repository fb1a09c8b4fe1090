"""Records of a request over those that were loaded, found by id, by name, and by their parent.

A message may have hundreds of orders and a batch hundreds of messages, so no list is scanned from end to end for each
of them.
"""

from __future__ import annotations

from collections import ChainMap, defaultdict
from collections.abc import Collection, Iterable, ValuesView
from typing import Generic, TypeVar

from broker.domain.order import Alias, AliasKind, Order, Patient, RequestedProcedure, ScheduledStep

Record = TypeVar("Record", bound=Patient | Order | RequestedProcedure | ScheduledStep)
Key = tuple[str, object]
Index = defaultdict[Key, list[int]]

FEW = 16
"""Up to this many records, a scan is quicker than an index: an ordinary order has one of each."""


def keys_of(record: Patient | Order | RequestedProcedure | ScheduledStep) -> list[Key]:
    """What a record is looked for by."""
    if isinstance(record, ScheduledStep):
        return [("procedure", record.procedure_id), ("order", record.order_id)]
    if isinstance(record, RequestedProcedure):
        return [("order", record.order_id), ("accession", record.accession.value), ("study_uid", record.study_uid)]
    if isinstance(record, Order):
        numbers = (record.placer, record.filler)
        return [("patient", record.patient_id), *(("number", number.value) for number in numbers if number)]
    return []


class Layers(ChainMap[int, Record], Generic[Record]):
    """Own records over loaded ones. A chain of any length looks each value up again, and a batch has many.

    loaded   records by id
    indexes  of the loaded records, by name of the layer: shared by all drafts of a batch, made when first needed
    """

    def __init__(self, loaded: dict[int, Record], indexes: dict[str, Index], name: str) -> None:
        own: dict[int, Record] = {}
        super().__init__(own, loaded)
        self._indexes = indexes
        self._name = name
        self._own: Index | None = None

    def __getitem__(self, number: int) -> Record:
        own, loaded = self.maps
        return own[number] if number in own else loaded[number]

    def __setitem__(self, number: int, record: Record) -> None:
        self.maps[0][number] = record
        if self._own is not None:
            _add(self._own, number, record)

    def values(self) -> ValuesView[Record]:
        own, loaded = self.maps
        return {**loaded, **own}.values()

    def with_key(self, name: str, value: object) -> Collection[Record]:
        """Records that may carry this: those that carry it are among them, and the caller checks whether they do."""
        own, loaded = self.maps
        if len(own) + len(loaded) <= FEW:
            return self.values()
        mine = self._own
        if mine is None:
            mine = self._own = _index(own.items())
        if self._name not in self._indexes:
            self._indexes[self._name] = _index(loaded.items())
        key: Key = (name, value)
        numbers = dict.fromkeys((*self._indexes[self._name].get(key, ()), *mine.get(key, ())))
        return [self[number] for number in numbers]

    def withdraw(self) -> None:
        """Forget what is the request's own."""
        self.maps[0].clear()
        self._own = None

    def fold(self) -> None:
        """Make what is the request's own loaded, for the next request of the batch."""
        own, loaded = self.maps
        if (index := self._indexes.get(self._name)) is not None:
            for number, record in own.items():
                _add(index, number, record)
        loaded.update(own)


def _index(records: Iterable[tuple[int, Record]]) -> Index:
    index: Index = defaultdict(list)
    for number, record in records:
        _add(index, number, record)
    return index


def _add(index: Index, number: int, record: Patient | Order | RequestedProcedure | ScheduledStep) -> None:
    for key in keys_of(record):
        index[key].append(number)


class AliasIndex:
    """Aliases of a list that only grows, by what they stand for and their text."""

    def __init__(self) -> None:
        self._count = 0
        self._found: dict[tuple[AliasKind, str], list[Alias]] = defaultdict(list)

    def find(self, aliases: list[Alias], kind: AliasKind, value: str) -> list[Alias]:
        if len(aliases) <= FEW:
            return [alias for alias in aliases if alias.kind is kind and alias.value == value]
        if self._count > len(aliases):
            self._count = 0
            self._found.clear()
        for alias in aliases[self._count :]:
            self._found[alias.kind, alias.value].append(alias)
        self._count = len(aliases)
        return self._found.get((kind, value), [])
