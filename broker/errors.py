"""What can go wrong, named by cause; no protocol here: each door keeps one table from these to its own codes."""

from __future__ import annotations

from broker.visible import visible


class BrokerError(Exception):
    """A cause with facts. The text is constant; what changes is in the facts."""

    def __init__(self, text: str, **facts: object) -> None:
        super().__init__(text)
        self.text = text
        self.facts = facts

    def __str__(self) -> str:
        shown = ", ".join(f"{name}={visible(str(value))}" for name, value in self.facts.items())
        return f"{self.text} ({shown})" if shown else self.text


class SettingsError(BrokerError):
    """A setting or the site profile is wrong: the start ends with exit code 2 and says where."""


class DatabaseUnavailable(BrokerError):
    """The database does not answer, is locked for too long, or its disk is full; the same request may succeed later."""


class DatabaseTooOld(BrokerError):
    """The database lacks migrations and we were told not to run them."""


class AlreadyRunning(BrokerError):
    """Another broker holds the data folder or a port."""


class Busy(BrokerError):
    """The hand-over to the writer is full, or the wait for its answer has expired; nothing was stored."""


class Stopping(BrokerError):
    """The broker is shutting down and takes no new work."""


class UnreadableMessage(BrokerError):
    """The bytes are not an HL7 v2 message."""


class TooMany(UnreadableMessage):
    """A message has more of something than is taken. Facts: place, an ERR location ("" for none)."""


class UnreadableDataset(BrokerError):
    """The bytes are not a DICOM dataset, or not one of their SOP class."""


class BeyondBounds(UnreadableDataset):
    """A dataset is nested deeper, is longer, or has more elements than we read."""


class StorageFull(BrokerError):
    """No room, or no permission, to keep an object."""


class NotFound(BrokerError):
    """No record has the id that was asked for."""


class PeerFailed(BrokerError):
    """A system that we called cannot be reached, or does not answer in its protocol or in time."""
