"""OTLP over HTTP, spoken by OpenTelemetry's own exporters and by clients that are wrong."""

import asyncio
import gzip
import json
from typing import Any

import pytest
import requests
from google.rpc.status_pb2 import Status
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace import Status as SpanStatus
from opentelemetry.trace import StatusCode

from penstock.observer.adapters.http.body import MAX_BODY_BYTES, MAX_UNPACKED_BYTES
from penstock.telemetry import metric_catalog, names
from services.observer.tests.stand import OTLP, Console, Line, export, span, until

RESOURCE = Resource({"service.name": "penstock-generation", "service.instance.id": "generation-2"})
TRACES, METRICS = "/v1/traces", "/v1/metrics"


def plain_session() -> requests.Session:
    session = requests.Session()
    session.trust_env = False
    return session


@pytest.mark.parametrize("compression", [Compression.NoCompression, Compression.Gzip])
async def test_spans_of_a_real_exporter_are_shown(
    console: Console, line: Line, compression: Compression
) -> None:
    request_id = await line.asked()
    exporter = OTLPSpanExporter(f"{console.url}{TRACES}", compression=compression, session=plain_session())
    provider = TracerProvider(resource=RESOURCE)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = provider.get_tracer("test")

    def work() -> None:
        about = {names.PENSTOCK_REQUEST_ID: request_id, names.PENSTOCK_TENANT: "acme"}
        with tracer.start_as_current_span("outer", attributes=about) as outer:
            outer.add_event("first_token", {"n": 1})
            with tracer.start_as_current_span(
                "inner", attributes={"list": [1, 2], "x": True, "y": 0.5}
            ) as inner:
                inner.set_status(SpanStatus(StatusCode.ERROR))
                inner.set_attribute("error.type", "Timeout")

    await asyncio.to_thread(work)
    body = (await console.get(f"requests/{request_id}", "acme")).json()
    [trace] = body["traces"]
    outer, inner = trace["spans"]
    assert (outer["name"], outer["parent_id"], outer["service"], outer["instance"]) == (
        "outer",
        None,
        "generation",
        "generation-2",
    )
    assert (inner["parent_id"], inner["error"], outer["error"]) == (outer["span_id"], "Timeout", "")
    assert inner["attributes"] == {"list": [1, 2], "x": True, "y": 0.5, "error.type": "Timeout"}
    assert [(event["name"], event["attributes"]) for event in outer["events"]] == [("first_token", {"n": 1})]
    assert outer["start_ms"] <= inner["start_ms"] <= inner["end_ms"] <= outer["end_ms"]
    assert abs(outer["start_ms"] - body["request"]["created_ms"]) < 600_000


async def test_points_of_a_real_exporter_are_shown(console: Console) -> None:
    exporter = OTLPMetricExporter(f"{console.url}{METRICS}", session=plain_session())
    reader = PeriodicExportingMetricReader(exporter, 3_600_000)
    provider = MeterProvider([reader], RESOURCE)
    meter = provider.get_meter("test")
    server = {names.SERVER_ADDRESS: "10.0.0.1", names.SERVER_PORT: 80}

    def slots(_: CallbackOptions) -> list[Observation]:
        return [
            Observation(3, server | {names.PENSTOCK_STATE: "used"}),
            Observation(5, server | {names.PENSTOCK_STATE: "free"}),
        ]

    meter.create_observable_gauge(metric_catalog.SLOTS.name, [slots])
    meter.create_observable_gauge(metric_catalog.BACKEND_UP.name, [lambda _: [Observation(1, server)]])
    meter.create_histogram("some.histogram").record(2.5)
    meter.create_counter("some.counter").add(1)
    await asyncio.to_thread(reader.collect)
    seen = (await console.get("pipeline")).json()
    assert seen["backends"] == [
        {"name": "10.0.0.1:80", "used": 3, "free": 5, "queued": None, "available": True}
    ]
    [generation] = [stage for stage in seen["stages"] if stage["service"] == "generation"]
    assert generation["slots"] == {"used": 3, "free": 5}
    await asyncio.to_thread(provider.shutdown)


