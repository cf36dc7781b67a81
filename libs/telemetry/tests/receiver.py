"""An OTLP/HTTP receiver that keeps what it is sent, for tests of what services really export."""

import gzip
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span as WireSpan

_KINDS = {1: "internal", 2: "server", 3: "client", 4: "producer", 5: "consumer"}


@dataclass(frozen=True)
class SpanEvent:
    """An event of a span."""

    name: str
    attributes: Mapping[str, Any]


@dataclass(frozen=True)
class ReceivedSpan:
    """A span as it was exported; ids in hex, times in nanoseconds, `links` as (trace id, span id)."""

    service: str
    name: str
    kind: str
    trace_id: str
    span_id: str
    parent_id: str
    start_ns: int
    end_ns: int
    failed: bool
    attributes: Mapping[str, Any]
    events: tuple[SpanEvent, ...]
    links: tuple[tuple[str, str], ...]
    resource: Mapping[str, Any]


@dataclass(frozen=True)
class ReceivedLog:
    """A log record as it was exported."""

    service: str
    body: str
    trace_id: str
    attributes: Mapping[str, Any]


@dataclass
class Receiver:
    """Serves on a free port of this machine while its block runs; `status` is what it answers."""

    status: int = 200
    spans: list[ReceivedSpan] = field(default_factory=list)
    logs: list[ReceivedLog] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    _server: ThreadingHTTPServer | None = None

    def __enter__(self) -> "Receiver":
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if self.headers.get("content-encoding") == "gzip":
                    body = gzip.decompress(body)
                receiver.take(self.path, body)
                self.send_response(receiver.status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        assert self._server is not None  # it was entered
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        """Where it listens, without the path of a signal."""
        assert self._server is not None  # it was entered
        return f"http://127.0.0.1:{self._server.server_port}"

    def take(self, path: str, body: bytes) -> None:
        """Keep what one request brings."""
        self.bodies.append(body)
        if path == "/v1/traces":
            self.spans += _spans(ExportTraceServiceRequest.FromString(body))
        elif path == "/v1/logs":
            self.logs += _logs(ExportLogsServiceRequest.FromString(body))

    def wait(self, enough: Callable[[], Any], seconds: float = 30) -> Any:
        """Return what `enough` gives as soon as that is true. Raises TimeoutError."""
        until = time.monotonic() + seconds
        while not (found := enough()):
            if time.monotonic() > until:
                raise TimeoutError(f"of {len(self.spans)} spans, not what was waited for")
            time.sleep(0.05)
        return found

    def trace(self, trace_id: str) -> list[ReceivedSpan]:
        """Return the spans of a trace by their start."""
        return sorted((s for s in self.spans if s.trace_id == trace_id), key=lambda s: s.start_ns)


def _spans(request: ExportTraceServiceRequest) -> Iterable[ReceivedSpan]:
    for group in request.resource_spans:
        resource = _mapping(group.resource.attributes)
        for scope in group.scope_spans:
            for span in scope.spans:
                yield _span(resource, span)


def _span(resource: Mapping[str, Any], span: WireSpan) -> ReceivedSpan:
    return ReceivedSpan(
        service=resource["service.name"],
        name=span.name,
        kind=_KINDS[span.kind],
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        start_ns=span.start_time_unix_nano,
        end_ns=span.end_time_unix_nano,
        failed=span.status.code == 2,
        attributes=_mapping(span.attributes),
        events=tuple(SpanEvent(event.name, _mapping(event.attributes)) for event in span.events),
        links=tuple((link.trace_id.hex(), link.span_id.hex()) for link in span.links),
        resource=resource,
    )


def _logs(request: ExportLogsServiceRequest) -> Iterable[ReceivedLog]:
    for group in request.resource_logs:
        service = _mapping(group.resource.attributes)["service.name"]
        for scope in group.scope_logs:
            for record in scope.log_records:
                yield ReceivedLog(
                    service, _value(record.body), record.trace_id.hex(), _mapping(record.attributes)
                )


def _mapping(attributes: Iterable[KeyValue]) -> dict[str, Any]:
    return {attribute.key: _value(attribute.value) for attribute in attributes}


def _value(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(each) for each in value.array_value.values]
    return getattr(value, kind) if kind else None
