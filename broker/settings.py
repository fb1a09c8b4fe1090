"""Each setting in one place: name, default, unit, reason; read once from flags, BROKER_* variables, defaults."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from pathlib import Path
from typing import Any

from broker.errors import SettingsError

PREFIX = "BROKER_"
Reader = Callable[[str], object]


@dataclass(frozen=True, slots=True)
class Kind:
    """How the text of a setting is read. wanted: what a right value looks like, in words."""

    wanted: str
    read: Reader


def setting(default: object, help: str, kind: Kind | None = None, *, secret: bool = False) -> Any:
    """Declare a setting. kind: only where the default's type does not say it; secret: its value is never shown."""
    return field(default=default, metadata={"help": help, "kind": kind or _kind_of(default), "secret": secret})


def _whole(low: int, high: int) -> Kind:
    def read(text: str) -> int:
        number = int(text)
        if not low <= number <= high:
            raise ValueError
        return number

    return Kind(f"a whole number from {low} to {high}", read)


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds <= 86_400:  # also refuses nan
        raise ValueError
    return seconds


def _flag(text: str) -> bool:
    """bool("false") is True, so words are read by name."""
    return {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}[
        text.lower()
    ]


def _ae_title(text: str) -> str:
    """PS3.5 6.2, VR AE: 1 to 16 characters of the default repertoire, no backslash, no control characters."""
    if not re.fullmatch(r"[\x20-\x5b\x5d-\x7e]{1,16}", text):
        raise ValueError
    return text


def _words(*allowed: str) -> Kind:
    def read(text: str) -> str:
        if text not in allowed:
            raise ValueError
        return text

    return Kind("one of " + ", ".join(allowed), read)


def _text(text: str) -> str:
    if not text:
        raise ValueError
    return text


def _database(text: str) -> str:
    if not re.match(r"(sqlite|postgresql(\+psycopg)?)://", text):
        raise ValueError
    return text


PORT = _whole(0, 65_535)
COUNT = _whole(1, 100_000)
PROCESSES = _whole(0, 64)
SHARE = _whole(0, 100_000)
BYTES = _whole(1_000, 4_000_000_000)
FOLDER = Kind("a folder", lambda text: Path(_text(text)))
FILE = Kind("a file", lambda text: Path(_text(text)))
AE_TITLE = Kind("an AE title: 1 to 16 characters of ASCII without backslash", _ae_title)
DATABASE = Kind("a URL that begins with sqlite:// or postgresql://", _database)
SECONDS = Kind("a number of seconds above 0 and up to 86400", _seconds)
FLAG = Kind("true or false", _flag)
TEXT = Kind("a text that is not empty", _text)
CLIENTS = _words("none", "optional", "required")
LOG_FORM = _words("auto", "text", "json")


def _kind_of(default: object) -> Kind:
    if isinstance(default, bool):
        return FLAG
    return {int: COUNT, float: SECONDS, str: TEXT}[type(default)]


