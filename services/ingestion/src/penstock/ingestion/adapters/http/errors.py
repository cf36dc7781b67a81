"""Errors as OpenAI's API words them."""

from dataclasses import dataclass

import msgspec
import structlog
from fastapi import Request, Response
from starlette.exceptions import HTTPException

from penstock.ingestion.domain.model import NotFound
from penstock.ingestion.ports import BlobMissing, RecordsAway, StorageAway, StorageFull
from penstock.messages.event import JSON
from penstock.streaming.errors import HandlerError

log = structlog.get_logger()


@dataclass(eq=False)
class ApiError(Exception):
    """Becomes the answer. `message` never holds a document's text."""

    status: int
    code: str
    message: str
    param: str | None = None

    def __str__(self) -> str:
        return f"{self.status} {self.code}"


def invalid(param: str | None, message: str) -> ApiError:
    """A value the API does not take."""
    return ApiError(400, "invalid_value", message, param)


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
        case NotFound():
            return error_reply(ApiError(404, "not_found", str(error)))
        case StorageFull():
            told = "The server has no room for the file. Ask its operator, or try again later."
            return error_reply(ApiError(503, "storage_full", told))
        case RecordsAway() | StorageAway():
            log.warning("not_ready", reason=str(error))
            told = "Documents are not available at the moment. Try again in a moment."
            return error_reply(ApiError(503, "not_ready", told))
        case BlobMissing():
            return error_reply(ApiError(404, "not_found", "The content is no longer kept."))
        case HandlerError():
            return error_reply(ApiError(error.status, error.code, error.message))
        case HTTPException():
            what = f"{request.method} {request.url.path[:256]}"
            return error_reply(ApiError(error.status_code, "unknown_url", f"There is no {what}."))
        case _:
            log.error("request_failed", path=request.url.path, exc_info=error)
            return error_reply(ApiError(500, "internal_error", "The server made an error. It was logged."))


EXPECTED = (ApiError, NotFound, RecordsAway, StorageAway, BlobMissing, HandlerError, HTTPException, Exception)
"""What `on_error` is registered for."""
