"""What the routes share: the parts of the service, and how errors become answers."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec
from opentelemetry import trace
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from penstock.inference.adapters.embedding_batcher import EmbeddingBatcher
from penstock.inference.adapters.http.long_work import LongWork
from penstock.inference.adapters.http.phases import tell_phases
from penstock.inference.adapters.http.tgi_metrics import TgiMetrics
from penstock.inference.adapters.http.wire import ErrorResponse
from penstock.inference.domain.errors import BodyTooLargeError, InferenceError, UnhealthyError
from penstock.inference.domain.generation import Finish, Limits
from penstock.inference.handler.answers import ReaderGoneError
from penstock.inference.ports import TextEngine, TextTokenizer
from penstock.telemetry.readiness import Readiness
from penstock.telemetry.spans import fail

Handle = Callable[[Request], Awaitable[Response]]

encode_json = msgspec.json.Encoder().encode


@dataclass(slots=True)
class Service:
    """The parts of the running service. `loaded_tokenizer` is there once the model is."""

    engine: TextEngine
    embeddings: EmbeddingBatcher
    metrics: TgiMetrics
    limits: Limits
    model_id: str
    embedding_model_id: str
    max_batch_size: int
    max_body_bytes: int
    version: str
    long_work: LongWork = field(default_factory=LongWork)
    readiness: Readiness = field(default_factory=lambda: Readiness("model", "embeddings"))
    loaded_tokenizer: TextTokenizer | None = None

    @property
    def tokenizer(self) -> TextTokenizer:
        """Return the model's tokenizer. Raises UnhealthyError before the model is loaded."""
        if self.loaded_tokenizer is None:
            raise UnhealthyError("the model is not loaded")
        return self.loaded_tokenizer

    def finished(self, finish: Finish) -> None:
        """Take note of a complete answer."""
        self.metrics.finished(finish)
        tell_phases(finish)

    def broke_off(self, error: InferenceError) -> None:
        """Take note of a stream that ends in an error, which its status does not tell any more."""
        self.metrics.failed(error)
        fail(trace.get_current_span(), error.error_type)


class Endpoint:
    """What stands at a path: a function of the request, whose errors become TGI's answers.

    Starlette calls it without a layer of its own around `send`, which is called for every token.
    """

    def __init__(self, service: Service, handle: Handle) -> None:
        self._service = service
        self._handle = handle

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        try:
            response = await self._handle(Request(scope, receive))
        except InferenceError as error:
            self._service.metrics.failed(error)
            response = error_response(error)
        except ReaderGoneError:
            response = Response(status_code=499)
        await response(scope, receive, send)


def get(service: Service, path: str, handle: Handle) -> Route:
    """Return the route of a GET."""
    return Route(path, Endpoint(service, handle), methods=["GET"])


def post(service: Service, path: str, handle: Handle) -> Route:
    """Return the route of a POST."""
    return Route(path, Endpoint(service, handle), methods=["POST"])


def json_response(body: Any, status: int = 200, *, close: bool = False) -> Response:
    """Return a JSON answer; `close` ends the connection after it."""
    headers = {"connection": "close"} if close else None
    return Response(encode_json(body), status, headers, "application/json")


def error_response(error: InferenceError) -> Response:
    """Return TGI's answer for an error."""
    # A body that is far too large is not read to its end, so its connection cannot be used again.
    close = isinstance(error, BodyTooLargeError)
    return json_response(ErrorResponse(str(error), error.error_type), error.status, close=close)


def error_event(error: InferenceError) -> bytes:
    """Return an error in the middle of a stream."""
    return b"data: " + encode_json(ErrorResponse(str(error), error.error_type)) + b"\n\n"
