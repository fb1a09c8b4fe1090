"""An order message in parts: the patient's segments, and one group for each order (ORC with its OBR)."""

from __future__ import annotations

from collections.abc import Sequence

from broker.hl7v2.reader import Delimiters, Message, Segment

MOST_GROUPS = 1000
"""Orders of one message; more are refused."""

MOST_SHARED = 100
"""Segments between an ORC and its first OBR that the OBRs without ORC see too."""

OF_THE_GROUP = frozenset({"ORC", "OBR", "TQ1", "IPC", "ZDS"})
"""Segments that are never looked for outside an order's own group."""
OF_THE_PATIENT = frozenset({"MSH", "PID", "PD1"})
"""Segments that are never looked for in a group."""
_TRANSPARENT = frozenset({"NTE", "PD1"})
"""What may stand between a segment and its notes: PD1 follows PID, and the notes after it are the patient's."""


class Group:
    """What one order sees of a message. number: from 1; 0 for the patient's part alone, which has no own segments."""

    def __init__(
        self,
        number: int,
        family: str,
        delimiters: Delimiters,
        patient: tuple[Segment, ...],
        own: tuple[Segment, ...] = (),
    ) -> None:
        self.number = number
        self.family = family
        self.delimiters = delimiters
        self.patient = patient
        self.own = own
        self._found: dict[tuple[str, str], Sequence[Segment]] = {}

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

    def _search(self, name: str, owner: str) -> Sequence[Segment]:
        if name not in OF_THE_PATIENT:
            found = _named(self.own, name, owner)
            if found or name in OF_THE_GROUP:
                return found
        return _named(self.patient, name, owner)


def split(message: Message) -> tuple[Group, tuple[Group, ...]]:
    """The patient's part, and a group for each order; of too many orders one more than MOST_GROUPS.

    An OBR without ORC belongs to the ORC before it: it starts a group of its own that sees that ORC, and what stands
    between that ORC and its first OBR (HL7 2.5.1 4.4.1).
    """
    marks = message.delimiters
    family = message.header.field(9).split(marks.repetition, 1)[0].split(marks.component, 1)[0].strip()
    patient: list[Segment] = []
    found: list[list[Segment]] = []
    shared: list[Segment] = []
    requested = False
    for segment in message.segments:
        if segment.name == "ORC" or (segment.name == "OBR" and (not found or requested)):
            if len(found) > MOST_GROUPS:
                break
            found.append([*shared, segment] if segment.name == "OBR" else [segment])
            shared = [segment] if segment.name == "ORC" else shared
            requested = segment.name == "OBR"
            continue
        requested |= segment.name == "OBR"
        if found and not requested and len(shared) < MOST_SHARED:
            shared.append(segment)
        (found[-1] if found else patient).append(segment)
    head = Group(0, family, marks, tuple(patient))
    groups = tuple(Group(n, family, marks, head.patient, tuple(own)) for n, own in enumerate(found, 1))
    return head, groups


def _named(segments: Sequence[Segment], name: str, owner: str) -> list[Segment]:
    """Notes belong to the segment right before them; other segments to the nearest one of the owner's name."""
    if not owner:
        return [segment for segment in segments if segment.name == name]
    found: list[Segment] = []
    last, seen = "", False
    for segment in segments:
        if segment.name == name and (last == owner if name == "NTE" else seen):
            found.append(segment)
        if segment.name not in _TRANSPARENT or segment.name == owner:
            last = segment.name
            seen |= last == owner
    return found
