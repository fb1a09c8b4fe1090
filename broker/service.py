"""The contract that every long-running part keeps: start, stop, ready; and what a door says that cannot open."""

from __future__ import annotations

import errno
import socket
import threading
import time
from collections.abc import Sequence
from typing import Protocol

from broker.errors import AlreadyRunning, BrokerError, SettingsError

FOLDER_LOCK = "serve.lock"
"""In the data folder: the serving broker holds a lock on it."""

CUT_SECONDS = 0.5
"""What a part may take after its grace time to cut off what is left."""


class Service(Protocol):
    """A part that app.py starts in order and stops in reverse.

    start  opens what it needs and returns when it serves; raises BrokerError with a reason when it cannot
    stop   takes no new work at once, lets work in hand end within grace_seconds, then cuts it off; may be called twice
    ready  True while it can do its work
    """

    name: str

    def start(self) -> None: ...

    def stop(self, grace_seconds: float) -> None: ...

    def ready(self) -> bool: ...


def stop_together(parts: Sequence[Service], grace_seconds: float) -> None:
    """Stop all at once, so that they share one grace time; returns when it has passed, at the latest."""
    threads = [
        threading.Thread(target=part.stop, args=(grace_seconds,), name=f"stop-{part.name}", daemon=True)
        for part in reversed(parts)
    ]
    for thread in threads:
        thread.start()
    cut_at = time.monotonic() + grace_seconds + CUT_SECONDS
    for thread in threads:
        thread.join(max(0.0, cut_at - time.monotonic()))


def cannot_listen(door: str, host: str, port: int, error: OSError | UnicodeError) -> BrokerError:
    """Why a port cannot be opened, in words, and what to do. door: "HL7", "DICOM" or "HTTP"."""
    flag = f"--{door.lower()}-port"
    code = error.errno if isinstance(error, OSError) else None
    if code == errno.EADDRINUSE:
        remedy = f"stop what listens there, or choose another {flag}; 0 takes a free one"
        return AlreadyRunning(f"the {door} port is in use", host=host, port=port, remedy=remedy)
    if isinstance(error, socket.gaierror | UnicodeError):  # the second: no host name at all
        reason = "no machine has this name; see --host"
    elif code == errno.EADDRNOTAVAIL:
        reason = "this machine has no such address; see --host"
    elif code in (errno.EACCES, errno.EPERM):
        reason = f"not allowed; ports below 1024 need more rights, see {flag}"
    else:
        reason = error.strerror or type(error).__name__
    return SettingsError(f"cannot listen for {door}", host=host, port=port, reason=reason)


def check_port(door: str, host: str, port: int) -> None:
    """Open the port and close it again, before anything is made that a failed start would leave behind.

    raises  AlreadyRunning, SettingsError as the door itself would
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        socket.create_server((str(address[0]), port), family=family).close()
    except (OSError, UnicodeError) as error:
        raise cannot_listen(door, host, port, error) from None
