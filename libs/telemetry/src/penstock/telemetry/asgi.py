"""Spans of the requests that a server answers, by OpenTelemetry's conventions for HTTP servers."""

from collections.abc import Callable, Mapping
from typing import Any

from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from penstock.telemetry import names
from penstock.telemetry.spans import context_of, current, fail_unless_failed
from penstock.telemetry.work_context import WorkContext, set_work_context

METHODS = frozenset({"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY", "TRACE"})
PROBES = frozenset({"livez", "readyz", "health", "ping", "info", "metrics"})
"""Ends of paths that are asked for again and again by machines."""
REQUEST_ID, TENANT = b"x-request-id", b"x-penstock-tenant"
"""Headers by which our services tell each other for whom they ask."""
MAX_CHARS = 256
"""Of what a client chooses freely."""


def is_no_probe(path: str) -> bool:
    """Return whether a path is none that machines ask for all the time."""
    return path.rpartition("/")[2] not in PROBES


class Traced:
    """Wraps an ASGI app: one SERVER span a request, the current one while the app works on it.

    Only requests at paths that are `wanted` have one. The query string is left out. Put it around everything
    that should see the span. A server that is `public` does not let its callers say for whom they ask.
    """

    def __init__(
        self, app: ASGIApp, wanted: Callable[[str], bool] = is_no_probe, *, public: bool = False
    ) -> None:
        self._app = app
        self._wanted = wanted
        self._public = public
        self._tracer = trace.get_tracer("penstock.http")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not self._wanted(scope["path"]):
            await self._app(scope, receive, send)
            return
        status = 0

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        headers = dict(scope["headers"])
        if not self._public:
            set_work_context(WorkContext(_text(headers, REQUEST_ID), tenant=_text(headers, TENANT)))
        method = scope["method"] if scope["method"] in METHODS else "_OTHER"
        span = self._tracer.start_span(
            _named(method),
            context_of(_text(headers, b"traceparent")),
            SpanKind.SERVER,
            _attributes(scope, method),
        )
        with current(span):
            try:
                await self._app(scope, receive, noting)
            except Exception as error:
                fail_unless_failed(span, type(error).__name__)
                raise
            finally:
                if span.is_recording():
                    _tell(span, scope, method, status)


def _named(method: str) -> str:
    return "HTTP" if method == "_OTHER" else method


def _text(headers: Mapping[bytes, bytes], name: bytes) -> str:
    return headers.get(name, b"")[:MAX_CHARS].decode("latin-1")


def _attributes(scope: Scope, method: str) -> dict[str, Any]:
    attributes: dict[str, Any] = {
        names.HTTP_METHOD: method,
        names.URL_SCHEME: scope["scheme"],
        names.URL_PATH: scope["path"][:MAX_CHARS],
    }
    if method == "_OTHER":
        attributes[names.HTTP_ORIGINAL_METHOD] = scope["method"][:MAX_CHARS]
    if scope.get("server"):
        attributes[names.SERVER_ADDRESS], port = scope["server"]
        if port:
            attributes[names.SERVER_PORT] = port
    return attributes


def _tell(span: Span, scope: Scope, method: str, status: int) -> None:
    route = getattr(scope.get("route"), "path", "")
    if route:
        span.set_attribute(names.HTTP_ROUTE, route)
        span.update_name(f"{_named(method)} {route}")
    if status:
        span.set_attribute(names.HTTP_STATUS, status)
    if status >= 500:
        fail_unless_failed(span, str(status))
