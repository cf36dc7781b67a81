"""Responses in one piece, and errors as responses."""

import structlog
from fastapi import Request, Response
from starlette.exceptions import HTTPException

from penstock.gateway.domain import render
from penstock.gateway.domain.errors import ApiError
from penstock.messages.event import JSON

log = structlog.get_logger(__name__)


def reply(body: bytes, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Return a JSON response."""
    return Response(body, status, headers, JSON)


def error_reply(error: ApiError) -> Response:
    """Return the response that tells an error."""
    headers = dict(error.headers)
    if error.retry_after_s:
        headers["retry-after"] = str(error.retry_after_s)
    return reply(render.error(error), error.status, headers)


async def on_api_error(_request: Request, error: Exception) -> Response:
    """Handle ApiError."""
    assert isinstance(error, ApiError)  # noqa: S101  # FastAPI's handlers are typed for any exception
    return error_reply(error)


async def on_http_error(request: Request, error: Exception) -> Response:
    """Handle what the router itself refuses."""
    assert isinstance(error, HTTPException)  # noqa: S101  # as above
    what = f"{request.method} {request.url.path[:256]}"
    if error.status_code == 404:
        told = ApiError(404, "unknown_url", f"There is no {what}. See /openapi.json for what there is.")
    elif error.status_code == 405:
        allowed = (error.headers or {}).get("Allow", "another method")
        told = ApiError(405, "method_not_allowed", f"There is no {what}. Use {allowed}.")
    else:
        told = ApiError(error.status_code, "http_error", str(error.detail))
    told.headers.update(error.headers or {})
    return error_reply(told)


async def on_bug(request: Request, error: Exception) -> Response:
    """Handle what nobody expected; the traceback goes to the log by itself."""
    log.error("unexpected_error", path=request.url.path, error=type(error).__name__)
    return error_reply(ApiError(500, "internal_error", "The server made a mistake; its log says more."))
