"""Errors as OpenAI's API words them: status, type, code, the parameter at fault, and what to do."""

from dataclasses import dataclass, field
from typing import Literal

NOT_ACCEPTED = "not_accepted"
ErrorType = Literal["invalid_request_error", "rate_limit_error", "server_error"]


@dataclass(eq=False)
class ApiError(Exception):
    """Becomes the answer to an HTTP request, or the last event of a stream.

    `status` is an HTTP status; `retry_after_s` (0: none) and `headers` go into the header. `message` never
    holds prompt or answer text, nor a key.
    """

    status: int
    code: str
    message: str
    param: str | None = None
    retry_after_s: int = 0
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def type(self) -> ErrorType:
        """OpenAI's family of the error, which follows from the status."""
        if self.status == 429:
            return "rate_limit_error"
        return "invalid_request_error" if self.status < 500 else "server_error"

    def __str__(self) -> str:
        return f"{self.status} {self.code}"


def invalid(param: str | None, message: str, code: str = "invalid_value") -> ApiError:
    """A value the API does not take."""
    return ApiError(400, code, message, param)


def unsupported(param: str, message: str) -> ApiError:
    """A parameter of OpenAI's that would change the answer, and that Penstock cannot honour."""
    return ApiError(400, "unsupported_parameter", message, param)


def malformed(message: str) -> ApiError:
    """A body that is no JSON."""
    return ApiError(400, "invalid_json", message)


def wrong_key(message: str) -> ApiError:
    """No key, or not one of ours (RFC 9110 wants the challenge)."""
    return ApiError(401, "invalid_api_key", message, headers={"www-authenticate": "Bearer"})


def no_console_header(header: str) -> ApiError:
    """A change that a cookie alone asks for: any page could have made the browser send that."""
    message = f"With a session, changes need the header '{header}', so that no other page can ask for them."
    return ApiError(403, "console_header_missing", message)


def operators_only() -> ApiError:
    """What concerns all tenants, asked for with a key that is not an operator's."""
    return ApiError(403, "operators_only", "Only operators may do this. Sign in with an operator's key.")


def no_such_model(model: str, known: list[str]) -> ApiError:
    """A model that no backend serves."""
    message = f"The model '{model[:128]}' does not exist. Models of this server: {', '.join(known)}."
    return ApiError(404, "model_not_found", message, "model")


def too_large(limit: int) -> ApiError:
    """A body over the limit, in bytes."""
    message = f"The request body is larger than {limit} bytes. Send less."
    return ApiError(413, "request_too_large", message)


def file_too_large(limit: int) -> ApiError:
    """A body over the limit, in bytes, on its way to another service."""
    message = f"The request body is larger than {limit} bytes. Send a smaller file."
    return ApiError(413, "request_too_large", message)


def slow_body(seconds: float) -> ApiError:
    """A body that does not arrive; the rest of it would be in the way of a next request."""
    message = f"The body did not arrive within {seconds:g} s. Send it again."
    return ApiError(408, "request_timeout", message, headers={"connection": "close"})


def too_many(message: str) -> ApiError:
    """More at once than the gateway holds."""
    return ApiError(429, "rate_limit_exceeded", message, retry_after_s=1)


def not_ready(waiting_for: list[str]) -> ApiError:
    """A part of the system is away."""
    message = f"The server is not ready, waiting for: {'; '.join(waiting_for)}. Try again in a moment."
    return ApiError(503, "not_ready", message, retry_after_s=2)


def not_configured(setting: str) -> ApiError:
    """A part of the API that this installation does not have."""
    message = f"This server is not set up for that: its operator has to set {setting}."
    return ApiError(503, "not_configured", message)


def upstream_failed(name: str) -> ApiError:
    """A service behind the gateway that broke off: nobody knows how far it was."""
    message = f"The {name} service broke off while it handled the request. Try again in a moment."
    return ApiError(502, "upstream_failed", message, retry_after_s=2)


def upstream_timed_out(name: str, seconds: float) -> ApiError:
    """A service behind the gateway that takes or says nothing."""
    message = f"The {name} service said nothing for {seconds:g} s. Try again later."
    return ApiError(504, "timeout", message)


def unusable_tenant() -> ApiError:
    """A tenant that no header can name exactly; another spelling would be another tenant."""
    message = (
        "The name of this tenant has characters that cannot be passed on. Ask the operator to change it."
    )
    return ApiError(500, "unusable_tenant", message)


def not_accepted() -> ApiError:
    """The log did not confirm the request in time, or refused it."""
    message = "The request could not be written to the log and was not accepted. Try again in a moment."
    return ApiError(503, NOT_ACCEPTED, message, retry_after_s=2)


def timed_out(seconds: float) -> ApiError:
    """No end of the answer came by the request's deadline."""
    message = f"The answer was not complete after {seconds:g} s. Ask for fewer tokens, or try again later."
    return ApiError(504, "timeout", message)


def cancelled(reason: str) -> ApiError:
    """The request was given up on the client's wish or absence (499: nginx's "client closed request")."""
    why = "on request" if reason == "requested" else "since no client was connected"
    return ApiError(499, "request_cancelled", f"The request was cancelled {why}.")


def no_such_request() -> ApiError:
    """An id that nobody has, that is no longer kept, or that is another tenant's: all look the same."""
    message = "There is no such chat completion. It may have expired, or the id is not complete."
    return ApiError(404, "request_not_found", message, "id")


def key_reused() -> ApiError:
    """An idempotency key that stands for another request."""
    message = "This Idempotency-Key was used for another request body. Use a new key for a new request."
    return ApiError(422, "idempotency_key_reused", message, "Idempotency-Key")


def beyond_the_end(name: str, last: int) -> ApiError:
    """A stream that is to go on after an event that it never had."""
    return invalid(name, f"The stream has no event {name} names: its last one is {last}.")


def shutting_down() -> ApiError:
    """This process is about to end."""
    return ApiError(503, "shutting_down", "This gateway is stopping. Try again at once.", retry_after_s=1)
