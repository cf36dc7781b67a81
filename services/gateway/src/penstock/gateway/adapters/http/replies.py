"""Responses in one piece, and errors as responses."""

import structlog
from fastapi import Request, Response
from opentelemetry import trace
from starlette.exceptions import HTTPException
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from penstock.gateway.adapters.http.measures import ERROR_CODE
from penstock.gateway.domain import render
from penstock.gateway.domain.errors import ApiError
from penstock.messages.event import JSON
from penstock.telemetry.spans import fail

log = structlog.get_logger(__name__)


def reply(body: bytes, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Return a JSON response."""
    return Response(body, status, headers, JSON)


def error_reply(error: ApiError) -> Response:
    """Return the response that tells an error; the request's span is told, too, if the fault is ours."""
    if error.status >= 500:
        fail(trace.get_current_span(), error.code)
    headers = dict(error.headers)
    if error.retry_after_s:
        headers["retry-after"] = str(error.retry_after_s)
    return _ErrorReply(error, headers)


class _ErrorReply(Response):
    """Tells an error to the client, and its code to whoever measures the request."""

    media_type = JSON

    def __init__(self, error: ApiError, headers: dict[str, str]) -> None:
        super().__init__(render.error(error), error.status, headers)
        self._code = error.code

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"][ERROR_CODE] = self._code
        await super().__call__(scope, receive, send)


async def on_api_error(_request: Request, error: Exception) -> Response:
    """Handle ApiError."""
    assert isinstance(error, ApiError)  # noqa: S101  # FastAPI's handlers are typed for any exception
    return error_reply(error)


async def on_gone(_request: Request, _error: Exception) -> Response:
    """Handle ClientGone: nobody reads this (499: nginx's "client closed request")."""
    return Response(status_code=499)


async def on_http_error(request: Request, error: Exception) -> Response:
    """Handle what the router itself refuses."""
    assert isinstance(error, HTTPException)  # noqa: S101  # as above
    what = f"{request.method} {request.url.path[:256]}"
    if error.status_code == 404:
        told = ApiError(404, "unknown_url", f"There is no {what}. See /openapi.json for what there is.")
    elif error.status_code == 405:
        allowed = _allowed(request)
        told = ApiError(405, "method_not_allowed", f"There is no {what}. Use {allowed}.")
        told.headers["allow"] = allowed
    else:
        told = ApiError(error.status_code, "http_error", str(error.detail), headers=dict(error.headers or {}))
    return error_reply(told)


def _allowed(request: Request) -> str:
    """Return all methods of a path: the router names those of the first route only (RFC 9110, 10.2.1)."""
    routes = [route for route in request.app.routes if isinstance(route, Route)]
    fitting = [route for route in routes if route.path_regex.match(request.scope["path"])]
    return ", ".join(sorted(method for route in fitting for method in route.methods or ()))


async def on_bug(request: Request, error: Exception) -> Response:
    """Handle what nobody expected; the traceback goes to the log by itself."""
    log.error("unexpected_error", path=request.url.path, error=type(error).__name__)
    return error_reply(ApiError(500, "internal_error", "The server made a mistake; its log says more."))
