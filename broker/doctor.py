"""Looks at everything that a broker stands on, and says how to mend what it finds; changes nothing."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import resource
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from http import HTTPStatus
from http.client import HTTPException
from pathlib import Path
from typing import Any

from broker.archive.files import UNCLAIMED
from broker.certificate_dates import validities
from broker.clock import Clock
from broker.data_folder import PORTS, database_file, kept_paths, site_file
from broker.errors import BrokerError, DatabaseTooOld, DatabaseUnavailable, SettingsError
from broker.health_client import health, health_url
from broker.open_files import fitted, needed
from broker.owner_only import key_open_to_others, open_to_others
from broker.service import FOLDER_LOCK
from broker.settings import Settings, flag_of
from broker.site.profile import Site, load
from broker.store.database import MISSING, MISSING_REMEDY, OTHER, OTHER_REMEDY, Database, open_database
from broker.store.pairing import UNREADABLE_REMEDY, paired_database
from broker.tls import TlsFiles, server_context
from broker.workflow.missing_objects import Missing, find_missing
from broker.workflow.pair_folder import object_files

OK, WARNING, PROBLEM = "ok", "warning", "problem"

LEAST_FREE_BYTES = 200_000_000
"""Below this orders are in danger."""
LITTLE_FREE_BYTES = 5_000_000_000
"""Below this a person should look."""
EXPIRES_SOON = timedelta(days=30)
ANSWER_SECONDS = 3.0
IMAGES_SECONDS = 20.0
"""Longest look at the files of stored images."""
FIRST_NAMED = 3
"""Of the numbers, accession numbers and studies of images without a file."""
MOST_NAMED = 5
"""Paths that one line names."""
DOORS = {
    "hl7": "hl7_port", "hl7_tls": "hl7_tls_port", "dicom": "dicom_port", "dicom_tls": "dicom_tls_port",
    "http": "http_port",
}  # fmt: skip
"""Names of ports.json -> the setting that says the port."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What was looked at, what was found, and, where it is not ok, how to mend it."""

    check: str
    status: str
    found: str
    mend: str = ""


def examine(settings: Settings, clock: Clock) -> list[Finding]:
    """Every check, in the order in which a start needs them; raises nothing."""
    ports = serving_ports(settings.data)
    findings = [*_data_folder(settings), *_privacy(settings), *_space(settings), *_database(settings)]
    findings += _serving_doors(settings, ports) if ports is not None else _free_ports(settings)
    findings += [*_open_files(settings), *_certificates(settings, clock.now()), *_profile(settings, clock)]
    return findings