async def test_what_cannot_be_kept_is_counted_in_the_answer(console: Console) -> None:
    bad = [span(1, 1), span(b"\x00" * 16, 1), span(b"short", 2), span(1, 0)]
    huge = span(1, 3, padding="x" * 300_000)
    done = await console.client.post(TRACES, content=export(*bad, huge), headers=OTLP)
    told = ExportTraceServiceResponse.FromString(done.content)
    assert (done.status_code, done.headers["content-type"]) == (200, "application/x-protobuf")
    assert told.partial_success.rejected_spans == 4
    assert "trace_id" in told.partial_success.error_message
    whole = await console.client.post(TRACES, content=export(span(1, 1)), headers=OTLP)
    assert not ExportTraceServiceResponse.FromString(whole.content).HasField("partial_success")
    empty = await console.client.post(METRICS, content=b"", headers=OTLP)
    assert not ExportMetricsServiceResponse.FromString(empty.content).HasField("partial_success")


GZIP = OTLP | {"content-encoding": "gzip"}
BOMB = gzip.compress(b"\x00" * (MAX_UNPACKED_BYTES + 1))


@pytest.mark.parametrize("path", [TRACES, METRICS])
@pytest.mark.parametrize(
    ("content", "headers", "status", "code"),
    [
        (b"\xff\xff garbage", OTLP, 400, 3),
        (export(span(1, 1))[:-3], OTLP, 400, 3),
        (b"no gzip", GZIP, 400, 3),
        (gzip.compress(export(span(1, 1)))[:-4], GZIP, 400, 3),
        (gzip.compress(b"") + b"more", GZIP, 400, 3),
        (b"x" * (MAX_BODY_BYTES + 1), OTLP, 413, 8),
        (BOMB, GZIP, 413, 8),
        (b"{}", {"content-type": "application/json"}, 415, 12),
        (b"", {}, 415, 12),
        (b"", OTLP | {"content-encoding": "br"}, 415, 12),
    ],
    ids=range(10),  # what is sent holds the time
)
async def test_what_is_wrong_is_answered_as_the_protocol_has_it(
    console: Console, path: str, content: bytes, headers: dict[str, str], status: int, code: int
) -> None:
    if path == METRICS and content == export(span(1, 1))[:-3]:
        pytest.skip("no metrics")
    done = await console.client.post(path, content=content, headers=headers)
    assert (done.status_code, done.headers["content-type"]) == (status, "application/x-protobuf")
    told = Status.FromString(done.content)
    assert told.code == code
    assert told.message
    assert (await console.client.get("/livez")).status_code == 200


async def test_a_body_without_length_is_bounded_too(console: Console) -> None:
    async def endless() -> Any:
        for _ in range(1_000):
            yield b"x" * 65_536

    done = await console.client.post(TRACES, content=endless(), headers=OTLP)
    assert done.status_code == 413


async def test_a_client_that_breaks_off_leaves_nothing_behind(console: Console) -> None:
    for _ in range(8):  # more than are read at once
        host, port = console.url.removeprefix("http://").split(":")
        _, writer = await asyncio.open_connection(host, int(port))
        head = f"POST {TRACES} HTTP/1.1\r\nhost: x\r\ncontent-type: {OTLP['content-type']}\r\n"
        writer.write(f"{head}content-length: 99\r\n\r\nabc".encode())
        await writer.drain()
        writer.close()

    async def taken() -> bool:
        done = await console.client.post(TRACES, content=export(span(1, 1)), headers=OTLP)
        return done.status_code == 200

    assert await until(taken)


async def test_only_posts_are_taken(console: Console) -> None:
    done = await console.client.get(TRACES)
    assert done.status_code == 405
    assert json.loads(done.content)["error"]["code"] == "unknown_url"
