"""The transport of all services: what it tells traces, and when a connection is lost while it is made."""

from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, StatusCode, TraceFlags

from penstock.telemetry.http import Transport
from penstock.telemetry.spans import traceparent
from penstock.telemetry.work_context import WorkContext, use_work_context

URL = "http://user:secret@127.0.0.1:1/embed?api_key=secret"


class Body(httpx2.AsyncByteStream):
    """Two pieces; or one, and a broken connection."""

    def __init__(self, *, breaks: bool = False) -> None:
        self._breaks = breaks

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield b"one"
        if self._breaks:
            raise httpx2.ReadError("a canary sings")
        yield b"two"

    async def aclose(self) -> None:
        return


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[httpx2.Request]:
    """What the library's transport is given; it answers by the path: /500, /break, /refuse, else 200."""
    given: list[httpx2.Request] = []

    async def answer(_transport: object, request: httpx2.Request) -> httpx2.Response:
        given.append(request)
        if request.url.path == "/refuse":
            raise httpx2.ConnectError("a canary sings")
        status = 500 if request.url.path == "/500" else 200
        return httpx2.Response(status, stream=Body(breaks=request.url.path == "/break"))

    monkeypatch.setattr(httpx2.AsyncHTTPTransport, "handle_async_request", answer)
    return given


def told(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


async def test_a_request_within_a_span_has_its_own_and_takes_it_along(
    asked: list[httpx2.Request], spans: InMemorySpanExporter
) -> None:
    with (
        trace.get_tracer("t").start_as_current_span("work") as work,
        use_work_context(WorkContext("r1", tenant="acme")),
    ):
        async with (
            httpx2.AsyncClient(transport=Transport()) as client,
            client.stream("POST", URL) as response,
        ):
            assert not spans.get_finished_spans()
            assert [piece async for piece in response.aiter_raw()] == [b"one", b"two"]
        [span] = spans.get_finished_spans()
    assert (span.name, span.kind, span.parent) == ("POST", SpanKind.CLIENT, work.get_span_context())
    assert told(span) == {
        "http.request.method": "POST",
        "url.full": "http://127.0.0.1:1/embed",
        "server.address": "127.0.0.1",
        "server.port": 1,
        "http.response.status_code": 200,
        "penstock.request.id": "r1",
        "penstock.tenant": "acme",
    }
    [request] = asked
    assert span.context is not None
    assert request.headers["traceparent"].split("-")[2] == f"{span.context.span_id:016x}"
    assert request.headers["x-request-id"] == "r1"


async def test_a_path_that_is_sent_as_it_is_is_told_without_its_query(
    asked: list[httpx2.Request], spans: InMemorySpanExporter
) -> None:
    request = httpx2.Request("GET", "http://h:2", extensions={"target": b"/v1/files/a%2Fb?after=secret"})
    with trace.get_tracer("t").start_as_current_span("work"):
        async with httpx2.AsyncClient(transport=Transport()) as client:
            await client.send(request)
    assert asked
    assert told(spans.get_finished_spans()[0])["url.full"] == "http://h:2/v1/files/a%2Fb"


async def test_what_a_process_asks_by_itself_leaves_no_trace(
    asked: list[httpx2.Request], spans: InMemorySpanExporter
) -> None:
    async with httpx2.AsyncClient(transport=Transport()) as client:
        await client.get("http://h/info")
    assert "traceparent" not in asked[0].headers
    assert not spans.get_finished_spans()


async def test_a_request_that_is_not_sampled_is_not_sampled_further_on(
    asked: list[httpx2.Request], spans: InMemorySpanExporter
) -> None:
    parent = NonRecordingSpan(SpanContext(5, 6, is_remote=True, trace_flags=TraceFlags(0)))
    with trace.use_span(parent):
        async with httpx2.AsyncClient(transport=Transport()) as client:
            await client.get("http://h/embed")
    assert asked[0].headers["traceparent"] == traceparent(parent) == f"00-{5:032x}-{6:016x}-00"
    assert not spans.get_finished_spans()


@pytest.mark.parametrize(
    ("path", "error"), [("/500", "500"), ("/refuse", "ConnectError"), ("/break", "ReadError")]
)
async def test_a_failure_is_told_by_its_kind(
    asked: list[httpx2.Request], spans: InMemorySpanExporter, path: str, error: str
) -> None:
    with trace.get_tracer("t").start_as_current_span("work"):
        async with httpx2.AsyncClient(transport=Transport()) as client:
            try:
                await client.get(f"http://h{path}")
            except httpx2.HTTPError:
                assert path != "/500"
    [span] = [span for span in spans.get_finished_spans() if span.name == "GET"]
    assert asked
    assert told(span)["error.type"] == error
    assert span.status.status_code is StatusCode.ERROR
    assert "canary" not in span.to_json()


async def test_a_connection_lost_while_it_is_made_is_a_connect_error(monkeypatch: pytest.MonkeyPatch) -> None:
    async def lost(_transport: object, _request: object) -> httpx2.Response:
        gone = None
        return gone.getpeername()  # type: ignore[attr-defined,no-any-return]  # as anyio does

    monkeypatch.setattr(httpx2.AsyncHTTPTransport, "handle_async_request", lost)
    async with httpx2.AsyncClient(transport=Transport()) as client:
        with pytest.raises(httpx2.ConnectError, match="lost while it was made"):
            await client.get("http://127.0.0.1:1/")


async def test_other_faults_stay_what_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    async def faulty(_transport: object, _request: object) -> httpx2.Response:
        raise AttributeError(name="something")

    monkeypatch.setattr(httpx2.AsyncHTTPTransport, "handle_async_request", faulty)
    async with httpx2.AsyncClient(transport=Transport()) as client:
        with pytest.raises(AttributeError):
            await client.get("http://127.0.0.1:1/")


@pytest.mark.parametrize("kind", [SpanKind.CLIENT, SpanKind.CONSUMER])
async def test_a_model_call_or_a_record_in_hand_is_the_span_of_what_it_asks(
    asked: list[httpx2.Request], spans: InMemorySpanExporter, kind: SpanKind
) -> None:
    with trace.get_tracer("t").start_as_current_span("chat", kind=kind) as work:
        async with httpx2.AsyncClient(transport=Transport()) as client:
            await client.post(URL)
    assert [span.name for span in spans.get_finished_spans()] == ["chat"]
    [request] = asked
    assert request.headers["traceparent"] == traceparent(work)
