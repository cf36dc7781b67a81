"""HTTP as all services speak it to model servers and to each other."""

from collections.abc import AsyncIterator
from typing import Any

import httpx2
from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind

from penstock.telemetry import names
from penstock.telemetry.spans import fail, traceparent
from penstock.telemetry.work_context import current_work

_SAY_THE_SAME = (SpanKind.CLIENT, SpanKind.CONSUMER)


class Transport(httpx2.AsyncHTTPTransport):
    """The library's transport, which also traces, and with one error made its own.

    A request within a span takes its context along in `traceparent`, and the id of the client's request in
    `x-request-id`. It gets a CLIENT span of its own, to the end of its response, unless the span around it
    (a model call, the handling of a record) says the same. Where there is no span (a server is asked whether
    it is well), there is none.

    The error: a connection lost while it was made. anyio then asks a socket that is gone for its peer, and
    fails with an AttributeError (a server that is killed at that moment shows it). Nothing was sent, so it is
    a ConnectError like others.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._tracer = trace.get_tracer("penstock.http")

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        parent = trace.get_current_span()
        if not parent.get_span_context().is_valid:
            return await self._send(request)
        if request_id := current_work().attributes.get(names.PENSTOCK_REQUEST_ID):
            request.headers.setdefault("x-request-id", request_id)
        if not parent.is_recording() or getattr(parent, "kind", None) in _SAY_THE_SAME:
            request.headers["traceparent"] = traceparent(parent)
            return await self._send(request)
        span = self._tracer.start_span(request.method, kind=SpanKind.CLIENT, attributes=_attributes(request))
        request.headers["traceparent"] = traceparent(span)
        try:
            response = await self._send(request)
        except BaseException as error:
            fail(span, type(error).__name__)
            span.end()
            raise
        span.set_attribute(names.HTTP_STATUS, response.status_code)
        if response.is_error:
            fail(span, str(response.status_code))
        response.stream = _Traced(response.stream, span)
        return response

    async def _send(self, request: httpx2.Request) -> httpx2.Response:
        try:
            return await super().handle_async_request(request)
        except AttributeError as error:
            if error.name != "getpeername":
                raise
            raise httpx2.ConnectError("the connection was lost while it was made", request=request) from error


class _Traced(httpx2.AsyncByteStream):
    """A response's body; its end is the end of the span."""

    def __init__(self, stream: Any, span: Span) -> None:
        self._stream = stream
        self._span = span

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for piece in self._stream:
                yield piece
        except Exception as error:
            fail(self._span, type(error).__name__)
            raise

    async def aclose(self) -> None:
        try:
            await self._stream.aclose()
        finally:
            self._span.end()


def _attributes(request: httpx2.Request) -> dict[str, Any]:
    """Return what the conventions ask for; of the address neither credentials nor the query string."""
    url = request.url
    port = url.port or {"http": 80, "https": 443}.get(url.scheme, 0)
    # httpx's own way to send a path as it is, which is not in the URL then.
    path = request.extensions.get("target", url.raw_path).partition(b"?")[0].decode("latin-1")
    return {
        names.HTTP_METHOD: request.method,
        names.URL_FULL: f"{url.scheme}://{url.netloc.decode('ascii')}{path}",
        names.SERVER_ADDRESS: url.host,
        names.SERVER_PORT: port,
    }
