"""The script of the demo: one small morning in radiology, with what each order must have come to at its end.

Every person in it is invented.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from pydicom.dataset import Dataset

from broker.simulators.modality import Modality
from broker.simulators.ris import Ris, RisOrder, RisPatient

CLARA = RisPatient("4711", "Brook", "Clara", birth_date="19710423", sex="F", visit_number="V9001")
MARTIN = RisPatient("4712", "Field", "Martin", birth_date="19650917", sex="M")
JOERG = RisPatient("4713", "Müßig", "Jörg", birth_date="19580630", sex="M")
ADA = RisPatient("4714", "Stone", "Ada", birth_date="19900211", sex="F")
TOVE = RisPatient("4715", "Lind", "Tove", birth_date="20011105", sex="F")
OMAR = RisPatient("4716", "Haddad", "Omar", birth_date="19830729", sex="M")

WRONG_PROCEDURE = ("110502", "Incorrect procedure ordered")


class MorningError(Exception):
    """Something did not happen as it should have."""


@dataclass(frozen=True, slots=True)
class Ended:
    """What an order must have come to.

    number  one of its numbers, by which it is shown
    states  of its steps, in any order
    images  stored and linked
    held    a word in the reason for which its steps are held; "" for none
    """

    number: str
    title: str
    states: tuple[str, ...]
    images: int = 0
    held: str = ""


@dataclass(slots=True)
class Morning:
    """The peers and the clock of the play; each act sends its messages a minute after the one before."""

    ris: Ris
    modality: Callable[[str], Modality]
    now: datetime
    said: list[str] = field(default_factory=list)

    def send(self, patient: RisPatient, *orders: RisOrder) -> None:
        """Send an order message, which must be accepted."""
        self.now += timedelta(minutes=1)
        stamped = [replace(order, ordered_at=self.now) for order in orders]
        answer = self.ris.order(patient, *stamped, at=self.now)
        if not answer.accepted:
            raise MorningError(f"order {orders[0].placer} was answered {answer.code}: {answer.text}")

    def listed(self, ae_title: str, patient: RisPatient) -> list[Dataset]:
        """What a scanner sees of a patient."""
        return self.modality(ae_title).worklist(PatientID=patient.number)

    def examine(
        self, ae_title: str, item: Dataset, images: int, reason: tuple[str, str] | None = None
    ) -> None:
        """Do what the worklist says: report the start, store images, report the end."""
        modality = self.modality(ae_title)
        self.now += timedelta(minutes=5)
        performed = modality.begin(item, self.now)
        if images:
            modality.acquire(performed, images)
        self.now += timedelta(minutes=10)
        modality.finish(performed, self.now, reason)

    def only(self, ae_title: str, patient: RisPatient) -> Dataset:
        """The one item that a scanner sees of a patient."""
        items = self.listed(ae_title, patient)
        if len(items) != 1:
            raise MorningError(f"{ae_title} sees {len(items)} entries for patient {patient.number}, not one")
        return items[0]


def play(morning: Morning) -> Iterator[tuple[str, Ended]]:
    """Act by act: what was played, and how its order must stand at the end of the morning."""
    for act in (_plain, _two_procedures, _change, _cancel, _discontinue, _held, _umlauts, _stopped, _late):
        yield act(morning)


def _plain(morning: Morning) -> tuple[str, Ended]:
    chest = ("CRCHEST", "X-ray of the chest")
    morning.send(ADA, RisOrder("NW", "PO1005", modality="CR", procedure=chest))
    morning.examine("CR1", morning.only("CR1", ADA), images=2)
    text = "A placer number, a procedure and a modality are enough: the broker fills in the rest, CR1 does the work."
    return text, Ended("PO1005", "Plain order", ("COMPLETED",), images=2)


def _two_procedures(morning: Morning) -> tuple[str, Ended]:
    knee = RisOrder("NW", "PO1002", "FO1002", start=morning.now, modality="MR", procedure=("MRKNEE", "MRI of the knee"))
    first = replace(knee, accession="ACC1002", procedure_id="RP1002", step_id="SPS1002")
    second = replace(
        knee, accession="ACC1003", procedure_id="RP1003", step_id="SPS1003", modality="CR",
        procedure=("CRKNEE", "X-ray of the knee"),
    )  # fmt: skip
    morning.send(MARTIN, first, second)
    for item in morning.listed("ANY", MARTIN):
        scanner = {"MR": "MR1", "CR": "CR1"}[item.ScheduledProcedureStepSequence[0].Modality]
        morning.examine(scanner, item, images=1)
    text = "One message, two procedures: an MR and an X-ray, each with its own accession, on two scanners."
    return text, Ended("PO1002", "Two procedures", ("COMPLETED", "COMPLETED"), images=2)


def _change(morning: Morning) -> tuple[str, Ended]:
    order = _ct("PO1001", "ACC1001", "SPS1001", station="CT1", start=morning.now)
    morning.send(CLARA, order)
    later = morning.now + timedelta(hours=1)
    morning.send(CLARA, replace(order, control="XO", status="SC", station="CT2", start=later))
    if morning.modality("CT1").worklist({"ScheduledStationAETitle": "CT1"}, PatientID=CLARA.number):
        raise MorningError("the moved examination is still on the list of CT1")
    morning.examine("CT2", morning.only("CT2", CLARA), images=3)
    text = "A change before the start moves the examination from CT1 to CT2, an hour later."
    return text, Ended("ACC1001", "Changed order", ("COMPLETED",), images=3)


def _cancel(morning: Morning) -> tuple[str, Ended]:
    order = _ct("PO1006", "ACC1006", "SPS1006", start=morning.now)
    morning.send(TOVE, order)
    morning.only("CT1", TOVE)
    morning.send(TOVE, replace(order, control="CA"))
    _expect_nothing_listed(morning, TOVE, "the cancelled order")
    return "A cancel before the start takes the entry off the list.", Ended("ACC1006", "Cancelled order", ("CANCELED",))


def _discontinue(morning: Morning) -> tuple[str, Ended]:
    order = _ct("PO1007", "ACC1007", "SPS1007", start=morning.now)
    morning.send(OMAR, order)
    modality = morning.modality("CT1")
    performed = modality.begin(morning.only("CT1", OMAR), morning.now)
    modality.acquire(performed, 1)
    morning.send(OMAR, replace(order, control="DC"))
    modality.finish(performed, morning.now, WRONG_PROCEDURE)
    _expect_nothing_listed(morning, OMAR, "the discontinued order")
    text = "A discontinue after the start: the step ends, the image and the report of CT1 stay with the order."
    return text, Ended("ACC1007", "Discontinued order", ("DISCONTINUED",), images=1)


def _held(morning: Morning) -> tuple[str, Ended]:
    morning.send(TOVE, RisOrder("NW", "PO1008", accession="ACC1008", procedure=("X", "Something new")))
    _expect_nothing_listed(morning, TOVE, "the order without modality")
    text = "An order without a modality is accepted, but held: nobody could say on whose list it belongs."
    return text, Ended("ACC1008", "Held order", ("SCHEDULED",), held="modality")


def _umlauts(morning: Morning) -> tuple[str, Ended]:
    abdomen = ("USABD", "Ultraschall Oberbauch")
    morning.send(JOERG, RisOrder("NW", "PO1004", accession="ACC1004", modality="US", procedure=abdomen))
    item = morning.only("US1", JOERG)
    if str(item.PatientName) != "Müßig^Jörg":
        raise MorningError("the name did not arrive as it was sent")
    morning.examine("US1", item, images=1)
    text = "A name in Latin-1 arrives at the ultrasound scanner letter by letter."
    return text, Ended("ACC1004", "Non-ASCII name", ("COMPLETED",), images=1)


def _stopped(morning: Morning) -> tuple[str, Ended]:
    morning.send(ADA, _ct("PO1009", "ACC1009", "SPS1009", start=morning.now))
    morning.examine("CT1", morning.only("CT1", ADA), images=0, reason=("110501", "Equipment failure"))
    text = "CT1 breaks down: it reports the step as discontinued, and why."
    return text, Ended("ACC1009", "Stopped by the scanner", ("DISCONTINUED",))


def _late(morning: Morning) -> tuple[str, Ended]:
    order = _ct("PO1010", "ACC1010", "SPS1010", start=morning.now)
    morning.send(OMAR, order)
    morning.examine("CT1", morning.only("CT1", OMAR), images=1)
    morning.send(OMAR, order)
    _expect_nothing_listed(morning, OMAR, "the finished order")
    text = "The RIS sends a finished order once more as new: accepted, and nothing is reopened."
    return text, Ended("ACC1010", "Late new order", ("COMPLETED",), images=1)


def _ct(placer: str, accession: str, step_id: str, start: datetime, station: str = "") -> RisOrder:
    return RisOrder(
        "NW", placer, f"F{placer[1:]}", accession=accession, procedure_id=f"R{step_id[2:]}", step_id=step_id,
        modality="CT", station=station, procedure=("CTCHEST", "CT of the chest"), start=start,
        reason="persistent cough", physician=("31", "Hale", "Peter"),
    )  # fmt: skip


def _expect_nothing_listed(morning: Morning, patient: RisPatient, what: str) -> None:
    if morning.listed("CT1", patient):
        raise MorningError(f"{what} is still on the worklist")
