"""The FastAPI application."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from fastapi import FastAPI, Request
from starlette.responses import Response

from penstock.inference.adapters.http import wire
from penstock.inference.adapters.http.chat import chat_router
from penstock.inference.adapters.http.embed import PREFIX, embed_router
from penstock.inference.adapters.http.generate import generate_router
from penstock.inference.adapters.http.service import Service, error_response, json_response
from penstock.inference.adapters.http.tokenize import tokenize_router
from penstock.inference.domain.errors import InferenceError, UnhealthyError
from penstock.inference.handler.answers import ReaderGoneError
from penstock.telemetry.scrape import Scrape

Lifespan = Callable[[], AbstractAsyncContextManager[None]]


def make_app(service: Service, lifespan: Lifespan) -> FastAPI:
    """Return the application; `lifespan` starts and stops what the service runs on."""

    @asynccontextmanager
    async def run(_: FastAPI) -> AsyncIterator[None]:
        async with lifespan():
            yield

    app = FastAPI(
        title="Penstock inference",
        openapi_url=None,
        lifespan=run,
        telemetry={"tracing": False, "logs": False},  # we have our own, and one is enough
    )

    @app.exception_handler(InferenceError)
    async def failed(_: Request, error: InferenceError) -> Response:
        service.metrics.failed(error)
        return error_response(error)

    @app.exception_handler(ReaderGoneError)
    async def gone(_: Request, __: ReaderGoneError) -> Response:
        return Response(status_code=499)

    for make in (generate_router, chat_router, tokenize_router, embed_router):
        app.include_router(make(service))
    _add_status_routes(app, service)
    return app


def _add_status_routes(app: FastAPI, service: Service) -> None:
    @app.get("/livez")
    async def livez() -> Response:
        return Response(status_code=200)

    @app.get("/readyz")
    async def readyz() -> Response:
        return json_response(service.readiness.body(), 200 if service.readiness.is_ready else 503)

    @app.get("/health")
    @app.get("/ping")
    async def health() -> Response:
        waiting = _waiting(service, "model")
        return Response(status_code=200) if waiting is None else error_response(UnhealthyError(waiting))

    @app.get(f"{PREFIX}/health")
    async def embeddings_health() -> Response:
        waiting = _waiting(service, "embeddings")
        if waiting is None:
            return Response(status_code=200)
        return json_response({"error": waiting, "error_type": "Unhealthy"}, 503)

    @app.get("/info")
    async def info() -> Response:
        return json_response(_info(service))

    app.add_route("/metrics", Scrape(service.metrics.registry), methods=["GET"])  # type: ignore[arg-type]


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
