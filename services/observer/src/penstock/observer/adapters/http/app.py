"""The routes: OTLP from all processes, the console's views for the gateway, and how the process is."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import cast

import msgspec
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route

from penstock.messages.event import JSON
from penstock.observer.adapters.http import objects
from penstock.observer.adapters.http.errors import EXPECTED, on_error
from penstock.observer.adapters.http.events import COMMENT, EventStream, data
from penstock.observer.adapters.http.guard import RequireKey
from penstock.observer.adapters.http.parameters import (
    flag,
    letters_wish,
    named,
    offset_of,
    replay_of,
    requests_wish,
    usage_wish,
    viewer_of,
)
from penstock.observer.adapters.http.receiver import Receiver
from penstock.observer.domain.pipeline import Pipeline
from penstock.observer.domain.requests import Request as Asked
from penstock.observer.handler.streams import Places
from penstock.observer.handler.views import Views
from penstock.telemetry.readiness import Readiness
from penstock.telemetry.scrape import Scrape

_LETTER = "/dead_letters/{topic}/{offset}"


@dataclass(frozen=True, slots=True)
class Service:
    """The parts behind the routes; `stop` ends streams, `now_ms` is Unix time."""

    views: Views
    receiver: Receiver
    readiness: Readiness
    places: Places
    stop: asyncio.Event
    now_ms: Callable[[], int]


def create_app(service: Service, key: SecretStr | None) -> Starlette:
    """Return the app; callers of its views must send `key`."""
    views = [
        Route("/requests", list_requests),
        Route("/requests/stream", stream_requests),
        Route("/requests/{id}", show_request),
        Route("/pipeline", show_pipeline),
        Route("/pipeline/stream", stream_pipeline),
        Route("/dead_letters", list_letters),
        Route(_LETTER, show_letter),
        Route(_LETTER, drop_letter, methods=["DELETE"]),
        Route(f"{_LETTER}/replay", replay_letter, methods=["POST"]),
        Route("/usage", show_usage),
    ]
    app = Starlette(
        routes=[
            Route("/v1/traces", service.receiver.take_traces, methods=["POST"]),
            Route("/v1/metrics", service.receiver.take_metrics, methods=["POST"]),
            Mount("/console/api", routes=views, middleware=[Middleware(RequireKey, key)]),
            Route("/livez", livez),
            Route("/readyz", readyz),
            Route("/metrics", Scrape()),
        ],
        exception_handlers=dict.fromkeys(EXPECTED, on_error),
    )
    app.state.service = service
    return app


async def list_requests(request: Request) -> Response:
    """The newest requests."""
    found, following = await _service(request).views.requests(viewer_of(request), requests_wish(request))
    return _json({"requests": found, "next": following})


async def stream_requests(request: Request) -> Response:
    """Every change of a request, as it comes."""
    service = _service(request)
    return EventStream(
        _changes(service.views.request_changes(viewer_of(request))), service.places.taken(), service.stop
    )


async def show_request(request: Request) -> Response:
    """One request with its records and traces."""
    view = await _service(request).views.request(
        viewer_of(request), named(request, "id")[:64], with_records=flag(request, "records", default=True)
    )
    return _json(await asyncio.to_thread(objects.request_view, view))


async def show_pipeline(request: Request) -> Response:
    """How far everything is."""
    return _json(objects.pipeline(await _service(request).views.pipeline(viewer_of(request))))


async def stream_pipeline(request: Request) -> Response:
    """That, every second."""
    service = _service(request)
    return EventStream(
        _looks(service.views.pipeline_looks(viewer_of(request))), service.places.taken(), service.stop
    )


async def list_letters(request: Request) -> Response:
    """Dead letters, newest first."""
    viewer = viewer_of(request)
    page = await _service(request).views.letters(viewer, letters_wish(request, viewer))
    return _json(objects.letter_page(page))


async def show_letter(request: Request) -> Response:
    """One dead letter, with its body if asked for."""
    letter, record = await _service(request).views.letter(
        viewer_of(request), named(request, "topic"), offset_of(request)
    )
    return _json(objects.whole_letter(letter, record, with_body=flag(request, "body", default=False)))


async def drop_letter(request: Request) -> Response:
    """Be done with a dead letter."""
    await _service(request).views.drop(viewer_of(request), named(request, "topic"), offset_of(request))
    return Response(status_code=204)


async def replay_letter(request: Request) -> Response:
    """Send a dead letter to the topic it came from."""
    viewer = viewer_of(request)
    viewer.require_operator()
    wish = await replay_of(request)
    offset = await _service(request).views.replay(
        viewer, named(request, "topic"), offset_of(request), force=wish.force
    )
    return _json({"offset": offset})


async def show_usage(request: Request) -> Response:
    """Tokens and requests over time."""
    service, viewer = _service(request), viewer_of(request)
    wish = usage_wish(request, service.now_ms())
    return _json(objects.usage(service.views.usage(viewer, wish.since_ms, wish.until_ms, wish.bucket_ms)))


async def livez(_request: Request) -> Response:
    """It answers."""
    return _json({"live": True})


async def readyz(request: Request) -> Response:
    """Whether everything is there, or what is waited for."""
    readiness = _service(request).readiness
    return _json(readiness.body(), 200 if readiness.is_ready else 503)


async def _changes(changes: AsyncGenerator[list[Asked], None]) -> AsyncGenerator[bytes, None]:
    async with aclosing(changes) as some:
        async for requests in some:
            yield b"".join(data(msgspec.json.encode(request)) for request in requests) or COMMENT


async def _looks(looks: AsyncGenerator[Pipeline, None]) -> AsyncGenerator[bytes, None]:
    async with aclosing(looks) as some:
        async for seen in some:
            yield data(msgspec.json.encode(objects.pipeline(seen)))


def _service(request: Request) -> Service:
    return cast(Service, request.app.state.service)


def _json(body: object, status: int = 200) -> Response:
    return Response(msgspec.json.encode(body), status, media_type=JSON)
