"""Open files: how many the doors need when they are full, and limits that fit when the system grants fewer."""

from __future__ import annotations

import resource
from contextlib import suppress
from dataclasses import replace

from broker.dicom.census import MOST_WAITING
from broker.settings import Settings

WANTED_FILES = 65_536
"""The usual soft limit of 1,024 is one busy morning of connections."""
OTHER_FILES = 200
"""Open files besides connections: database, logs, objects in arrival."""
LEAST_PLACES = 4
"""Of each door, however few files there are."""


def raise_limit() -> None:
    """Each connection is an open file; take as many as we may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = WANTED_FILES if hard == resource.RLIM_INFINITY else min(hard, WANTED_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def needed(settings: Settings) -> int:
    """What the process with most connections opens when all doors are full."""
    return max(_main(settings), _dicom(settings)) + OTHER_FILES


def fitted(settings: Settings, limit: int) -> Settings:
    """The settings with fewer connections for each door, so that all of them fit into this many open files."""
    if limit == resource.RLIM_INFINITY or needed(settings) <= limit:
        return settings
    room = limit - min(OTHER_FILES, limit // 2)
    main = min(1.0, room / _main(settings))
    dicom = min(1.0, room / _dicom(settings)) if settings.dicom_processes else main
    return replace(
        settings,
        hl7_connections=_scaled(settings.hl7_connections, main),
        hl7_connections_per_host=_scaled(settings.hl7_connections_per_host, main),
        http_connections=_scaled(settings.http_connections, main),
        http_connections_per_host=_scaled(settings.http_connections_per_host, main),
        dicom_associations=_scaled(settings.dicom_associations, dicom),
        dicom_associations_per_host=_scaled(settings.dicom_associations_per_host, dicom),
    )


def _main(settings: Settings) -> int:
    hl7 = settings.hl7_connections * (2 if settings.hl7_tls_port is not None else 1)
    return hl7 + settings.http_connections + (0 if settings.dicom_processes else _dicom(settings))


def _dicom(settings: Settings) -> int:
    """Of one process of the DICOM door."""
    each = -(-settings.dicom_associations // (settings.dicom_processes or 1)) + MOST_WAITING
    return each * (2 if settings.dicom_tls_port is not None else 1)


def _scaled(places: int, factor: float) -> int:
    """0 means no limit, and stays 0."""
    return max(min(LEAST_PLACES, places), int(places * factor))
