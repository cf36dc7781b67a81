"""Between OTLP's protobuf messages and plain data (OpenTelemetry protocol 1.x, over HTTP)."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import HistogramDataPoint, Metric, NumberDataPoint
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span as WireSpan
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from penstock.observer.domain.points import Point, Source, Value
from penstock.observer.domain.spans import Link, Span, SpanEvent
from penstock.observer.ports import SpanRow
from penstock.telemetry import names

MAX_SPAN_BYTES = 256 * 1024
_PREFIX = "penstock-"
_KINDS = {1: "internal", 2: "server", 3: "client", 4: "producer", 5: "consumer"}
_MAX_NS = (1 << 63) - 1  # what a database can hold
_SHORT, _LONG = 128, 256
_WHOSE = {names.PENSTOCK_REQUEST_ID, names.PENSTOCK_TENANT, names.MESSAGING_CONVERSATION_ID}
# Spans hold these only where a setting says so; here they are shown to nobody.
_CONTENT = {names.GEN_AI_INPUT_MESSAGES, names.GEN_AI_OUTPUT_MESSAGES, "gen_ai.system_instructions"}


class Undecodable(Exception):
    """Bytes that are no such message."""


class Taken(NamedTuple):
    """The spans of a message that can be kept; how many cannot, and why the first of them cannot."""

    rows: list[SpanRow]
    rejected: int
    reason: str


def read_spans(body: bytes) -> Taken:
    """Return the spans in the body of an export. Raises Undecodable."""
    try:
        request = ExportTraceServiceRequest.FromString(body)
    except DecodeError as error:
        raise Undecodable(str(error)) from None
    rows: list[SpanRow] = []
    rejected, reason = 0, ""
    for group in request.resource_spans:
        source = _source(group.resource)
        for scope in group.scope_spans:
            for span in scope.spans:
                why = _unusable(span)
                if why:
                    rejected, reason = rejected + 1, reason or why
                else:
                    rows.append(_row(source, span))
    return Taken(rows, rejected, reason)


def read_points(body: bytes) -> list[Point]:
    """Return the numbers in the body of an export of metrics. Raises Undecodable."""
    try:
        request = ExportMetricsServiceRequest.FromString(body)
    except DecodeError as error:
        raise Undecodable(str(error)) from None
    return [
        point
        for group in request.resource_metrics
        for scope in group.scope_metrics
        for metric in scope.metrics
        for point in _points(_source(group.resource), metric)
    ]


def span_of(row: SpanRow) -> Span:
    """Return a span that was kept. Raises Undecodable."""
    try:
        wire = WireSpan.FromString(row.body)
    except DecodeError as error:
        raise Undecodable(str(error)) from None
    attributes = {k: v for k, v in _mapping(wire.attributes).items() if k not in _CONTENT}
    failed = wire.status.code == Status.STATUS_CODE_ERROR
    return Span(
        span_id=wire.span_id.hex(),
        parent_id=wire.parent_span_id.hex(),
        name=wire.name,
        kind=_KINDS.get(wire.kind, "internal"),
        service=row.service,
        instance=row.instance,
        start_ns=wire.start_time_unix_nano,
        end_ns=wire.end_time_unix_nano,
        error=str(attributes.get(names.ERROR_TYPE) or "error") if failed else "",
        attributes=attributes,
        events=[
            SpanEvent(
                event.name,
                event.time_unix_nano,
                {k: v for k, v in _mapping(event.attributes).items() if k not in _CONTENT},
            )
            for event in wire.events
        ],
        links=[Link(link.trace_id.hex(), link.span_id.hex()) for link in wire.links],
        request_id=row.request_id,
        tenant=row.tenant,
    )


def _unusable(span: WireSpan) -> str:
    if len(span.trace_id) != 16 or not any(span.trace_id):
        return "a span's trace_id is not 16 bytes, or zero"
    if len(span.span_id) != 8 or not any(span.span_id):
        return "a span's span_id is not 8 bytes, or zero"
    if span.ByteSize() > MAX_SPAN_BYTES:
        return f"a span is larger than {MAX_SPAN_BYTES} bytes"
    return ""


def _row(source: Source, span: WireSpan) -> SpanRow:
    whose = {item.key: item.value.string_value for item in span.attributes if item.key in _WHOSE}
    request_id = whose.get(names.PENSTOCK_REQUEST_ID) or whose.get(names.MESSAGING_CONVERSATION_ID, "")
    return SpanRow(
        trace_id=span.trace_id,
        span_id=span.span_id,
        request_id=request_id[:_SHORT],
        tenant=whose.get(names.PENSTOCK_TENANT, "")[:_LONG],
        service=source.service,
        instance=source.instance,
        start_ns=min(span.start_time_unix_nano, _MAX_NS),
        end_ns=min(span.end_time_unix_nano, _MAX_NS),
        noted=span.status.code == Status.STATUS_CODE_ERROR
        or any(event.name == names.EVENT_RETRY for event in span.events),
        linked=tuple({link.trace_id for link in span.links if len(link.trace_id) == 16} - {span.trace_id}),
        body=span.SerializeToString(),
    )


def _source(resource: Resource) -> Source:
    told = {item.key: item.value.string_value for item in resource.attributes}
    service = told.get(names.SERVICE_NAME, "").removeprefix(_PREFIX)[:_SHORT]
    return Source(service, told.get(names.SERVICE_INSTANCE, "")[:_SHORT] or service)


def _points(source: Source, metric: Metric) -> Iterator[Point]:
    kind = metric.WhichOneof("data")
    points: Iterable[NumberDataPoint | HistogramDataPoint] = ()
    if kind == "gauge":
        points = metric.gauge.data_points
    elif kind == "sum":
        points = metric.sum.data_points
    elif kind == "histogram":
        points = metric.histogram.data_points
    for point in points:
        yield Point(source, metric.name, _plain(point), _number(point), point.time_unix_nano // 1_000_000)


def _number(point: NumberDataPoint | HistogramDataPoint) -> float:
    if isinstance(point, HistogramDataPoint):
        return point.sum
    return float(point.as_int if point.WhichOneof("value") == "as_int" else point.as_double)


def _plain(point: NumberDataPoint | HistogramDataPoint) -> Mapping[str, Value]:
    return {k: v for k, v in _mapping(point.attributes).items() if isinstance(v, str | int | float | bool)}


def _mapping(attributes: Iterable[KeyValue]) -> dict[str, Any]:
    return {item.key: _value(item.value) for item in attributes}


def _value(value: AnyValue) -> Any:
    """Return a value as JSON can hold it; bytes in hex."""
    kind = value.WhichOneof("value")
    if kind is None:
        return None
    if kind == "array_value":
        return [_value(each) for each in value.array_value.values]
    if kind == "kvlist_value":
        return _mapping(value.kvlist_value.values)
    if kind == "bytes_value":
        return value.bytes_value.hex()
    return getattr(value, kind)
