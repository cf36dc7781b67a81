"""`/livez`, `/readyz` and `/metrics` of a process that has no other HTTP interface."""

from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from penstock.telemetry.readiness import Readiness
from penstock.telemetry.scrape import Scrape


class HealthServer(uvicorn.Server):
    """Serves `/livez`, `/readyz` and `/metrics`; leaves signals to the worker."""

    def __init__(self, host: str, port: int, readiness: Readiness) -> None:
        async def livez(_request: Request) -> Response:
            return JSONResponse({"live": True})

        async def readyz(_request: Request) -> Response:
            return JSONResponse(readiness.body(), 200 if readiness.is_ready else 503)

        metrics = Route("/metrics", Scrape(), methods=["GET"])
        app = Starlette(routes=[Route("/livez", livez), Route("/readyz", readyz), metrics])
        super().__init__(uvicorn.Config(app, host, port, log_config=None, access_log=False, lifespan="off"))

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
