"""Asks a broker's HTTP door how it is: directly, whatever proxies the environment names for the rest of the world."""

from __future__ import annotations

import urllib.error
import urllib.request

_DIRECT = urllib.request.ProxyHandler({})


def health(host: str, port: int, which: str, timeout_seconds: float) -> int:
    """HTTP status of /health/`which`.

    which   "live" or "ready"
    raises  OSError when nobody answers in time, ValueError or http.client.HTTPException for what is not HTTP
    """
    try:
        with urllib.request.build_opener(_DIRECT).open(health_url(host, port, which), timeout=timeout_seconds) as told:
            return int(told.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def health_url(host: str, port: int, which: str) -> str:
    """Where it is asked, for people too."""
    address = f"[{host}]" if ":" in host else host
    return f"http://{address}:{port}/health/{which}"
