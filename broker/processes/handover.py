"""What the main process hands to each process of the DICOM door, as one line: settings, profile, listening sockets."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

import broker
from broker.errors import BrokerError, SettingsError
from broker.settings import Settings
from broker.site.profile import Site, read
from broker.site.toml import parse_toml


@dataclass(frozen=True, slots=True)
class Handover:
    """All that makes a process of the door the same as its neighbours.

    number        of this process, from 1 to count
    profile_text  the site profile as the main process read it; its file may have changed since
    profile_path  where it was read, for messages only
    rows_hash     of the rows that came of it
    sockets       listening descriptors by the name of their opening
    """

    number: int
    count: int
    settings: Settings
    profile_text: str
    profile_path: Path | None
    rows_hash: str
    sockets: Mapping[str, int]
    version: str = broker.__version__

    @classmethod
    def of(cls, number: int, settings: Settings, site: Site, sockets: Mapping[str, int]) -> Handover:
        return cls(number, settings.dicom_processes, settings, site.text, site.path, site.rows.hash, sockets)

    def line(self) -> bytes:
        values = {known.name: _plain(getattr(self.settings, known.name)) for known in fields(Settings)}
        shown = {known.name: getattr(self, known.name) for known in fields(self)}
        shown |= {"settings": values, "profile_path": _plain(self.profile_path), "sockets": dict(self.sockets)}
        return json.dumps(shown).encode() + b"\n"

    @classmethod
    def read(cls, line: bytes) -> Handover:
        """raises  BrokerError when it comes from another version of the broker"""
        shown = json.loads(line)
        if shown["version"] != broker.__version__:
            raise BrokerError("another version of the broker was installed meanwhile: start it again")
        path = shown["profile_path"]
        settings = Settings.load({}, shown.pop("settings"))
        return cls(**{**shown, "settings": settings, "profile_path": None if path is None else Path(path)})

    def site(self) -> Site:
        """The profile, read again from its text.

        raises  SettingsError when other rows come of it: what the shipped profile says has changed on disk
        """
        name = str(self.profile_path or "site profile")
        site = read(self.profile_text, parse_toml(self.profile_text, name), self.profile_path)
        if site.rows.hash != self.rows_hash:
            raise SettingsError("the shipped site profile has changed meanwhile: start the broker again")
        return site


def _plain(value: object) -> object:
    return str(value) if isinstance(value, Path) else value
