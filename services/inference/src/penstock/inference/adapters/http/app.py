"""The application: every path of the dialects, and those for who watches the process."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, Router

from penstock.inference.adapters.http import wire
from penstock.inference.adapters.http.chat import chat_routes
from penstock.inference.adapters.http.embed import PREFIX, embed_routes
from penstock.inference.adapters.http.generate import generate_routes
from penstock.inference.adapters.http.service import Service, error_response, get, json_response
from penstock.inference.adapters.http.tokenize import tokenize_routes
from penstock.inference.domain.errors import UnhealthyError
from penstock.telemetry.scrape import Scrape

Lifespan = Callable[[], AbstractAsyncContextManager[None]]


def make_app(service: Service, lifespan: Lifespan) -> Router:
    """Return the application; `lifespan` starts and stops what the service runs on."""
    routes: list[BaseRoute] = [
        *generate_routes(service),
        *tokenize_routes(service),
        *chat_routes(service),
        *embed_routes(service),
        *_status_routes(service),
    ]
    return Router(routes, redirect_slashes=False, lifespan=lambda _: lifespan())


def _status_routes(service: Service) -> list[Route]:
    async def livez(_: Request) -> Response:
        return Response(status_code=200)

    async def readyz(_: Request) -> Response:
        return json_response(service.readiness.body(), 200 if service.readiness.is_ready else 503)

    async def health(_: Request) -> Response:
        waiting = _waiting(service, "model")
        return Response(status_code=200) if waiting is None else error_response(UnhealthyError(waiting))

    async def embeddings_health(_: Request) -> Response:
        waiting = _waiting(service, "embeddings")
        if waiting is None:
            return Response(status_code=200)
        return json_response({"error": waiting, "error_type": "Unhealthy"}, 503)

    async def info(_: Request) -> Response:
        return json_response(_info(service))

    return [
        get(service, "/livez", livez),
        get(service, "/readyz", readyz),
        get(service, "/health", health),
        get(service, "/ping", health),
        get(service, f"{PREFIX}/health", embeddings_health),
        get(service, "/info", info),
        Route("/metrics", Scrape(service.metrics.registry), methods=["GET"]),
    ]


def _waiting(service: Service, part: str) -> str | None:
    return next((line for line in service.readiness.waiting_for if line.startswith(f"{part}:")), None)


def _info(service: Service) -> wire.Info:
    limits = service.limits
    return wire.Info(
        model_id=service.model_id,
        model_sha=None,
        model_pipeline_tag="text-generation",
        max_concurrent_requests=limits.max_concurrent_requests,
        max_best_of=limits.max_best_of,
        max_stop_sequences=limits.max_stop_sequences,
        max_input_tokens=limits.max_input_tokens,
        max_total_tokens=limits.max_total_tokens,
        validation_workers=1,
        max_client_batch_size=1,
        max_batch_size=service.max_batch_size,
        router="penstock-inference",
        version=service.version,
        sha=None,
        docker_label=None,
    )
