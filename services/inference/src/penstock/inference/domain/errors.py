"""The ways in which a request can fail, in Text Generation Inference's words."""

from typing import ClassVar


class InferenceError(Exception):
    """A request failed; `error_type` and `status` are TGI's (OpenAPI 3.3, responses of /generate)."""

    error_type: ClassVar[str]
    status: ClassVar[int]


class InvalidRequestError(InferenceError):
    """The request can never succeed as it is."""

    error_type = "validation"
    status = 422

    def __init__(self, reason: str) -> None:
        super().__init__(f"Input validation error: {reason}")


class UnsupportedParameterError(InvalidRequestError):
    """A parameter of the dialect that this server cannot honour, and what to do about it."""

    def __init__(self, parameter: str, advice: str) -> None:
        super().__init__(f"`{parameter}` is not supported by this server: {advice}")


class BodyTooLargeError(InferenceError):
    """The body is larger than the server reads."""

    error_type = "validation"
    status = 413

    def __init__(self, limit: int) -> None:
        super().__init__(f"Input validation error: the body is larger than {limit} bytes")


class GenerationFailedError(InferenceError):
    """The engine failed while it worked on the request."""

    error_type = "generation"
    status = 424

    def __init__(self, reason: str) -> None:
        super().__init__(f"Request failed during generation: {reason}")


class OverloadedError(InferenceError):
    """Too many requests are open; the same request may succeed later."""

    error_type = "overloaded"
    status = 429

    def __init__(self) -> None:
        super().__init__("Model is overloaded")


class IncompleteGenerationError(InferenceError):
    """The answer ended without its last token, because the server stops."""

    error_type = "incomplete_generation"
    status = 500

    def __init__(self) -> None:
        super().__init__("Incomplete generation")


class UnhealthyError(InferenceError):
    """The model is not there: still loading, or lost."""

    error_type = "healthcheck"
    status = 503

    def __init__(self, reason: str) -> None:
        super().__init__(f"unhealthy: {reason}")