def serving_ports(data: Path) -> dict[str, int] | None:
    """What the broker that serves on this folder has opened; None when none serves."""
    try:
        descriptor = os.open(data / FOLDER_LOCK, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return None
    except BlockingIOError:
        with suppress(OSError, ValueError):
            return {str(name): int(port) for name, port in json.loads((data / PORTS).read_text("utf-8")).items()}
        return {}
    finally:
        os.close(descriptor)


def _data_folder(settings: Settings) -> Iterator[Finding]:
    data = settings.data
    place = data if data.exists() else _nearest(data)
    if not place.is_dir():
        yield Finding("data folder", PROBLEM, f"{place} is no folder", f"name another one with {flag_of('data')}")
        return
    try:
        with tempfile.TemporaryFile(dir=place) as probe:
            probe.write(b"doctor")
            probe.flush()
            os.fsync(probe.fileno())
    except OSError as error:
        mend = f"give the user {os.getuid()} the right to write there, or make room: chown, chmod, df"
        yield Finding("data folder", PROBLEM, f"nothing can be written in {place}: {error.strerror}", mend)
        return
    yield Finding("data folder", OK, f"{data.resolve()}" if data.exists() else f"{data} will be made")


def _privacy(settings: Settings) -> Iterator[Finding]:
    """Can others read what the broker keeps? The start closes what is ours; the rest is for a person to do."""
    check = "privacy"
    if not settings.data.exists():
        return
    paths = [path for path in kept_paths(settings) if path.exists()]
    kept = [path for path in paths if open_to_others(path)]
    is_empty = {path.name for path in paths} <= {settings.data.name, "site.toml"}
    if kept and not (is_empty and settings.data.stat().st_uid == os.geteuid()):
        mend = f"chmod go= {' '.join(map(str, kept[:MOST_NAMED]))}; those of another user: chown them to ours"
        yield Finding(check, WARNING, f"other users of this machine have rights to {_named(kept)}", mend)
    else:
        yield Finding(check, OK, "only its owner reads the data folder" if not kept else "the start closes the folder")


def _named(paths: list[Path]) -> str:
    more = f" and {len(paths) - MOST_NAMED} more" if len(paths) > MOST_NAMED else ""
    return ", ".join(map(str, paths[:MOST_NAMED])) + more


def _nearest(folder: Path) -> Path:
    """The first folder above that exists."""
    return next((above for above in folder.absolute().parents if above.exists()), Path("/"))


def _space(settings: Settings) -> Iterator[Finding]:
    place = settings.data if settings.data.exists() else _nearest(settings.data)
    try:
        free = shutil.disk_usage(place).free
    except OSError as error:
        yield Finding("space", WARNING, f"cannot be told: {error.strerror}", "look at the disk of the data folder")
        return
    found = f"{free / 1e9:.1f} GB are free"
    status = PROBLEM if free < LEAST_FREE_BYTES else WARNING if free < LITTLE_FREE_BYTES else OK
    yield Finding("space", status, found, "" if status == OK else "make room, or move the data folder to a larger disk")


def _database(settings: Settings) -> Iterator[Finding]:
    own = database_file(settings)
    if own is not None and not own.exists():
        yield _unmade(settings, own)
        return
    try:
        database = open_database(
            settings.database, settings.data, migrate=False, lock_seconds=min(ANSWER_SECONDS, settings.lock_seconds)
        )
    except DatabaseTooOld as error:
        status = WARNING if settings.migrate else PROBLEM
        yield Finding("database", status, error.text, "run mwl-broker migrate, or let the next start do it")
        return
    except DatabaseUnavailable as error:
        yield Finding("database", PROBLEM, str(error), "start the database, check --database, its user and its network")
        return
    except BrokerError as error:
        yield Finding("database", PROBLEM, str(error), "use the version of mwl-broker that made it, or a newer one")
        return
    with closing(database):
        mismatch = list(_pairing(settings, database))
        yield from mismatch
        if database.answers():
            yield Finding("database", OK, f"{database.dialect}, up to date, answers")
            if not mismatch:
                yield from _images(settings, database)
        else:
            mend = "see who holds its lock, whether its disk is full, and whether we may write to it"
            yield Finding("database", PROBLEM, f"{database.dialect} does not answer, or cannot be written", mend)


def _unmade(settings: Settings, own: Path) -> Finding:
    """A start makes it only for a folder that has had none."""
    try:
        paired = paired_database(settings.data)
    except SettingsError as error:
        return Finding("database", PROBLEM, str(error), "restore identity.json, and the database")
    if paired is None:
        return Finding("database", OK, f"{own} will be made at the first start")
    return Finding("database", PROBLEM, f"{MISSING}: {own}", MISSING_REMEDY)


def _pairing(settings: Settings, database: Database) -> Iterator[Finding]:
    """Only what is wrong: a folder that is not paired yet is, at its next start."""
    try:
        paired = paired_database(settings.data)
    except SettingsError as error:
        yield Finding("data folder", PROBLEM, str(error), UNREADABLE_REMEDY)
        return
    if paired not in (None, database.identity):
        yield Finding("data folder", PROBLEM, OTHER, OTHER_REMEDY)


def _images(settings: Settings, database: Database) -> Iterator[Finding]:
    """Whether each stored image has its file, as far as can be seen in IMAGES_SECONDS."""
    files, give_up_at = object_files(settings.data), time.monotonic() + IMAGES_SECONDS
    try:
        missing = find_missing(database, files, lambda: time.monotonic() < give_up_at)
    except DatabaseUnavailable as error:
        yield Finding("images", WARNING, str(error), "run doctor again when the database answers")
        return
    looked = "" if missing.whole else f" (only the first {missing.looked_at} were checked)"
    if missing.count:
        mend = "restore the objects folder from its backup, or send these images again"
        yield Finding("images", PROBLEM, _told(missing) + looked, mend)
    else:
        yield Finding("images", OK, f"{missing.looked_at} stored images, each has its file{looked}")
    if unclaimed := files.count_unclaimed():
        mend = f"look at them in {settings.data / UNCLAIMED}; mwl-broker alarms list says why they are there"
        yield Finding("unclaimed files", WARNING, f"{unclaimed} files without a row that could not be stored", mend)


def _told(missing: Missing) -> str:
    """How many images have no file, and the first of their numbers, accession numbers and studies."""
    gaps = missing.studies.values()
    named: dict[str, list[Any]] = {
        "number": [number for gap in gaps for number in gap.numbers],
        "accession": [gap.accession_number for gap in gaps if gap.accession_number],
        "study": list(missing.studies),
    }
    parts = [
        f"{what} {', '.join(map(str, some[:FIRST_NAMED]))}{' ...' * (len(some) > FIRST_NAMED)}"
        for what, some in named.items()
        if some
    ]
    return f"{missing.count} stored images have no file: {'; '.join(parts)}"


def _serving_doors(settings: Settings, ports: dict[str, int]) -> Iterator[Finding]:
    """A broker serves here: does each of its ports answer?"""
    if not ports:
        yield Finding("ports", WARNING, "a broker holds the data folder, and nothing is open yet", "wait for its start")
        return
    host = settings.host if settings.host not in ("0.0.0.0", "::") else "127.0.0.1"
    for door, port in ports.items():
        try:
            socket.create_connection((host, port), ANSWER_SECONDS).close()
        except OSError as error:
            mend = "look into the log of the running broker; restart it"
            yield Finding(f"port {door}", PROBLEM, f"{host}:{port} does not answer: {error.strerror or error}", mend)
        else:
            yield Finding(f"port {door}", OK, f"{port}, opened by the running broker")
    if "http" in ports:
        yield _readiness(host, ports["http"])


def _readiness(host: str, port: int) -> Finding:
    try:
        status = health(host, port, "ready", ANSWER_SECONDS)
        found = f"it says {status}"
    except (OSError, ValueError, HTTPException) as error:
        status, found = 0, str(error)
    if status == HTTPStatus.OK:
        return Finding("readiness", OK, "every part of the running broker works")
    mend = f"see {health_url(host, port, 'ready')} for the part that does not, and the log for why"
    return Finding("readiness", PROBLEM, f"the running broker is not ready: {found}", mend)


def _free_ports(settings: Settings) -> Iterator[Finding]:
    """No broker serves here: could each port be opened?"""
    for door, name in DOORS.items():
        port = getattr(settings, name)
        if port is None:
            continue
        try:
            family, _, _, _, address = socket.getaddrinfo(settings.host, port, type=socket.SOCK_STREAM)[0]
            socket.create_server((str(address[0]), int(address[1])), family=family).close()
        except OSError as error:
            yield Finding(
                f"port {door}", PROBLEM, f"{settings.host}:{port} cannot be opened: {os.strerror(error.errno or 0)}",
                _mend_port(error, name, port),
            )  # fmt: skip
        else:
            yield Finding(f"port {door}", OK, f"{port or 'a port that is free'} can be opened")


def _mend_port(error: OSError, name: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"see who has it (ss -ltnp 'sport = :{port}') and stop that, or take another with {flag_of(name)}"
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"take a port above 1023 with {flag_of(name)}, or let systemd open it"
    return "name an address of this machine with --host (ip address shows them)"


def _open_files(settings: Settings) -> Iterator[Finding]:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    wanted = needed(settings)
    if hard != resource.RLIM_INFINITY and hard < wanted:
        mend = f"raise it (ulimit -Hn {wanted}, LimitNOFILE={wanted} in a systemd unit), or allow fewer connections"
        fewer = fitted(settings, hard)
        served = f"{fewer.hl7_connections} HL7, {fewer.dicom_associations} DICOM, {fewer.http_connections} HTTP"
        found = f"at most {hard}; all connections need {wanted}, so only {served} are served"
        yield Finding("open files", PROBLEM, found, mend)
    else:
        limit = "without limit" if hard == resource.RLIM_INFINITY else f"up to {hard}"
        yield Finding("open files", OK, f"{limit}; all connections need {wanted}")


def _certificates(settings: Settings, now: datetime) -> Iterator[Finding]:
    for door in ("hl7", "dicom"):
        check = f"TLS {door}"
        try:
            named = settings.tls(door)
            if named is None:
                continue
            files = TlsFiles(**named)
            server_context(files)
            yield from _dates(check, "certificate", files.certificate, now)
            if files.authorities is not None:
                yield from _dates(check, "authorities", files.authorities, now)
            if key_open_to_others(files.key):
                yield Finding(check, WARNING, f"other users can read the key {files.key}", f"chmod go= {files.key}")
        except SettingsError as error:
            yield Finding(check, PROBLEM, str(error), "name files in PEM form that belong together and can be read")


def _dates(check: str, what: str, file: Path, now: datetime) -> Iterator[Finding]:
    """The first end of all certificates in a file."""
    known = validities(file)
    begins, ends = max(one.begins for one in known), min(one.ends for one in known)
    renew = f"put a new one into {file} and restart"
    if ends < now:
        yield Finding(check, PROBLEM, f"{what}: expired on {ends:%Y-%m-%d}", renew)
    elif begins > now:
        yield Finding(check, PROBLEM, f"{what}: not valid before {begins:%Y-%m-%d}", "set the clock, or wait")
    elif ends - now < EXPIRES_SOON:
        yield Finding(check, WARNING, f"{what}: expires on {ends:%Y-%m-%d}", renew)
    else:
        yield Finding(check, OK, f"{what}: valid until {ends:%Y-%m-%d}")


def _profile(settings: Settings, clock: Clock) -> Iterator[Finding]:
    try:
        site: Site = load(site_file(settings))
    except SettingsError as error:
        yield Finding("site profile", PROBLEM, str(error), "change the file as it says; samples/site.toml shows how")
        return
    yield Finding("site profile", OK, str(site.path) if site.path else "built in")
    now = clock.now().astimezone(site.zone)
    if not now.utcoffset() and "UTC" in site.zone.key and "time_zone" not in site.text:
        mend = 'set time_zone in the site profile, for example time_zone = "Europe/Berlin"'
        yield Finding("time zone", WARNING, "UTC: orders are scheduled and listed in UTC", mend)
    else:
        yield Finding("time zone", OK, f"{site.zone.key}, where it is {now:%Y-%m-%d %H:%M} now")
