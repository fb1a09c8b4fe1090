"""What each kind of alarm means and what a person does about it; what people read of it is made from here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class AlarmKind:
    """meaning: what happened and what the broker did. to_do: in a few words."""

    meaning: str
    to_do: str


KINDS: Mapping[str, AlarmKind] = {
    "other-patient": AlarmKind(
        "A message, a performed step or an image names a known order but another patient. The message was refused; a "
        "performed step or an image was kept and is linked to nothing.",
        "find out whose it is; correct it in the RIS or at the modality and send it again",
    ),
    "patient-flagged": AlarmKind(
        "A performed step or an image carries the order's patient number with another name or date of birth. It was "
        "linked, because the number agrees.",
        "compare the names; if it is another person, correct the number at its source",
    ),
    "study-uid-of-other-patient": AlarmKind(
        "An order names a Study Instance UID that belongs to another patient's procedure. The message was refused.",
        "let the RIS give the order a Study Instance UID of its own and send it again",
    ),
    "step-held": AlarmKind(
        "A step lacks what the profile wants before it is shown. It is kept, and no worklist lists it.",
        "send the missing value as a change (XO), or give the profile a rule for it",
    ),
    "order-after-cancel": AlarmKind(
        "An order came after the cancel that names it, and is not newer than that cancel. It was not taken.",
        "if it is wanted after all, send it again as a new order with a newer time",
    ),
    "cancel-superseded": AlarmKind(
        "A cancel or discontinue is older than what is known of its step. The step stays as it is.",
        "if it should be cancelled, send the cancel again with a newer time",
    ),
    "completed-while-performing": AlarmKind(
        "The order's side says a step is complete while a modality still reports work on it. The step stays STARTED "
        "until the modality ends.",
        "check whether the modality forgot to end its step",
    ),
    "performed-on-cancelled": AlarmKind(
        "A modality began work on a cancelled step. What it did is kept and linked; the step stays CANCELED.",
        "ask the modality's staff; order the examination again if it counts",
    ),
    "clock-jumped": AlarmKind(
        "This machine's clock was set forward or back by more than half a minute while the broker was running. The "
        "alarm says by how much, and to what time. Nothing was lost: no wait depends on the clock, times within an "
        "order's timeline never run backwards (they stay at the wrong time until the clock has caught up), and cancels "
        "that came before their order are remembered longer by what the clock gained. A computer that slept raises no "
        "alarm; a virtual machine that was paused does, because all its clocks stood still.",
        "find out what set the clock: a time service that started late, a paused virtual machine, a person",
    ),
    "instance-conflict": AlarmKind(
        "An image came under a known SOP Instance UID with other bytes. The first one stays; the other is kept aside "
        "(table instance_conflicts).",
        "find out which is right, and which system reuses UIDs",
    ),
    "image-without-file": AlarmKind(
        "Stored images of a study have no whole file in the data folder any more: it is missing, or has another "
        "length. The detail counts them and names the first by their numbers.",
        "restore the objects folder from its backup, or send the study again: an image that comes again gets its file "
        "back; mwl-broker doctor shows what is still missing",
    ),
    "file-unclaimed": AlarmKind(
        "A start found files in the objects folder that have no row in the database and cannot be taken in again: not "
        "whole, not readable, or not comparable with the image that has their row. They were moved to the folder "
        "unclaimed, or, where the detail says so, left in place.",
        "look at the files of that day; send their images again from where they came, then remove the files",
    ),
    "database-restored": AlarmKind(
        "The database is older than what this broker had written: a copy was restored. What came in between is not in "
        "it; the alarm names the numbers and the time from which and to which messages are missing. What was written "
        "is noted once a second, so that messages of up to a second more may be missing. New numbers go on after the "
        "last that was given.",
        "let the senders repeat their messages of that time, and the modalities their reports and images",
    ),
    "database-failover": AlarmKind(
        "The PostgreSQL server has a new timeline: another server has taken over, or it was restored. All that this "
        "broker last wrote is there.",
        "check that it was meant to happen, and that the former server can no longer be written",
    ),
    "marks-lost": AlarmKind(
        "The data folder's file of what was handed out and written (marks.json) was missing or damaged. It was made "
        "again. Were an older copy of the database restored at the same time, nobody would see it, and numbers would "
        "be given twice.",
        "find out what became of the file; if the database was restored too, let the senders repeat their messages of "
        "that time, and compare the accession numbers of new orders with those of before",
    ),
    "database-lost": AlarmKind(
        "A file or folder of the database was moved, deleted or replaced while the broker served. Until it was there "
        "again, or the broker was started again, nothing was taken or answered.",
        "find out who did it; files of a database are moved and restored while the broker is stopped",
    ),
}
"""Every kind that is ever raised."""
