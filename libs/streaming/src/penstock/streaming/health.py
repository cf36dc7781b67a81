"""`/livez`, `/readyz` and `/metrics` of a process that has no other HTTP interface."""

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from penstock.streaming.server import Server
from penstock.telemetry.readiness import Readiness
from penstock.telemetry.scrape import Scrape


class HealthServer(Server):
    """Serves `/livez`, `/readyz` and `/metrics`; leaves signals to the worker."""

    def __init__(self, host: str, port: int, readiness: Readiness) -> None:
        async def livez(_request: Request) -> Response:
            return JSONResponse({"live": True})

        async def readyz(_request: Request) -> Response:
            return JSONResponse(readiness.body(), 200 if readiness.is_ready else 503)

        metrics = Route("/metrics", Scrape(), methods=["GET"])
        app = Starlette(routes=[Route("/livez", livez), Route("/readyz", readyz), metrics])
        super().__init__(uvicorn.Config(app, host, port, log_config=None, access_log=False, lifespan="off"))
