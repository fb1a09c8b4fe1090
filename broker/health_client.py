"""Asks a broker's HTTP door for its health: directly, never through a proxy that the environment names."""

from __future__ import annotations

import urllib.error
import urllib.request

_DIRECT = urllib.request.ProxyHandler({})


def health(host: str, port: int, which: str, timeout_seconds: float) -> int:
    """HTTP status of /health/`which`.

    which   "live" or "ready"
    raises  OSError when there is no answer in time; ValueError or http.client.HTTPException when it is not HTTP
    """
    try:
        with urllib.request.build_opener(_DIRECT).open(health_url(host, port, which), timeout=timeout_seconds) as told:
            return int(told.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def health_url(host: str, port: int, which: str) -> str:
    """The address of a health route."""
    address = f"[{host}]" if ":" in host else host
    return f"http://{address}:{port}/health/{which}"
