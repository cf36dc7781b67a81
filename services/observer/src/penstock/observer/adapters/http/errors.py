"""Errors as OpenAI's API words them."""

import msgspec
import structlog
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from penstock.messages.event import JSON
from penstock.observer.domain.errors import ApiError, broker_away
from penstock.streaming.ports import BrokerError

log = structlog.get_logger()


def error_reply(error: ApiError) -> Response:
    """Return the response that tells an error."""
    family = "invalid_request_error" if error.status < 500 else "server_error"
    told = {"message": error.message, "type": family, "param": error.param, "code": error.code}
    headers = {"retry-after": "2"} if error.status == 503 else {}
    return Response(msgspec.json.encode({"error": told}), error.status, headers, JSON)


async def on_error(request: Request, error: Exception) -> Response:
    """Handle everything that is raised on purpose, and the router's own refusals."""
    match error:
        case ApiError():
            return error_reply(error)
        case BrokerError():
            log.warning("broker_away", path=request.url.path, reason=str(error))
            return error_reply(broker_away())
        case HTTPException():
            what = f"{request.method} {request.url.path[:256]}"
            return error_reply(ApiError(error.status_code, "unknown_url", f"There is no {what}."))
        case _:
            log.error("request_failed", path=request.url.path, exc_info=error)
            return error_reply(ApiError(500, "internal_error", "The server made an error. It was logged."))


EXPECTED = (ApiError, BrokerError, HTTPException, Exception)
"""What `on_error` is registered for."""
