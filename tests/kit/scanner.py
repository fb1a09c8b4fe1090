"""A scanner for the tests: pynetdicom's requests with every status visible, and keys given by name."""

from __future__ import annotations

from collections.abc import Iterable
from copy import deepcopy
from datetime import datetime
from typing import Any

from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage, SecondaryCaptureImageStorage, generate_uid

from broker.simulators.modality import Modality, final_step, make_image, performed_step

NOON = datetime(2026, 3, 2, 12, 0, 0)


class Scanner(Modality):
    """A modality whose helpers answer with statuses instead of raising."""

    def __init__(self, port: int, ae_title: str = "CTAE", timeout_seconds: float = 15.0) -> None:
        super().__init__(
            "127.0.0.1",
            port,
            ae_title,
            timeout_seconds=timeout_seconds,
            storage_classes=(SecondaryCaptureImageStorage, CTImageStorage),
        )

    def items(self, step: dict[str, Any] | None = None, **keys: Any) -> list[Dataset]:
        """Worklist items for these keys."""
        return self.worklist(step, **keys)

    def item(self, **keys: Any) -> Dataset:
        """The only worklist item for these keys."""
        found = self.items(**keys)
        assert len(found) == 1, f"{len(found)} items"
        return found[0]

    def start(self, item: Dataset, uid: str | None = None, **changes: Any) -> tuple[str, int]:
        """N-CREATE for an item: its UID and status; changes are attributes of the data set, None takes one out."""
        uid = uid or generate_uid(prefix=None)
        return uid, self.create(uid, changed(performed_step(item, self.ae_title, NOON), **changes))

    def end(
        self, uid: str, images: Iterable[Dataset] = (), reason: tuple[str, str] | None = None, **changes: Any
    ) -> int:
        """The final N-SET: COMPLETED, or DISCONTINUED for a reason; its status."""
        return self.set(uid, changed(final_step(list(images), self.ae_title, NOON, reason), **changes))

    def take(self, item: Dataset, number: int = 1, **changes: Any) -> Dataset:
        """An image for an item, not yet stored."""
        return changed(make_image(item, number), **changes)


def step_of(item: Dataset) -> Dataset:
    """The one item of the Scheduled Procedure Step Sequence."""
    step: Dataset = item.ScheduledProcedureStepSequence[0]
    return step


def changed(dataset: Dataset, **changes: Any) -> Dataset:
    """The data set with attributes set, or taken out where the value is None."""
    result = deepcopy(dataset)
    for keyword, value in changes.items():
        if value is None:
            delattr(result, keyword)
        else:
            setattr(result, keyword, value)
    if "SOPInstanceUID" in changes and hasattr(result, "file_meta"):
        result.file_meta.MediaStorageSOPInstanceUID = changes["SOPInstanceUID"]
    return result


def without_ids(item: Dataset, **kept: Any) -> Dataset:
    """A worklist item as a scanner knows it that typed the patient in by hand: nothing but what is given."""
    blank, step = Dataset(), Dataset()
    step.Modality = kept.pop("Modality", "CT")
    blank.ScheduledProcedureStepSequence = [step]
    blank.PatientName, blank.PatientID = item.PatientName, item.PatientID
    blank.StudyInstanceUID = generate_uid(prefix=None)
    for keyword, value in kept.items():
        setattr(blank, keyword, value)
    return blank
