"""How long requests and answers take, as their clients see it, and how many are open."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from penstock.gateway.domain.errors import ApiError
from penstock.messages.chat import AnswerCompleted
from penstock.telemetry import metric_catalog, names
from penstock.telemetry.asgi import METHODS
from penstock.telemetry.instruments import Attributes, Read, histogram
from penstock.telemetry.metric_definition import MetricDefinition

BEGAN, ERROR_CODE = "began", "error_code"
"""In the state of a scope: when the request came, and the code of the error that was answered."""


class Times:
    """When the text of one answer went to its client, in seconds of `time.perf_counter`."""

    __slots__ = ("_measures", "began", "first_text")

    def __init__(self, measures: "Measures", began: float) -> None:
        self._measures = measures
        self.began = began
        self.first_text = 0.0

    @contextmanager
    def streaming(self) -> Iterator[None]:
        """Count a stream while the block runs."""
        self._measures.streams += 1
        try:
            yield
        finally:
            self._measures.streams -= 1

    def text_sent(self) -> None:
        """Take note that text was sent."""
        self.first_text = self.first_text or time.perf_counter()


class Measures:
    """Of all answers of this gateway, by the conventions for GenAI servers, with the provider `penstock`."""

    def __init__(self) -> None:
        self.streams = 0
        self.active: dict[tuple[str, str], int] = {}
        """HTTP requests in hand, by method and scheme."""
        self._duration = histogram(metric_catalog.SERVER_DURATION)
        self._first = histogram(metric_catalog.TIME_TO_FIRST_TOKEN)
        self._per_token = histogram(metric_catalog.TIME_PER_OUTPUT_TOKEN)

    def reads(self) -> Mapping[MetricDefinition, Read]:
        """Return what is to be looked up while the gateway runs."""
        return {
            metric_catalog.STREAMS: lambda: [(self.streams, {})],
            metric_catalog.HTTP_ACTIVE: lambda: [(n, _request(*of)) for of, n in self.active.copy().items()],
        }

    def times(self, scope: Scope) -> Times:
        """Return what to note the times of an answer in."""
        return Times(self, scope["state"][BEGAN])

    def answered(self, model: str, times: Times, end: AnswerCompleted | ApiError | None) -> None:
        """Record an answer that its client has seen to its end; None: the client has left before."""
        if end is None:
            return
        now = time.perf_counter()
        about = {
            names.GEN_AI_OPERATION: "chat",
            names.GEN_AI_PROVIDER: "penstock",
            names.GEN_AI_REQUEST_MODEL: model,
        }
        if isinstance(end, ApiError):
            self._duration.record(now - times.began, {**about, names.ERROR_TYPE: end.code})
            return
        self._duration.record(now - times.began, about)
        if times.first_text:
            self._first.record(times.first_text - times.began, about)
            if (rest := end.usage.completion_tokens - 1) > 0:
                self._per_token.record((now - times.first_text) / rest, about)


class Measured:
    """Wraps an ASGI app: the duration of every request, by route and by how it was answered.

    FastAPI's own metric sees neither what the layers around it refuse, nor the code of an error, nor the end
    of a stream that is sent past it.
    """

    def __init__(self, app: ASGIApp, measures: Measures) -> None:
        self._app = app
        self._active = measures.active
        self._duration = histogram(metric_catalog.HTTP_DURATION)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = time.perf_counter(), 0
        scope.setdefault("state", {})[BEGAN] = began

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        of = scope["method"] if scope["method"] in METHODS else "_OTHER", scope["scheme"]
        self._active[of] = self._active.get(of, 0) + 1
        try:
            await self._app(scope, receive, noting)
        finally:
            self._active[of] -= 1
            self._duration.record(time.perf_counter() - began, {**_request(*of), **_response(scope, status)})


def _request(method: str, scheme: str) -> Attributes:
    return {names.HTTP_METHOD: method, names.URL_SCHEME: scheme}


def _response(scope: Scope, status: int) -> Attributes:
    about: dict[str, str | int] = {names.HTTP_VERSION: scope.get("http_version", "1.1")}
    if route := getattr(scope.get("route"), "path", ""):
        about[names.HTTP_ROUTE] = route
    if status:
        about[names.HTTP_STATUS] = status
    error = scope["state"].get(ERROR_CODE) or ("" if 0 < status < 500 else str(status or "no_response"))
    if error:
        about[names.ERROR_TYPE] = error
    return about