@dataclass(frozen=True, slots=True)
class Settings:
    """What may differ between two installations of the process; what differs by hospital is the site profile."""

    data: Path = setting(Path("data"), "folder of the database, the images, the locks and ports.json", FOLDER)
    database: str | None = setting(None, "URL; default: SQLite, broker.db in the data folder", DATABASE, secret=True)
    site: Path | None = setting(None, "site profile; default: site.toml in the data folder, else built in", FILE)
    migrate: bool = setting(True, "bring an old database up to date at start; false refuses it instead")
    host: str = setting("127.0.0.1", "address to listen on; 0.0.0.0 lets other machines in, which is your decision")
    hl7_port: int = setting(2575, "TCP port for HL7 v2 over MLLP (2575 is registered for it); 0 takes a free one", PORT)
    dicom_port: int = setting(11112, "TCP port for DICOM (11112 is registered for it); 0 takes a free one", PORT)
    http_port: int = setting(8080, "TCP port for HTTP; 0 takes a free one", PORT)
    hl7_tls_port: int | None = setting(None, "TCP port for HL7 over TLS; default: none is opened", PORT)
    hl7_tls_certificate: Path | None = setting(None, "our certificate for HL7, PEM, with those above it", FILE)
    hl7_tls_key: Path | None = setting(None, "key of that certificate, PEM, without a passphrase", FILE)
    hl7_tls_authorities: Path | None = setting(None, "who may sign certificates of HL7 senders, PEM", FILE)
    hl7_tls_clients: str = setting("none", "certificates of HL7 senders: none, optional or required", CLIENTS)
    dicom_tls_port: int | None = setting(
        None, "TCP port for DICOM over TLS (2762 is registered for it); default: none is opened", PORT
    )
    dicom_tls_certificate: Path | None = setting(None, "our certificate for DICOM, PEM, with those above it", FILE)
    dicom_tls_key: Path | None = setting(None, "key of that certificate, PEM, without a passphrase", FILE)
    dicom_tls_authorities: Path | None = setting(None, "who may sign certificates of scanners, PEM", FILE)
    dicom_tls_clients: str = setting("none", "certificates of scanners: none, optional or required", CLIENTS)
    ae_title: str = setting("MWLBROKER", "our AE title, which scanners call and see", AE_TITLE)
    hl7_connections: int = setting(500, "HL7 connections at once; when full, a silent one gives way to a new one")
    hl7_connections_per_host: int = setting(450, "HL7 connections of one address; 0: no limit of its own", SHARE)
    hl7_idle_seconds: float = setting(300.0, "seconds until a silent HL7 connection is closed; senders reconnect")
    hl7_message_seconds: float = setting(60.0, "seconds from a message's first byte to its last; half messages end")
    hl7_message_bytes: int = setting(11_000_000, "longest HL7 message in bytes; 10 MB pass, memory is bounded", BYTES)
    dicom_associations: int = setting(2_000, "associations at once; more are rejected for now (PS3.8 9.3.4)")
    dicom_associations_per_host: int = setting(0, "associations at once of one address; 0: no limit of its own", SHARE)
    dicom_processes: int = setting(0, "processes that share the DICOM port and its limits; 0: the main one", PROCESSES)
    dicom_network_seconds: float = setting(300.0, "seconds until an association silent between requests is aborted")
    dicom_message_seconds: float = setting(60.0, "seconds to wait for the rest of a DIMSE message that has begun")
    dicom_association_seconds: float = setting(30.0, "seconds to wait for an association request or a release")
    http_connections: int = setting(500, "HTTP connections at once; when full, a silent one gives way to a new one")
    http_connections_per_host: int = setting(450, "HTTP connections of one address; 0: no limit of its own", SHARE)
    input_bytes: int = setting(256_000_000, "bytes of unread input held at once; a fourth for one address", BYTES)
    writer_requests: int = setting(1_000, "requests that may wait for the writer; when full, doors stop reading")
    writer_bytes: int = setting(64_000_000, "bytes that may wait for the writer; when full, doors stop reading", BYTES)
    writer_wait_seconds: float = setting(20.0, "seconds a door waits for the commit, then says try again")
    lock_seconds: float = setting(10.0, "seconds to wait for the write lock, shared with other commands")
    stop_grace_seconds: float = setting(3.0, "seconds for requests in hand at stop; the whole stop stays under 5")
    log: str = setting("auto", "log on standard error: text, json or auto (text on a terminal)", LOG_FORM)

    @classmethod
    def load(cls, environment: Mapping[str, str], flags: Mapping[str, object] | None = None) -> Settings:
        """Read the settings: flags before BROKER_* variables before defaults.

        flags   by setting name; None: not given; text is read like a variable, other values are taken as they are
        raises  SettingsError naming the variable or flag, and what would be right
        """
        _refuse_unknown(environment)
        given = {name: value for name, value in (flags or {}).items() if value is not None}
        values: dict[str, object] = {}
        for known in fields(cls):
            variable = variable_of(known.name)
            if known.name in given:
                values[known.name] = _read(known, flag_of(known.name), given[known.name])
            elif variable in environment:
                values[known.name] = _read(known, variable, environment[variable])
        return cls(**values)  # type: ignore[arg-type]

    def tls(self, door: str) -> dict[str, Any] | None:
        """What `broker.tls.TlsFiles` takes for the TLS port of a door ("hl7" or "dicom"); None when it has none.

        raises  SettingsError when only half of it is said
        """
        port, certificate, key, authorities, clients = (
            getattr(self, f"{door}_tls_{part}") for part in ("port", "certificate", "key", "authorities", "clients")
        )
        named = {"certificate": certificate, "key": key}
        if port is None:
            given = next((part for part, file in (*named.items(), ("authorities", authorities)) if file), None)
            if given:
                raise SettingsError(
                    "a TLS file without a TLS port", setting=flag_of(f"{door}_tls_{given}"),
                    missing=flag_of(f"{door}_tls_port"),
                )  # fmt: skip
            return None
        for part, file in named.items():
            if file is None:
                raise SettingsError(
                    "a TLS port without certificate and key", setting=flag_of(f"{door}_tls_port"),
                    missing=flag_of(f"{door}_tls_{part}"),
                )  # fmt: skip
        return named | {"authorities": authorities, "client_certificates": clients}


    def check_ports(self) -> None:
        """raises  SettingsError when two doors are to share a port"""
        ports = {name: getattr(self, name) for name in ("hl7_port", "dicom_port", "http_port")}
        for name, port in ports.items():
            same = [flag_of(other) for other in ports if port and ports[other] == port]
            if len(same) > 1 and flag_of(name) == same[0]:
                raise SettingsError("two doors cannot share a port", port=port, settings=" and ".join(same))


def variable_of(name: str) -> str:
    return PREFIX + name.upper()


def flag_of(name: str) -> str:
    return "--" + name.replace("_", "-")


def default_text(known: Field[Any]) -> str:
    """The default as a person would write it; "" for none."""
    if known.default is None or known.default is MISSING:
        return ""
    if isinstance(known.default, bool):
        return str(known.default).lower()
    if isinstance(known.default, float):
        return f"{known.default:g}"
    return str(known.default)


def table() -> str:
    """All settings as a Markdown table: what `docs/settings.md` holds."""
    lines = ["| Flag | Variable | Default | What it is |", "|---|---|---|---|"]
    for known in fields(Settings):
        default = f"`{default_text(known)}`" if default_text(known) else ""
        row = (f"`{flag_of(known.name)}`", f"`{variable_of(known.name)}`", default, known.metadata["help"])
        lines.append("| " + " | ".join(row) + " |")
    return "\n".join(lines) + "\n"


def _refuse_unknown(environment: Mapping[str, str]) -> None:
    known = {variable_of(one.name) for one in fields(Settings)}
    for variable in sorted(environment):
        if variable.upper().startswith(PREFIX) and variable not in known:
            near = difflib.get_close_matches(variable.upper(), known, n=1, cutoff=0.7)
            raise SettingsError("unknown setting", variable=variable, **({"did_you_mean": near[0]} if near else {}))


def _read(known: Field[Any], where: str, value: object) -> object:
    if not isinstance(value, str):
        return value
    kind: Kind = known.metadata["kind"]
    try:
        return kind.read(value.strip())
    except (ValueError, KeyError):
        shown = {} if known.metadata["secret"] else {"value": value}
        raise SettingsError("wrong value for a setting", setting=where, **shown, wanted=kind.wanted) from None
