"""The routes. `create_app` only describes them; `app.state.service` is set before the first request."""

from importlib import metadata
from typing import Any

import msgspec
from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException

from penstock.gateway.adapters.http import earlier, schema
from penstock.gateway.adapters.http.body import ClientGone
from penstock.gateway.adapters.http.chat import Conversation
from penstock.gateway.adapters.http.documents import add_documents
from penstock.gateway.adapters.http.markdown import add_markdown
from penstock.gateway.adapters.http.observed import add_observed
from penstock.gateway.adapters.http.pages import add_pages
from penstock.gateway.adapters.http.replies import on_api_error, on_bug, on_gone, on_http_error, reply
from penstock.gateway.adapters.http.service import Service
from penstock.gateway.adapters.http.signing import add_signing
from penstock.gateway.domain.errors import ApiError
from penstock.telemetry.scrape import Scrape


def create_app() -> FastAPI:
    """Return the app with its routes and their description, without any start-up work."""
    app = FastAPI(
        title="Penstock",
        version=metadata.version("penstock-gateway"),
        description=schema.ABOUT,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        telemetry={"tracing": False, "metrics": False, "logs": False},  # we have our own, and one is enough
        exception_handlers={
            ApiError: on_api_error,
            ClientGone: on_gone,
            HTTPException: on_http_error,
            Exception: on_bug,
        },
    )
    chat, models, probes = {"tags": ["Chat"]}, {"tags": ["Models"]}, {"tags": ["Probes"]}

    app.post("/v1/chat/completions", openapi_extra=schema.CHAT, **_operation("createChatCompletion", chat))(
        create_chat_completion
    )
    for method, path, route, described in (
        (app.get, "", retrieve_chat_completion, schema.RETRIEVE),
        (app.get, "/stream", stream_chat_completion, schema.RESUME),
        (app.post, "/cancel", cancel_chat_completion, schema.CANCEL),
    ):
        name = "".join(part.title() if i else part for i, part in enumerate(route.__name__.split("_")))
        method("/v1/chat/completions/{id}" + path, openapi_extra=described, **_operation(name, chat))(route)
    app.get("/v1/models", openapi_extra=schema.MODELS, **_operation("listModels", models))(list_models)
    app.get("/v1/models/{model:path}", openapi_extra=schema.MODEL, **_operation("retrieveModel", models))(
        retrieve_model
    )
    add_documents(app)
    for add in (add_pages, add_signing, add_markdown, add_observed):
        add(app)
    app.get("/livez", openapi_extra=schema.LIVEZ, **_operation("livez", probes))(livez)
    app.get("/readyz", openapi_extra=schema.READYZ, **_operation("readyz", probes))(readyz)
    app.add_route("/metrics", Scrape(), methods=["GET"], include_in_schema=False)  # type: ignore[arg-type]
    app.openapi = lambda: schema.document(app)  # type: ignore[method-assign]  # FastAPI's documented way
    return app


def _operation(operation_id: str, more: dict[str, Any]) -> dict[str, Any]:
    return {"operation_id": operation_id, "response_class": Response, **more}


def service_of(request: Request) -> Service:
    """Return the parts behind the routes."""
    service: Service = request.app.state.service
    return service


async def create_chat_completion(request: Request) -> Response:
    """Answer a conversation, in one piece or as a stream of server-sent events."""
    return Conversation(service_of(request))


async def retrieve_chat_completion(request: Request) -> Response:
    """Return the answer to an earlier request, or how far it is."""
    return await earlier.retrieve(service_of(request), request)


async def stream_chat_completion(request: Request) -> Response:
    """Go on with the stream of an answer, from any event, at any gateway."""
    return earlier.Resumption(service_of(request))


async def cancel_chat_completion(request: Request) -> Response:
    """Give a request up, and free what it holds."""
    return await earlier.cancel(service_of(request), request)


async def list_models(request: Request) -> Response:
    """List the models that the backends serve."""
    return reply(msgspec.json.encode(service_of(request).models.listed()))


async def retrieve_model(request: Request) -> Response:
    """Describe one model."""
    return reply(msgspec.json.encode(service_of(request).models.find(request.path_params["model"])))


async def livez() -> Response:
    """Say that the process runs."""
    return reply(b'{"live":true}')


async def readyz(request: Request) -> Response:
    """Say whether requests can be served, and if not, what is being waited for."""
    readiness = service_of(request).readiness
    return reply(msgspec.json.encode(readiness.body()), 200 if readiness.is_ready else 503)
