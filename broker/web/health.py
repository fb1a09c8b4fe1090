"""Is the broker alive, and can it work? Asked by supervisors and load balancers."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from broker.web.asking import Question

Probes = Mapping[str, Callable[[], bool]]
"""By part: True while it can do its work; each must answer within a second or so and never raise."""


def health_routes(probes: Probes) -> list[Route]:
    """GET /health/live: 200 while the process answers. GET /health/ready: 200 when every part works, else 503."""

    async def live(request: Request) -> JSONResponse:
        return JSONResponse({"status": "alive"})

    parts = Question("readiness", lambda: {name: probe() for name, probe in probes.items()})

    async def ready(request: Request) -> JSONResponse:
        known = await parts.answer()
        good = all(known.values())
        return JSONResponse({"status": "ready" if good else "not ready", "parts": known}, 200 if good else 503)

    return [Route("/health/live", live), Route("/health/ready", ready)]
