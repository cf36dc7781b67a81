"""Spans of the requests that a server answers, and of databases asked meanwhile."""

from collections.abc import Callable
from typing import Any

import httpx2
import pytest
from opentelemetry.sdk.metrics.export import DataPointT, NumberDataPoint
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from penstock.telemetry.asgi import Traced
from penstock.telemetry.database import database_span
from penstock.telemetry.measured import Measured
from penstock.telemetry.metric_catalog import HTTP_ACTIVE, HTTP_DURATION
from penstock.telemetry.metric_definition import MetricDefinition
from penstock.telemetry.work_context import current_work

TRACE = f"00-{'ab' * 16}-{'cd' * 8}-01"


async def items(request: Request) -> Response:
    with database_span("sqlite", "read", namespace="items"):
        name = request.path_params["name"]
    if name == "bug":
        raise ValueError("a canary sings")
    return Response(str(dict(current_work().fields)), status_code=503 if name == "away" else 200)


async def told(path: str, method: str = "GET", *, public: bool = False, **headers: str) -> httpx2.Response:
    app = Starlette(routes=[Route("/items/{name}", items, methods=["GET"]), Route("/{any}/livez", items)])
    transport = httpx2.ASGITransport(Traced(app, public=public), raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://server:81") as client:
        return await client.request(method, path, headers=headers)


def by_name(exporter: InMemorySpanExporter) -> dict[str, ReadableSpan]:
    return {span.name: span for span in exporter.get_finished_spans()}


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


async def test_a_request_has_a_span_named_by_its_route_in_the_trace_of_its_caller(
    spans: InMemorySpanExporter,
) -> None:
    await told("/items/one?api_key=canary", traceparent=TRACE)
    found = by_name(spans)
    span, read = found["GET /items/{name}"], found["read items"]
    assert span.kind is SpanKind.SERVER
    assert span.parent is not None
    assert f"{span.parent.trace_id:032x}-{span.parent.span_id:016x}" == f"{'ab' * 16}-{'cd' * 8}"
    assert attributes(span) == {
        "http.request.method": "GET",
        "url.scheme": "http",
        "url.path": "/items/one",
        "server.address": "server",
        "server.port": 81,
        "http.route": "/items/{name}",
        "http.response.status_code": 200,
    }
    assert (read.parent, read.kind) == (span.context, SpanKind.CLIENT)
    assert attributes(read) == {
        "db.system.name": "sqlite",
        "db.operation.name": "read",
        "db.namespace": "items",
    }


@pytest.mark.parametrize(("public", "fields"), [(False, {"request_id": "r1", "tenant": "acme"}), (True, {})])
async def test_only_an_inner_server_is_told_for_whom_it_works(
    spans: InMemorySpanExporter, public: bool, fields: dict[str, str]
) -> None:
    headers = {"x-request-id": "r1", "x-penstock-tenant": "acme"}
    response = await told("/items/one", public=public, **headers)
    assert response.text == str(fields)
    mine = attributes(by_name(spans)["GET /items/{name}"])
    assert mine.get("penstock.request.id") == fields.get("request_id")


@pytest.mark.parametrize(("name", "error"), [("bug", "ValueError"), ("away", "503")])
async def test_a_fault_of_the_server_is_a_failure(spans: InMemorySpanExporter, name: str, error: str) -> None:
    await told(f"/items/{name}")
    span = by_name(spans)["GET /items/{name}"]
    assert attributes(span)["error.type"] == error
    assert span.status.status_code is StatusCode.ERROR
    assert "canary" not in span.to_json()


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/nothing", 404), ("POST", "/items/a", 405)])
async def test_a_fault_of_the_client_is_none(
    spans: InMemorySpanExporter, method: str, path: str, status: int
) -> None:
    await told(path, method)
    [span] = spans.get_finished_spans()
    assert attributes(span)["http.response.status_code"] == status
    assert span.status.is_unset


async def test_what_a_client_makes_up_is_cut(spans: InMemorySpanExporter) -> None:
    await told(f"/{'x' * 5000}", "BREW" * 100)
    [span] = spans.get_finished_spans()
    assert span.name == "HTTP"
    assert attributes(span)["http.request.method"] == "_OTHER"
    assert len(attributes(span)["http.request.method_original"]) == 256
    assert len(attributes(span)["url.path"]) == 256


async def test_probes_have_no_spans_and_neither_has_what_they_ask(spans: InMemorySpanExporter) -> None:
    assert (await told("/any/livez")).status_code == 500  # it has no name
    with database_span("sqlite", "read"):
        pass
    assert not spans.get_finished_spans()


async def test_a_plain_apps_requests_are_measured(
    measured: Callable[[MetricDefinition], list[DataPointT]],
) -> None:
    inside: list[float] = []

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        inside.extend(point.value for point in measured(HTTP_ACTIVE) if isinstance(point, NumberDataPoint))
        await send({"type": "http.response.start", "status": 503, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    transport = httpx2.ASGITransport(app=Measured(app))
    async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:
        await client.post("/x")
    [duration] = measured(HTTP_DURATION)
    assert dict(duration.attributes or {}) == {
        "http.request.method": "POST",
        "url.scheme": "http",
        "network.protocol.version": "1.1",
        "http.response.status_code": 503,
        "error.type": "503",
    }
    assert inside == [1]
    assert [point.value for point in measured(HTTP_ACTIVE) if isinstance(point, NumberDataPoint)] == [0]
