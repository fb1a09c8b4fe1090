"""An order message in parts: the patient's segments, and one group for each order (ORC with its OBR)."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

from broker.errors import TooMany
from broker.hl7v2.reader import Message
from broker.hl7v2.segments import Part, Segment, Segments

MOST_GROUPS = 1000
"""Orders of one message; more are refused. Each is read by eighty rows and written as a tree of its own, and there is
one writer: this many take it about half a second. The longest lists of a patient have some dozens."""

MOST_SHARED = 100
"""Segments between an ORC and its first OBR that the OBRs without ORC see too."""
MOST_SHARED_CHARACTERS = 1_000_000
"""Of these segments, counted once for each OBR that sees them: they are read again for each."""

KEPT_SEGMENTS = 64
"""Up to this many segments of one name are kept with their fields; further ones are made each time they are read."""

OF_THE_GROUP = frozenset({"ORC", "OBR", "TQ1", "IPC", "ZDS"})
"""Segments that are never looked for outside an order's own group."""
OF_THE_PATIENT = frozenset({"MSH", "PID", "PD1"})
"""Segments that are never looked for in a group."""
_TRANSPARENT = frozenset({"NTE", "PD1"})
"""What may stand between a segment and its notes: PD1 follows PID, and the notes after it are the patient's."""


class Group:
    """What one order sees of a message. number: from 1; 0 for the patient's part alone, which has no own segments.

    shared   positions of the segments before its own that it sees too: an ORC, and what follows it up to its first OBR
    patient  the patient's part, the same for all groups of a message; None: this is it
    is_alone the message has no second order
    """

    def __init__(
        self, number: int, family: str, message: Message, positions: range,
        shared: range = range(0), patient: Group | None = None, *, is_alone: bool = True,
    ) -> None:  # fmt: skip
        self.number = number
        self.family = family
        self.delimiters = message.delimiters
        self.head = patient or self
        self.is_alone = is_alone
        self._segments = message.segments
        self._positions = positions
        self._shared = shared
        self._found: dict[tuple[str, str], Sequence[Segment]] = {}

    @property
    def patient(self) -> Part:
        """The patient's segments, before all orders."""
        return Part(self._segments, self.head._positions)

    @property
    def own(self) -> Part:
        """Segments of this order alone, and those that it shares with the OBRs beside it."""
        if self.head is self:
            return Part(self._segments, ())
        return Part(self._segments, [*self._shared, *self._positions] if self._shared else self._positions)

    def segments(self, name: str, owner: str = "") -> Sequence[Segment]:
        """Segments of this name; with owner: those that belong to a segment of that name.

        The group's own come first; where it has none, the patient's part is looked at.
        """
        found = self._found.get((name, owner))
        if found is None:
            found = self._found[name, owner] = self._search(name, owner)
        return found

    def first(self, name: str) -> Segment | None:
        """The first segment of this name that the order sees."""
        found = self.segments(name)
        return found[0] if found else None

    def sees_the_patients(self, name: str, owner: str = "") -> bool:
        """It looks at the patient's part for these, as every group without own ones does."""
        return self.segments(name, owner) is self.head.segments(name, owner)

    def _search(self, name: str, owner: str) -> Sequence[Segment]:
        if self.head is self:
            return self._named(name, owner)
        if name not in OF_THE_PATIENT:
            found = self._named(name, owner)
            if found or name in OF_THE_GROUP:
                return found
        return self.head.segments(name, owner)

    def _named(self, name: str, owner: str) -> Sequence[Segment]:
        """Notes belong to the segment right before them; other segments to the nearest one of the owner's name."""
        code = self._segments.code(name)
        if code < 0:
            return ()
        positions = self._owned(code, name, owner) if owner else self._coded(code)
        if len(self._positions) <= KEPT_SEGMENTS:
            return [self._segments[at] for at in positions]
        found = array("I", positions)
        return Part(self._segments, found) if len(found) > KEPT_SEGMENTS else [self._segments[at] for at in found]

    def _coded(self, code: int) -> Iterable[int]:
        codes, own = self._segments.codes, self._positions
        if not self._shared and len(own) <= KEPT_SEGMENTS:
            return [at for at in own if codes[at] == code]
        return (at for at in chain(self._shared, own) if codes[at] == code)

    def _owned(self, code: int, name: str, owner: str) -> Iterator[int]:
        codes, of = self._segments.codes, self._segments.code(owner)
        transparent = {self._segments.code(other) for other in _TRANSPARENT} - {of}
        is_note = name == "NTE"
        last, seen = -1, False
        for at in chain(self._shared, self._positions):
            here = codes[at]
            if here == code and (last == of if is_note else seen):
                yield at
            if here not in transparent:
                last = here
                seen |= here == of


def split(message: Message) -> tuple[Group, tuple[Group, ...]]:
    """The patient's part, and a group for each order; of too many orders one more than MOST_GROUPS.

    An OBR without ORC belongs to the ORC before it: it starts a group of its own that sees that ORC, and what stands
    between that ORC and its first OBR (HL7 2.5.1 4.4.1).

    raises  TooMany where OBRs without ORC share more than MOST_SHARED_CHARACTERS
    """
    marks = message.delimiters
    family = message.header.field(9).split(marks.repetition, 1)[0].split(marks.component, 1)[0].strip()
    starts = _starts(message.segments)
    head = Group(0, family, message, range(starts[0][0] if starts else len(message.segments)))
    ends = [*(begin for begin, _ in starts[1:]), len(message.segments)]
    groups = tuple(
        Group(number, family, message, range(begin, end), shared, head, is_alone=len(starts) == 1)
        for number, ((begin, shared), end) in enumerate(zip(starts, ends, strict=False), 1)
    )
    return head, groups


def _starts(segments: Segments) -> list[tuple[int, range]]:
    """Where each group begins, and what it shares."""
    codes, orc, obr = segments.codes, segments.code("ORC"), segments.code("OBR")
    starts: list[tuple[int, range]] = []
    common = range(0)  # the ORC and what follows it
    shared_characters = 0
    requested = False
    for at, code in enumerate(codes):
        if code == orc:
            starts.append((at, range(0)))
            common, requested = range(at, at + MOST_SHARED), False
        elif code == obr:
            if not requested:
                common = range(common.start, min(at, common.stop))
            if requested or not starts:
                starts.append((at, common))
                shared_characters += segments.size(common)
                if shared_characters > MOST_SHARED_CHARACTERS:
                    detail = f"more than {MOST_SHARED_CHARACTERS} characters that OBRs without ORC share"
                    raise TooMany(detail, place=f"OBR^{segments.ordinal(at)}")
            requested = True
        if len(starts) > MOST_GROUPS:
            break
    return starts
